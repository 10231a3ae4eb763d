"""Which days are public holidays in a country? Worked out in a process of its own: see `adapters.child`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from interlock.adapters.child import Unusable, main


def work(task: Mapping[str, Any]) -> list[list[str]]:
    """Return [day, name] of each public holiday of the `years`."""
    import holidays

    try:
        found = holidays.country_holidays(task["country"], subdiv=task["part"] or None, years=task["years"])
    except NotImplementedError as error:
        raise Unusable(str(error)) from error
    return [[day.isoformat(), name] for day, name in sorted(found.items())]


if __name__ == "__main__":
    sys.exit(main(work))
