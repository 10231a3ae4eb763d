"""What must be so in the world around a release, before it starts and all the time while it goes on?

Declared in the file, fixed in the plan, asked by the engine again and again. What is not declared is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, TypeVar, cast

from interlock.core.approval import Policy
from interlock.core.checks import Checks
from interlock.core.incidents import Incidents
from interlock.core.on_call import OnCall
from interlock.core.steps import GateName
from interlock.core.verification import Verification
from interlock.core.window import Window

OVERRIDABLE = frozenset({GateName.TESTS, GateName.WINDOW})
"""What a person may override with a reason; staging, the way back, health and incidents nobody may."""


@dataclass(frozen=True, slots=True)
class Override:
    """A person's recorded word that a gate may be passed although it is closed."""

    gate: GateName
    by: str
    reason: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is declared for one environment, and what this release is excused from.

    `fixes` names the incident that this release is to end: it holds nothing up once somebody on call has approved.
    `approvals` says whose word counts where a person is asked; without, a local user's, which nothing proves.
    `agents_promote`: an agent may end a watch without proof here. `image` is what must be proven of an image.
    """

    tests: Checks | None = None
    incidents: Incidents | None = None
    window: Window | None = None
    on_call: OnCall | None = None
    overrides: tuple[Override, ...] = ()
    fixes: str = ""
    approvals: Policy | None = None
    agents_promote: bool = False
    image: Verification | None = None

    @property
    def gates(self) -> tuple[GateName, ...]:
        """The gates that are asked, the cheapest first."""
        declared = {
            GateName.WINDOW: self.window,
            GateName.NO_INCIDENT: self.incidents,
            GateName.ON_CALL: self.on_call,
            GateName.TESTS: self.tests,
            GateName.IMAGE: self.image,
        }
        return tuple(name for name, condition in declared.items() if condition is not None)

    def overridden(self, gate: GateName) -> Override | None:
        """Return the word by which this gate may be passed, if there is one."""
        return next((one for one in self.overrides if one.gate is gate), None)

    def references(self) -> Iterator[str]:
        """Yield the secrets that sources need, as the file names them."""
        for one in (*self._sources(), *self._ways()):
            yield from (getattr(one, name) for name in _secrets(one))
        yield from self.image.access.references() if self.image else ()

    def sealed(self, fingerprints: Mapping[str, str]) -> Conditions:
        """Name each secret by its fingerprint in place of its reference; raise KeyError for one that has none."""
        tests, fires, call, window = self.tests, self.incidents, self.on_call, self.window
        return replace(
            self,
            tests=tests and replace(tests, sources=tuple(_sealed(one, fingerprints) for one in tests.sources)),
            incidents=fires and replace(fires, sources=tuple(_sealed(one, fingerprints) for one in fires.sources)),
            window=window and _sealed(window, fingerprints),
            on_call=call
            and replace(
                call,
                source=_sealed(call.source, fingerprints),
                reach=tuple(replace(one, by=tuple(_sealed(way, fingerprints) for way in one.by)) for one in call.reach),
            ),
            image=self.image and replace(self.image, access=self.image.access.sealed(fingerprints)),
        )

    def _sources(self) -> Iterator[object]:
        yield from self.tests.sources if self.tests else ()
        yield from self.incidents.sources if self.incidents else ()
        yield from (self.on_call.source,) if self.on_call else ()
        yield from (self.window,) if self.window else ()

    def _ways(self) -> Iterator[object]:
        yield from (way for one in (self.on_call.reach if self.on_call else ()) for way in one.by)


S = TypeVar("S")


def _sealed(source: S, fingerprints: Mapping[str, str]) -> S:
    named = {name: fingerprints[getattr(source, name)] for name in _secrets(source)}
    return cast(S, replace(cast(Any, source), **named)) if named else source


def _secrets(one: object) -> list[str]:
    """Return the fields that name a secret which is there."""
    named = [field.name for field in fields(cast(Any, one)) if field.name.endswith("_secret")]
    return [name for name in named if getattr(one, name)]
