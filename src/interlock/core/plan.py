"""What will be done, and how would it be taken back? Both are complete before the start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from interlock.core.channel import Channel, DeploymentLog
from interlock.core.conditions import Conditions
from interlock.core.criteria import Criteria
from interlock.core.flag import FlagUse
from interlock.core.hooks import Consent, Hook
from interlock.core.migration import Migration
from interlock.core.record import plain
from interlock.core.release import Entrance, Revision, fingerprint
from interlock.core.route import Route
from interlock.core.steps import (
    CaptureFlags,
    ConfirmFlags,
    Drain,
    Gate,
    Load,
    Migrate,
    PullFlags,
    RestoreFlags,
    Retire,
    SetFlag,
    Settle,
    SetWeight,
    Smoke,
    Start,
    Step,
    Watch,
)
from interlock.core.weight import Weight


class StrategyName(StrEnum):
    """The three ways to production, and the way of a flag alone, whose code runs there already."""

    ROLLING = "rolling"
    BLUE_GREEN = "blue-green"
    CANARY = "canary"
    FLAG = "flag"


OF_CODE = (StrategyName.ROLLING, StrategyName.BLUE_GREEN, StrategyName.CANARY)
"""The ways of a release of code."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One environment's part of a plan.

    `replaces` is the revision last proven healthy, the rollback's target; None before a first release. `steps` and
    `rollback` name only these two revisions. `criteria` is None where the evidence is health and smoke tests alone.
    `proven_in` is the environment whose proof the staging gate reads. `notes` are what a reader of the plan must know.
    `conditions` must hold in the world around the release, at the start and all the time. `hooks` are asked before it
    goes on, and told what became of it. `flags` move with it. When the release is bad while a flag is ramped, `retract`
    takes the flags back and leaves the code where it is; empty where everything goes back. A flag alone replaces the
    revision by itself.
    """

    environment: str
    entrance: Entrance
    strategy: StrategyName
    revision: Revision
    replaces: Revision | None
    steps: tuple[Step, ...]
    rollback: tuple[Step, ...]
    criteria: Criteria | None = None
    proven_in: str = ""
    proof_valid_for: timedelta = timedelta(days=7)
    notes: tuple[str, ...] = ()
    conditions: Conditions = Conditions()
    hooks: tuple[Hook, ...] = ()
    flags: tuple[FlagUse, ...] = ()
    retract: tuple[Step, ...] = ()

    def route(self, weight: Weight) -> Route:
        """Return the route that gives the new revision this weight."""
        stable = self.replaces.name if self.replaces else None
        return Route(self.environment, stable, self.revision.name, weight, self.revision.offset)

    def settled(self, revision: str | None) -> Route:
        """Return the route that names only this revision."""
        return Route(self.environment, revision)

    @property
    def retreat(self) -> Route:
        """The route of the rollback: everything on the revision last proven healthy, nothing else named."""
        return self.settled(self.replaces.name if self.replaces else None)

    def known(self, name: str) -> Revision:
        """Return the revision of this stage with this name; raise KeyError when it is neither of the two."""
        for revision in (self.revision, self.replaces):
            if revision is not None and revision.name == name:
                return revision
        raise KeyError(f"{name} is no revision of the plan for {self.environment}")

    @property
    def shortest(self) -> timedelta:
        """How long the stage takes at least: its bakes and its synthetic load."""
        return self.watched + self.loaded

    @property
    def watched(self) -> timedelta:
        """How long users' requests are watched at least."""
        return sum((s.duration for s in self.steps if isinstance(s, Watch)), timedelta(0))

    @property
    def loaded(self) -> timedelta:
        """How long requests of our own are sent at least; zero where none are planned."""
        return sum((s.duration for s in self.steps if isinstance(s, Load)), timedelta(0))

    @property
    def longest(self) -> timedelta:
        """How long the stage can take at most before it goes back by itself: every deadline used up."""
        longest = timedelta(0)
        for step in self.steps:
            match step:
                case Watch(duration=duration, patience=patience):
                    longest += duration + patience
                case Start(within=within) | Smoke(within=within) | SetWeight(within=within) | Drain(within=within):
                    longest += within
                case Load(within=within) | CaptureFlags(within=within) | SetFlag(within=within):
                    longest += within
                case PullFlags(within=within) | ConfirmFlags(within=within):
                    longest += within
                case Gate(patience=patience):
                    longest += patience
                case Migrate(migration=migration):
                    longest += migration.timeout + self.revision.release.configuration.stop_within
                case Settle() | Retire() | RestoreFlags():
                    pass
        return longest

    @property
    def migration(self) -> Migration | None:
        """What is done once with the new release before it starts."""
        return next((step.migration for step in self.steps if isinstance(step, Migrate)), None)

    @property
    def not_undone(self) -> str:
        """What the rollback cannot undo; "" when there is nothing of that kind."""
        if self.migration is None:
            return ""
        if self.migration.irreversible:
            return f"going back cannot undo the migration {self.migration} once it has begun: it is IRREVERSIBLE"
        return f"going back runs no migration: what {self.migration} has changed by then stays"

    @property
    def flag_alone(self) -> bool:
        """Whether only a flag moves: the code runs here already, carries all the traffic, and stays."""
        return self.strategy is StrategyName.FLAG

    @property
    def instances(self) -> int:
        """The full set of the new revision."""
        return self.revision.release.configuration.instances


@dataclass(frozen=True, slots=True)
class Plan:
    """A release's way through its environments, in order, under one hash.

    Each stage names the revision it replaces: a plan is refused when another one has become stable meanwhile.
    `channels` are told what becomes of it, and it enters itself in `log`. `links` is the address under which a server
    takes what people do by the links in their messages; "" where none does. `consents` are the answers of those who
    were asked before it was built.
    """

    service: str
    version: str
    stages: tuple[Stage, ...]
    made_at: datetime
    by: str = ""
    channels: tuple[Channel, ...] = ()
    log: DeploymentLog | None = None
    consents: tuple[Consent, ...] = ()
    links: str = ""

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over all that will be done; when, by whom and with whose leave is not."""
        told = [*self.channels, *([self.log] if self.log else [])]
        where = [self.links] if self.links else []
        return fingerprint([*(plain(stage) for stage in self.stages), *(plain(one) for one in told), *where])

    def stage(self, environment: str) -> Stage:
        """Return the part for one environment; raise KeyError when the plan has none."""
        for stage in self.stages:
            if stage.environment == environment:
                return stage
        raise KeyError(f"the plan {self.hash} has no environment {environment}")
