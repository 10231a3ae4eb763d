"""How does a flag stand that is written in flagd's format, and how is it written when it stands otherwise?

`fractional` puts a user into a bucket by a hash of the flag's key and the user's, and shares the buckets out in order.
With two shares of a constant sum the users of a small one are among those of a greater one. `DISABLED` leaves an
application with the default in its code. See https://flagd.dev/reference/flag-definitions/ and
https://flagd.dev/reference/custom-operations/fractional-operation/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from interlock.adapters.flags.flagd_file.text import canonical
from interlock.core.flag import FlagState

ENABLED, DISABLED = "ENABLED", "DISABLED"

_EXAMPLE = '"targeting": {"fractional": [["NEW", 0], ["OLD", 100]]}, "defaultVariant": "OLD"'


@dataclass(frozen=True, slots=True)
class Rule:
    """Who gets which variant: `on` goes to the share, `off` to the others; `obstacle` says why that cannot be moved.

    `shares` are the arguments of `fractional` that are shares, `by` is what stands before them: the bucketing value.
    """

    on: str = ""
    off: str = ""
    percentage: int | None = None
    by: tuple[Any, ...] = ()
    shares: tuple[str, ...] = ()
    obstacle: str = ""


def malformed(entry: Any) -> str:
    """Say what is wrong with a flag's definition; nothing when flagd takes it."""
    if not isinstance(entry, dict):
        return "expected an object"
    if entry.get("state") not in (ENABLED, DISABLED):
        return f'expected "state" to be "{ENABLED}" or "{DISABLED}", found {canonical(entry.get("state"))}'
    if not isinstance(entry.get("variants"), dict) or not entry["variants"]:
        return 'expected "variants" to be an object with at least one variant'
    return ""


def state(entry: Mapping[str, Any]) -> FlagState:
    """Return how it stands, in our words."""
    rule = read(entry)
    targeting = entry.get("targeting") or {}
    return FlagState(
        entry["state"] == ENABLED,
        rule.percentage,
        canonical(rule.by[0]) if rule.by else "targetingKey",
        (canonical(targeting),) if targeting and not rule.shares else (),
        tuple(canonical({"name": name, "value": value}) for name, value in entry["variants"].items()),
        canonical(entry),
    )


def read(entry: Mapping[str, Any]) -> Rule:
    """Read who gets which variant."""
    targeting = entry.get("targeting")
    if targeting in (None, {}):
        return _by_default(entry)
    if isinstance(targeting, dict) and list(targeting) == ["fractional"]:
        return _by_share(entry, targeting["fractional"])
    return Rule(obstacle=f"its targeting is something else than one fractional of two variants: write {_EXAMPLE}")


def moved(entry: Mapping[str, Any], percentage: int) -> dict[str, Any]:
    """Return the definition with which `percentage` of the users get `on`, and whoever has no key gets `off`."""
    rule = read(entry)
    new = {**entry, "state": ENABLED}
    if rule.percentage == percentage:
        return new
    weights = {rule.on: percentage, rule.off: 100 - percentage}
    shares = [[name, weights[name]] for name in (rule.shares or (rule.on, rule.off))]
    new["targeting"] = {"fractional": [*rule.by, *shares]}
    if "defaultVariant" in entry and entry["defaultVariant"] is not None:
        new["defaultVariant"] = rule.off
    return new


def _by_default(entry: Mapping[str, Any]) -> Rule:
    on, off = _pair(entry)
    if not on:
        return Rule(obstacle=f"nothing says which of its variants is the feature: write {_EXAMPLE}")
    percentage = {on: 100, off: 0}.get(str(entry.get("defaultVariant")))
    return Rule(on, off, percentage)


def _by_share(entry: Mapping[str, Any], arguments: Any) -> Rule:
    listed = arguments if isinstance(arguments, list) else []
    by = tuple(listed[:1]) if listed and not isinstance(listed[0], list) else ()
    shares = [_share(one) for one in listed[len(by) :]]
    known = [one for one in shares if one is not None and one[0] in entry["variants"]]
    if len(shares) != 2 or len(known) != 2 or known[0][0] == known[1][0] or not sum(weight for _, weight in known):
        return Rule(obstacle=f"its fractional does not share between two variants, by whole numbers: write {_EXAMPLE}")
    names = [name for name, _ in known]
    off = _off(entry, names)
    if not off:
        return Rule(obstacle="nothing says which of its variants is the old behaviour: make that its defaultVariant")
    on = next(name for name in names if name != off)
    weights = dict(known)
    exact = -(-100 * weights[on] // sum(weights.values()))
    # Nobody knows how many users have no key, and the default variant is theirs.
    percentage = None if entry.get("defaultVariant") == on else exact
    return Rule(on, off, percentage, by, tuple(names))


def _share(one: Any) -> tuple[str, int] | None:
    if not isinstance(one, list) or len(one) not in (1, 2) or not isinstance(one[0], str):
        return None
    weight = one[1] if len(one) == 2 else 1
    return None if isinstance(weight, bool) or not isinstance(weight, int) or weight < 0 else (one[0], weight)


def _off(entry: Mapping[str, Any], names: list[str]) -> str:
    """Return which of two variants is the old behaviour: the one that is false, or else the default."""
    false = [name for name in names if entry["variants"][name] is False]
    true = [name for name in names if entry["variants"][name] is True]
    if len(false) == len(true) == 1:
        return false[0]
    default = entry.get("defaultVariant")
    return default if default in names else ""


def _pair(entry: Mapping[str, Any]) -> tuple[str, str]:
    """Return the variants that are true and false; empty when they are not one each."""
    true = [name for name, value in entry["variants"].items() if value is True]
    false = [name for name, value in entry["variants"].items() if value is False]
    return (true[0], false[0]) if len(true) == len(false) == 1 and len(entry["variants"]) == 2 else ("", "")
