"""Of what is a plan made?

Each step names a state to reach, so that doing it twice is doing it once: after a crash the next owner repeats the step
it finds. Steps name revisions, never roles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from interlock.core.flag import OFF, Flag
from interlock.core.migration import Migration
from interlock.core.weight import Weight


class GateName(StrEnum):
    """What must be so before a rollout starts."""

    STAGING = "staging"
    NOT_QUARANTINED = "not-quarantined"
    ROLLBACK_READY = "rollback-ready"
    TESTS = "tests-passed"
    NO_INCIDENT = "no-incident"
    WINDOW = "window"
    ON_CALL = "on-call"
    IMAGE = "image-verified"
    BEFORE_START = "before-start"
    BEFORE_TRAFFIC = "before-traffic"
    BEFORE_PROMOTION = "before-promotion"


class Until(StrEnum):
    """What ends a watch well."""

    PROVEN = "proven"
    QUIET = "quiet"
    RECOVERED = "recovered"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class Gate:
    """Go on only when this gate is open; go back when it is still closed after `patience`."""

    name: GateName
    patience: timedelta = timedelta(minutes=30)

    def __str__(self) -> str:
        return f"gate: {self.name.value.replace('-', ' ')}"


@dataclass(frozen=True, slots=True)
class Migrate:
    """Have the release's migration done, once for this release here, before any of its instances starts."""

    revision: str
    migration: Migration

    def __str__(self) -> str:
        return f"migration: {self.migration}" + (" (IRREVERSIBLE)" if self.migration.irreversible else "")


@dataclass(frozen=True, slots=True)
class Start:
    """Have this many instances of the revision running, ready, and healthy at the data plane. Takes no traffic."""

    revision: str
    instances: int
    within: timedelta

    def __str__(self) -> str:
        return f"start {_count(self.instances, 'instance')} of {self.revision}"


@dataclass(frozen=True, slots=True)
class Smoke:
    """Run the smoke tests against the revision's preview."""

    revision: str
    within: timedelta

    def __str__(self) -> str:
        return f"smoke tests of {self.revision}"


@dataclass(frozen=True, slots=True)
class Load:
    """Send so many `requests` of our own to the preview of each of two revisions, `rate` a second to each.

    No user is involved, and no user's counter: the two are compared by requests that both have had alike. `paths` are
    asked in turn. What is not sent `within` is not sent any more.
    """

    revision: str
    beside: str
    rate: float
    requests: int
    within: timedelta
    paths: tuple[str, ...] = ("/",)
    method: str = "GET"

    @property
    def duration(self) -> timedelta:
        """How long it takes at least."""
        return timedelta(seconds=self.requests / self.rate)

    def __str__(self) -> str:
        return (
            f"synthetic load: {self.requests:,} requests to {self.revision} and to {self.beside}, {self.rate:g}/s each"
        )


@dataclass(frozen=True, slots=True)
class CaptureFlags:
    """Write down how each flag stands, for the rollback to restore; refuse one that cannot be moved safely."""

    flags: tuple[Flag, ...]
    within: timedelta = timedelta(minutes=5)

    def __str__(self) -> str:
        return f"capture {_flags(self.flags)}"


@dataclass(frozen=True, slots=True)
class SetFlag:
    """Expose a flag to this percentage of users (0: off), read back, and known to whoever evaluates it."""

    flag: Flag
    percentage: int
    within: timedelta = timedelta(seconds=60)

    def __str__(self) -> str:
        return f"flag {self.flag}: " + ("off" if self.percentage == OFF else f"on at {self.percentage}%")


@dataclass(frozen=True, slots=True)
class PullFlags:
    """Command the flags off, and go on after `within` at the latest; what is not confirmed is commanded again."""

    flags: tuple[Flag, ...]
    within: timedelta = timedelta(milliseconds=250)

    def __str__(self) -> str:
        return f"{_flags(self.flags)}: off, waited for at most {self.within.total_seconds() * 1000:g} ms"


@dataclass(frozen=True, slots=True)
class ConfirmFlags:
    """Wait until whoever keeps the flags has confirmed that they are off."""

    flags: tuple[Flag, ...]
    within: timedelta = timedelta(hours=1)

    def __str__(self) -> str:
        return f"{_flags(self.flags)}: confirmed off"


@dataclass(frozen=True, slots=True)
class RestoreFlags:
    """Put back exactly what stood before the rollout."""

    flags: tuple[Flag, ...]

    def __str__(self) -> str:
        return f"{_flags(self.flags)}: as before"


@dataclass(frozen=True, slots=True)
class SetWeight:
    """Send this share of the traffic to the canary, observed at the data plane before the step is done."""

    weight: Weight
    within: timedelta = timedelta(seconds=30)

    def __str__(self) -> str:
        return f"weight {self.weight}"


@dataclass(frozen=True, slots=True)
class Watch:
    """Observe for at least `duration` of seen time; end well when `until` holds.

    At `duration` without what `until` asks for the watch holds, and after `patience` more it ends badly. `last` marks
    the watch at the whole weight, with the old revision kept warm: the phase `watching`. `about` is what a person
    agrees to, where that is not the release as a whole.
    """

    duration: timedelta
    until: Until
    patience: timedelta = timedelta(minutes=30)
    last: bool = False
    about: str = ""

    def __str__(self) -> str:
        match self.until:
            case Until.PROVEN:
                return f"watch {spell(self.duration)}, until proven"
            case Until.APPROVED:
                of = f" of {self.about}" if self.about else ""
                return f"wait for approval{of}, at most {spell(self.patience)}"
            case Until.RECOVERED:
                return f"watch until back to normal for {spell(self.duration)}"
        return f"watch {spell(self.duration)}"


@dataclass(frozen=True, slots=True)
class Settle:
    """Make the route name only this revision (or, before a first release, none): weights do not change."""

    revision: str | None

    def __str__(self) -> str:
        return f"route names only {self.revision}" if self.revision else "route answers 503: nothing is released"


@dataclass(frozen=True, slots=True)
class Drain:
    """Send the revision's instances above `keep` no new requests; wait for those under way, at most `within`."""

    revision: str
    keep: int
    within: timedelta

    def __str__(self) -> str:
        return f"drain {self.revision}" + (f" down to {_count(self.keep, 'instance')}" if self.keep else "")


@dataclass(frozen=True, slots=True)
class Retire:
    """Stop the revision's drained instances above `keep`."""

    revision: str
    keep: int

    def __str__(self) -> str:
        return f"retire {self.revision}" + (f" down to {_count(self.keep, 'instance')}" if self.keep else "")


FlagStep = CaptureFlags | SetFlag | PullFlags | ConfirmFlags | RestoreFlags
Step = Gate | Migrate | Start | Smoke | Load | SetWeight | Watch | Settle | Drain | Retire | FlagStep


def spell(duration: timedelta) -> str:
    """Write a duration as people say it: ``90 s`` is ``1 min 30 s``."""
    seconds = duration.total_seconds()
    if seconds < 60:
        return f"{seconds:g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _flags(flags: tuple[Flag, ...]) -> str:
    return f"flag{'' if len(flags) == 1 else 's'} {', '.join(map(str, flags))}"
