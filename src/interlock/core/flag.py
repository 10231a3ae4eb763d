"""How does a feature flag stand in one environment, and how does a release move it?

An exposure is the percentage of users who get the feature: 0 is off. Whoever keeps the flags puts users into buckets,
so that those of 5 % are among those of 25 %.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from itertools import pairwise

from interlock.core.weight import Weight

OFF = 0
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._~-]{0,99}")


@dataclass(frozen=True, slots=True)
class Unleash:
    """An Unleash server: its project, and its own name for our environment.

    `token_secret` names the Admin API's token in the state directory. Clients fetch once in `refresh`, so they must
    have a change after that long.
    """

    url: str
    environment: str
    token_secret: str = ""
    project: str = "default"
    refresh: timedelta = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class FlagFile:
    """A file of flag definitions in flagd's JSON format, which clients have read again after `refresh`."""

    path: str
    refresh: timedelta = timedelta(seconds=5)


FlagSource = Unleash | FlagFile


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag in one environment, and whoever keeps it."""

    name: str
    source: FlagSource

    @property
    def place(self) -> tuple[str, ...]:
        """What tells it from every other flag, by whatever token it is reached."""
        return self.name, *place(self.source)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class FlagState:
    """How a flag stands.

    `percentage` (0 to 100) of the users get it while it is `enabled`; None when it is not given out by percentage.
    `constraints` and `variants` are canonical JSON, one text each. `native` is canonical JSON of all that whoever keeps
    the flag holds of it for this environment and lets us put back: two states are the same when it is.
    """

    enabled: bool
    percentage: int | None = None
    stickiness: str = ""
    constraints: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    native: str = ""

    @property
    def exposure(self) -> int:
        """The percentage of users who may get it now."""
        if not self.enabled:
            return OFF
        return 100 if self.percentage is None else self.percentage

    def __str__(self) -> str:
        word = "enabled" if self.enabled else "disabled"
        return word if self.percentage is None else f"{word} at {self.percentage}%"


def standing(state: FlagState) -> dict[str, object]:
    """Return how a flag stands for programs: `exposure` is the percentage of users who may get it."""
    return {"enabled": state.enabled, "percentage": state.percentage, "exposure": state.exposure}


@dataclass(frozen=True, slots=True)
class Captured:
    """A flag that a rollout holds: how it stood `before`, and how it stands `now` by our own doing.

    `off_by` is who turned it off meanwhile by hand: then nothing automatic turns it on again, and what is put back in
    the end is all but that it was on.
    """

    flag: Flag
    before: FlagState
    now: FlagState
    off_by: str = ""


class OnFlagFailure(StrEnum):
    """What follows when a release is bad while its flag is ramped, with all the traffic on it."""

    FLAG_ONLY = "flag-only"
    EVERYTHING = "everything"


@dataclass(frozen=True, slots=True)
class FlagUse:
    """What a release does with a flag.

    `disable` it before anything starts. At 100 % of the traffic, expose it to the percentages of `ramp`, one after
    another, each watched for `bake`. `during` are (weight, percentage) of a canary: once that weight has been watched,
    the flag goes to that percentage and is watched. `recovered_for` is how long the code must do well without the flag
    after a bad step, for it to stay.
    """

    flag: Flag
    disable: bool = True
    ramp: tuple[int, ...] = (5, 25, 50, 100)
    during: tuple[tuple[Weight, int], ...] = ()
    bake: timedelta = timedelta(minutes=5)
    on_failure: OnFlagFailure = OnFlagFailure.FLAG_ONLY
    recovered_for: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        way = (*(percentage for _, percentage in self.during), *self.ramp)
        for percentage in way:
            if not 0 < percentage <= 100:
                raise ValueError(f"flag {self.flag}: expected percentages above 0, at most 100, found {percentage}")
        for before, after in pairwise(way):
            if after <= before:
                raise ValueError(f"flag {self.flag}: percentages must rise: {after} comes after {before}")


def merged(held: tuple[Captured, ...], news: tuple[Captured, ...]) -> tuple[Captured, ...]:
    """Return what is held after news of it; how a flag stood before, and who turned it off, are kept."""
    known = {one.flag: one for one in held}
    for one in news:
        first = known.get(one.flag, one)
        known[one.flag] = replace(one, before=first.before, off_by=first.off_by)
    return tuple(known.values())


def turned_off(held: tuple[Captured, ...], flag: Flag, by: str) -> tuple[Captured, ...]:
    """Return what is held once a person has turned a flag off; with "" for `by`, once it is on again by hand."""
    return tuple(replace(one, off_by=by) if one.flag.place == flag.place else one for one in held)


def place(source: FlagSource) -> tuple[str, ...]:
    """Return what tells one place of flags from another, by whatever token it is reached."""
    match source:
        case Unleash(url, environment, project=project):
            return url, project, environment
        case FlagFile(path):
            return (path,)


def named(text: str) -> str:
    """Accept the name of a flag; raise ValueError for what could not be one everywhere."""
    if not _NAME.fullmatch(text):
        shown = text if len(text) <= 60 else f"{text[:57]}…"
        raise ValueError(
            f'expected the name of a flag (letters, digits and _ . - ~, at most 100 in all), found "{shown}"'
        )
    return text


def references(sources: Iterable[FlagSource]) -> tuple[str, ...]:
    """Return the secrets that are needed to reach these flags, as the file names them."""
    return tuple(one.token_secret for one in sources if isinstance(one, Unleash) and one.token_secret)


def sealed(source: FlagSource, fingerprints: Mapping[str, str]) -> FlagSource:
    """Name the token by its fingerprint in place of its reference; raise KeyError for one that has none."""
    if isinstance(source, Unleash) and source.token_secret:
        return replace(source, token_secret=fingerprints[source.token_secret])
    return source


def sealed_use(use: FlagUse, fingerprints: Mapping[str, str]) -> FlagUse:
    """Do the same for what a release does with a flag."""
    return replace(use, flag=replace(use.flag, source=sealed(use.flag.source, fingerprints)))
