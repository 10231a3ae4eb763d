"""How does a flag stand in one environment of Unleash, and which writes take it from one standing to another?

Strategies of an environment are ORed: a user gets the feature by any that is active. Ids are Unleash's own: it gives a
strategy that is created again another one, so they are no part of how a flag stands.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interlock.core.flag import FlagState
from interlock.ports.flags import Unmovable

GRADUAL = "flexibleRollout"
_HELD = ("name", "title", "disabled", "parameters", "constraints", "variants", "segments", "sortOrder")

Strategy = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether the environment has the flag on, and its strategies, in order; `ids` are theirs, when they are known."""

    enabled: bool
    strategies: tuple[Strategy, ...]
    ids: tuple[str, ...] = ()

    @property
    def active(self) -> tuple[int, ...]:
        """Return which strategies count."""
        return tuple(index for index, one in enumerate(self.strategies) if not one["disabled"])

    @property
    def moved(self) -> int | None:
        """Return which strategy a percentage would move; None when there is none, or more than one."""
        active = self.active
        if active:
            return active[0] if len(active) == 1 and self._gradual(active[0]) else None
        waiting = [index for index in range(len(self.strategies)) if self._gradual(index)]
        return waiting[0] if len(waiting) == 1 else None

    @property
    def obstacle(self) -> str:
        """Say why no percentage can be moved safely, and what to do; nothing when one can be."""
        active = self.active
        if len(active) > 1:
            return (
                f"it has {len(active)} active strategies, and users get the feature by any of them: leave one gradual "
                "rollout active"
            )
        if active and not self._gradual(active[0]):
            kind = self.strategies[active[0]]["name"]
            return f'its strategy is of type "{kind}": replace it by a gradual rollout ({GRADUAL})'
        if not active and self.enabled:
            return "it is enabled without an active strategy: add a gradual rollout, or disable it"
        if not active and self.moved is None and any(self._gradual(i) for i in range(len(self.strategies))):
            return "it has several gradual rollouts, all disabled: enable the one that is to be moved"
        return ""

    def state(self) -> FlagState:
        """Return how it stands, in our words."""
        if self.moved is None:
            return FlagState(self.enabled, native=self.native())
        one = self.strategies[self.moved]
        segments = ({"segment": segment} for segment in one["segments"])
        return FlagState(
            self.enabled,
            _percentage(one["parameters"].get("rollout")),
            str(one["parameters"].get("stickiness", "")),
            tuple(canonical(item) for item in (*one["constraints"], *segments)),
            tuple(canonical(item) for item in one["variants"]),
            self.native(),
        )

    def native(self) -> str:
        """Return all that Unleash lets us put back, as canonical JSON."""
        return canonical({"enabled": self.enabled, "strategies": list(self.strategies)})

    def _gradual(self, index: int) -> bool:
        return bool(self.strategies[index]["name"] == GRADUAL)


@dataclass(frozen=True, slots=True)
class Way:
    """The writes between two standings, in the order in which they stand here.

    `off`: it is turned off first, for more than one strategy changes, and some of either standing together could give
    the feature to more users than each of them does. Else: what goes, goes; then one becomes what it shall be; then
    what is missing comes. So it is at each moment a part of the one standing or of the other.
    """

    off: bool
    gone: tuple[str, ...]
    changed: tuple[tuple[str, Strategy], ...]
    missing: tuple[Strategy, ...]
    order: tuple[tuple[str, int], ...]


def way(now: Standing, then: Standing) -> Way:
    """Return the writes that lead from `now` to `then`, but for turning it on at the end: none where all is equal."""
    old, wanted = dict(zip(now.ids, now.strategies, strict=True)), list(then.strategies)
    for key, strategy in tuple(old.items()):
        if strategy in wanted:
            wanted.remove(strategy)
            del old[key]
    changed: list[tuple[str, Strategy]] = []
    for key, strategy in tuple(old.items()):
        heir = next((one for one in wanted if one["name"] == strategy["name"]), None)
        if heir is not None:
            wanted.remove(heir)
            changed.append((key, heir))
            del old[key]
    order = tuple((key, heir["sortOrder"]) for key, heir in changed if heir["sortOrder"] != _of(now, key)["sortOrder"])
    written = tuple(
        (key, heir) for key, heir in changed if {**_of(now, key), "sortOrder": 0} != {**heir, "sortOrder": 0}
    )
    return Way(now.enabled and (len(written) > 1 or not then.enabled), tuple(old), written, tuple(wanted), order)


def read(found: Mapping[str, Any]) -> Standing:
    """Read one environment of a flag, as the Admin API shows it."""
    listed = sorted(found.get("strategies", ()), key=lambda one: one.get("sortOrder", 0))
    return Standing(
        bool(found["enabled"]), tuple(_held(one) for one in listed), tuple(str(one.get("id", "")) for one in listed)
    )


def recall(native: str) -> Standing:
    """Return the standing that `Standing.native` wrote down."""
    try:
        held = json.loads(native)
        return Standing(bool(held["enabled"]), tuple(_held(one) for one in held["strategies"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Unmovable(
            "what was written down of the flag is not how Unleash holds one; put it back by hand"
        ) from error


def body(strategy: Strategy) -> dict[str, Any]:
    """Return a strategy as it is sent."""
    return {**strategy, "variants": evened(strategy["variants"])}


def evened(variants: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return variants in the order in which Unleash leaves their weights as they are.

    It evens out the weights of variable ones at every write, and gives what remains of 1000 to those that come first.
    """
    return sorted(variants, key=lambda one: -int(one.get("weight", 0)))


def canonical(value: Any) -> str:
    """Return the one way to write this as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _of(standing: Standing, key: str) -> Strategy:
    return standing.strategies[standing.ids.index(key)]


def _held(found: Mapping[str, Any]) -> dict[str, Any]:
    held: dict[str, Any] = {key: found.get(key) for key in _HELD}
    held["disabled"] = bool(held["disabled"])
    held["sortOrder"] = held["sortOrder"] or 0
    held["parameters"] = dict(held["parameters"] or {})
    for key in ("constraints", "variants"):
        held[key] = list(held[key] or ())
    held["segments"] = sorted(held["segments"] or ())
    return held


def _percentage(rollout: Any) -> int:
    """Return the whole percentage that is not less; Unleash keeps any text, and what is no number may be all."""
    try:
        return min(100, max(0, math.ceil(float(rollout))))
    except (TypeError, ValueError, OverflowError):
        return 100
