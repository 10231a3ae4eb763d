"""What does the manual say of each setting?

`python -m interlock.config.reference docs/file.md` writes the table anew between the two marks of that page.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from interlock.config.block import Block, key
from interlock.config.document import Loc, spell
from interlock.config.explain import fields, inside
from interlock.config.model import FileBlock

BEGIN = "<!-- settings: written by python -m interlock.config.reference -->"
END = "<!-- end of settings -->"
_SHARES = frozenset({"error_rate", "catastrophe_rate", "alpha", "beta"})
_FACTORS = frozenset({"latency_factor", "margin", "stable_ratio", "weight"})
_DURATIONS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def table() -> str:
    """Return the reference of all settings in Markdown, one row each."""
    rows = (f"| `{name}` | {default} | {text} |" for name, default, text in settings())
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def settings(block: type[BaseModel] = FileBlock, loc: Loc = ()) -> Iterator[tuple[str, str, str]]:
    """Yield (name, default, meaning) of every setting, each block before what is in it."""
    for name in fields(block, loc):
        field, (inner, way) = block.model_fields[name], inside(block, name, loc)
        yield spell((*loc, key(block, name))), _default(name, field), field.description or ""
        if inner is not None:
            yield from settings(inner, way)


def renewed(page: str) -> str:
    """Return the page with the table of today."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if name == "command":
        return "required" if "PORT" in (field.description or "") else ""
    if value is None:
        return "`auto`" if name == "weights" else ""
    if isinstance(value, Block) or value is True or value in ("", (), {}):
        return ""
    return f"`{_written(name, value)}`"


def _written(name: str, value: object) -> str:
    """Write a value as it would stand in the file."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        seconds = value.total_seconds()
        size, unit = next(((n, u) for n, u in _DURATIONS if seconds and seconds % n == 0 and seconds > 90), (1, "s"))
        return f"{seconds / size:g}{unit}"
    if name in _SHARES and isinstance(value, float):
        return f"{value * 100:g}%"
    if isinstance(value, tuple):
        unit = "%" if name == "after" else ""
        return f"[{', '.join(f'{one}{unit}' for one in value)}]"
    if name == "rate":
        return f"{value:g}/s"
    return f"{value:g}x" if name in _FACTORS else str(value)


if __name__ == "__main__":
    for page in map(Path, sys.argv[1:]):
        page.write_text(renewed(page.read_text(encoding="utf-8")), encoding="utf-8")
