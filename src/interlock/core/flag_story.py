"""What became of the feature flags in a rollout: how did each stand before, which way did it go, how does it stand?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.core.account import Account, Happened
from interlock.core.flag import OFF, FlagState, standing
from interlock.core.prose import words as said
from interlock.core.record import restore
from interlock.core.steps import SetFlag


@dataclass(frozen=True, slots=True)
class Moved:
    """How a flag stood from this moment on; `by` is who moved it, where that was not the rollout."""

    at: datetime
    state: FlagState
    by: str = ""


@dataclass(frozen=True, slots=True)
class FlagStory:
    """One flag in one rollout: as it stood `before`, and all that is on record since, at least once.

    `trouble` says why how it stands is not known for sure.
    """

    environment: str
    flag: str
    before: FlagState
    way: tuple[Moved, ...]
    trouble: str = ""
    off_by: str = ""

    @property
    def now(self) -> FlagState:
        """As it stands by what is on record."""
        return self.way[-1].state

    def __str__(self) -> str:
        if self.trouble:
            return f"{self.flag}: {self.trouble}; on record last is {self.now}"
        return f"{self.flag}: {self.now}"

    @property
    def turns(self) -> tuple[Moved, ...]:
        """The moments in which its exposure changed, or somebody else moved it."""
        found: list[Moved] = []
        last = self.before
        for one in self.way:
            if one.by or one.state.exposure != last.exposure:
                found.append(one)
            last = one.state
        return tuple(found)


def stories(account: Account) -> tuple[FlagStory, ...]:
    """Return what is on record of each flag, in the order in which they were captured."""
    found: dict[str, FlagStory] = {}
    for one in account.of_kind("flag"):
        known = _read(account, one)
        if known is None:
            continue
        told = found.get(known.flag)
        found[known.flag] = known if told is None else replace(told, way=(*told.way, *known.way), off_by=known.off_by)
    return tuple(_doubted(account, one) for one in found.values())


def told(accounts: Sequence[Account]) -> list[str]:
    """Lay out how each flag stands after the run, how it stood before, and its way from there to here."""
    lines = [line for account in accounts for line in _told(account)]
    return lines or ["- none are part of this release"]


def documents(accounts: Sequence[Account]) -> list[dict[str, Any]]:
    """Return the same for programs."""
    return [
        {
            "environment": one.environment,
            "flag": one.flag,
            "before": standing(one.before),
            "now": standing(one.now),
            "trouble": one.trouble or None,
            "off_by": one.off_by or None,
            "way": [{"at": turn.at.isoformat(), **standing(turn.state), "by": turn.by or None} for turn in one.turns],
        }
        for account in accounts
        for one in stories(account)
    ]


def _told(account: Account) -> Iterator[str]:
    for one in stories(account):
        before = "as before" if one.now == one.before else f"before: {one.before}"
        if one.off_by and not one.now.exposure and one.before.exposure and account.rollout.going_back:
            before += f"; left off, as {one.off_by} turned it off"
        yield f"- {said(str(one))} ({one.environment}; {before})"
        if one.turns:
            yield f"  - {said(', '.join(_turn(turn) for turn in one.turns))}"
    yield from (f"- {said(one.text)}" for one in account.of_kind("flag") if _read(account, one) is None)
    if account.rollout.retracted and not account.rollout.going_back:
        yield f"- **Rolled back in {account.environment} were the flags alone: {said(account.rollout.retracted)}**"


def _turn(turn: Moved) -> str:
    share = "off" if turn.state.exposure == OFF else f"on at {turn.state.exposure}%"
    return f"{turn.at:%H:%M:%S} {share}{f' by {turn.by}' if turn.by else ''}"


def _read(account: Account, one: Happened) -> FlagStory | None:
    """Read a line; None for one of another version."""
    data: Mapping[str, Any] = one.data
    try:
        before, now = restore(FlagState, data["before"]), restore(FlagState, data["now"])
        name = str(data["flag"])
    except (KeyError, ValueError):
        return None
    by = str(data.get("by", "")) or ("" if one.told_by_its_step or now == before else "somebody else")
    return FlagStory(account.environment, name, before, (Moved(one.at, now, by),), off_by=str(data.get("off_by", "")))


def _doubted(account: Account, one: FlagStory) -> FlagStory:
    """Say what is not known: a flag that was commanded off and not confirmed, and may have been on its way up."""
    confirmed = any(line.back and line.data.get("flag") == one.flag for line in account.of_kind("flag"))
    if account.rollout.pulling and not confirmed:
        return replace(one, trouble=f"commanded off, not confirmed yet{_on_its_way(account, one)}")
    return one


def _on_its_way(account: Account, one: FlagStory) -> str:
    """Say to how many users it was being given in the moment of turning back: that may have been done."""
    last = account.rollout.reached[-1:]
    up = [step.percentage for step in last if isinstance(step, SetFlag) and step.flag.name == one.flag]
    return f", when it was being turned on at {up[0]}%" if up and up[0] > OFF else ""
