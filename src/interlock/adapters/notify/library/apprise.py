"""How are all the services told that Apprise knows: Slack, Teams, Matrix, ntfy, telephones?

Apprise is an optional part: ``pip install 'interlock[notify]'``. Its addresses hold tokens, so they are secrets here.
Most of these services know no key, so a crash between send and mark shows there as one message twice.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.util import find_spec
from typing import Any

from interlock.adapters.child import NotNow, main
from interlock.adapters.notify.library.post import send
from interlock.ports.notify import Letter

WITHIN = timedelta(seconds=60)
MISSING = "apprise is not installed: pip install 'interlock[notify]'"


class AppriseOutlet:
    """One service, by its address in Apprise's notation, which is asked for at each message."""

    def __init__(self, url: Callable[[], str], *, within: timedelta = WITHIN) -> None:
        self._url, self._within = url, within

    async def send(self, letter: Letter) -> None:
        task = {"url": self._url(), "title": letter.title, "text": letter.text}
        await send("apprise", task, self._within)


def installed() -> bool:
    """Say whether Apprise is there."""
    return find_spec("apprise") is not None


def understood(url: str) -> bool:
    """Say whether Apprise knows such an address; asks nobody."""
    with warnings.catch_warnings():  # what it says of its own imports is nobody's business here
        warnings.simplefilter("ignore")
        import apprise  # imported late: it takes 0.2 s, and few have it

        logging.getLogger("apprise").setLevel(logging.CRITICAL)  # it would write the address into our log
        return bool(apprise.Apprise().add(url))


def _work(task: Mapping[str, Any]) -> None:
    if not installed():
        raise NotNow(MISSING)
    import apprise

    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    service = apprise.Apprise()
    if not service.add(task["url"]):
        raise NotNow("apprise does not know such an address; see its list of services")
    if not service.notify(title=task["title"], body=task["text"], body_format=apprise.NotifyFormat.TEXT):
        raise NotNow(f"{service[0].service_name} did not take it")


if __name__ == "__main__":
    sys.exit(main(_work, quotes=False))
