"""What does a setting of interlock.yaml mean, and what holds without it?"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from interlock.config.reference import settings


class NoSuchSetting(Exception):
    """There is no setting of that name; the message says which are near."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting by its dotted name, what holds without it, what it means, and the settings in it."""

    name: str
    default: str
    meaning: str
    inside: tuple[str, ...] = ()


def explain(name: str) -> tuple[Setting, ...]:
    """Return the setting of this dotted name, or all that end in it; raise NoSuchSetting with the nearest."""
    known = {one: (default.strip("`"), meaning) for one, default, meaning in settings()}
    ways = _ways(name)
    found = [one for one in known if one.lower() in ways]
    found = found or [one for one in known if one.lower().endswith(f".{ways[0]}")]
    if not found:
        raise NoSuchSetting(_nearest(name, list(known)))
    return tuple(Setting(one, *known[one], _inside(one, list(known))) for one in found)


def _ways(name: str) -> tuple[str, ...]:
    """Return how the reference may call it: an environment is NAME there, and what all share stands at the top."""
    wanted = re.sub(r"\[\d*\]", "", name.strip().strip(".")).lower()
    first, *rest = wanted.split(".")
    if first != "environments" or len(rest) < 2:
        return (wanted,)
    own = ".".join(rest[1:])
    return wanted, f"environments.name.{own}", own


def _inside(name: str, known: list[str]) -> tuple[str, ...]:
    return tuple(one for one in known if one.startswith(f"{name}.") and one.count(".") == name.count(".") + 1)


def _nearest(name: str, known: list[str]) -> str:
    ends = {one.rsplit(".", 1)[-1]: one for one in reversed(known)}
    near = difflib.get_close_matches(name, known, 2) or [
        ends[one] for one in difflib.get_close_matches(name.rsplit(".", 1)[-1], list(ends), 2)
    ]
    hint = f"; did you mean {' or '.join(near)}?" if near else "; all of them: docs/file.md, or interlock schema"
    return f'there is no setting "{name}" in interlock.yaml{hint}'
