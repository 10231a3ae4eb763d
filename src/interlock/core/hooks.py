"""Whom else does a rollout ask before it goes on, or tell once it has ended, and what are they given?

A hook is a server or a command of the user's. What is asked ``before`` something is a gate; what is told afterwards
never holds anything up. In the file a secret is a reference, in a plan the fingerprint of its value (see `sealed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from interlock.core.release import fingerprint
from interlock.core.steps import GateName, SetWeight

if TYPE_CHECKING:
    from interlock.core.plan import Plan
    from interlock.core.rollout import Rollout
    from interlock.core.sample import Side


class When(StrEnum):
    """When a hook has its say, or is told."""

    BUILD = "before-build"
    START = "before-start"
    TRAFFIC = "before-traffic"
    PROMOTION = "before-promotion"
    AFTER = "after"
    ROLLBACK = "on-rollback"


TOLD = frozenset({When.AFTER, When.ROLLBACK})
GATES = {
    GateName.BEFORE_START: When.START,
    GateName.BEFORE_TRAFFIC: When.TRAFFIC,
    GateName.BEFORE_PROMOTION: When.PROMOTION,
}
"""Which gate of a plan asks which hooks; before the build there is no plan yet."""


@dataclass(frozen=True, slots=True)
class Post:
    """Facts by POST to `url`, or to the address that the secret `url_secret` holds; status 2xx is yes."""

    url: str = ""
    url_secret: str = ""
    token_secret: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """Facts on the standard input of a command, and in its environment; exit status 0 is yes."""

    argv: tuple[str, ...]
    directory: str = ""
    token_secret: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """Who is asked or told, when, and how long they may take."""

    when: When
    by: Post | Program
    timeout: timedelta = timedelta(seconds=30)
    name: str = ""

    def __str__(self) -> str:
        return self.name or (" ".join(self.by.argv) if isinstance(self.by, Program) else self.by.url or "a secret URL")

    def references(self) -> Iterator[str]:
        """Yield the secrets that it needs, as it names them."""
        for name in _secret(self.by):
            if reference := getattr(self.by, name):
                yield reference

    def sealed(self, fingerprints: Mapping[str, str]) -> Hook:
        """Name each secret by its fingerprint in place of its reference; raise KeyError for one that has none."""
        named = {name: fingerprints[value] for name in _secret(self.by) if (value := getattr(self.by, name))}
        by: Any = self.by
        return replace(self, by=replace(by, **named))


@dataclass(frozen=True, slots=True)
class Consent:
    """That a hook said yes before a version was built; `key` is the question's."""

    environment: str
    hook: str
    key: str
    at: datetime
    reason: str = ""


def gates(hooks: tuple[Hook, ...]) -> tuple[GateName, ...]:
    """Return the gates that a plan has for these hooks."""
    return tuple(gate for gate, when in GATES.items() if any(hook.when is when for hook in hooks))


def due(hooks: tuple[Hook, ...], when: When) -> tuple[tuple[int, Hook], ...]:
    """Return who has a say at this moment, with their places in the file from 1."""
    return tuple((place, hook) for place, hook in enumerate(hooks, 1) if hook.when is when)


def missing(plan: Plan) -> str:
    """Say what a plan lacks of the consent to build that its stages ask for; "" when it lacks none."""
    given = {(one.environment, one.hook) for one in plan.consents}
    for stage in plan.stages:
        for _, hook in due(stage.hooks, When.BUILD):
            if (stage.environment, str(hook)) not in given:
                return f"{stage.environment} asks {hook} before a version is built, and the plan has no yes of it"
    return ""


def key(rollout: Rollout, place: int, hook: Hook, about: str) -> str:
    """Return the name of one question: the same for whoever asks it again, and no other's, on no other machine."""
    return f"{rollout.id}.{hook.when.value}-{place}.{about}.{unique(rollout)}"


def unique(rollout: Rollout) -> str:
    """Return eight digits that differ for what is called the same elsewhere: rollouts are numbered on each machine."""
    return fingerprint([rollout.plan, rollout.started.isoformat(), rollout.id])[:8]


def asked(hook: Hook, rollout: Rollout, key: str) -> dict[str, Any]:
    """Return what whoever is asked is given of a rollout as it stands."""
    return {**question(hook, key), **facts(rollout)}


def question(hook: Hook, key: str) -> dict[str, Any]:
    """Return what is asked, or told."""
    return {"schema": 1, "key": key, "when": hook.when.value, "hook": str(hook)}


def facts(rollout: Rollout) -> dict[str, Any]:
    """Return what there is to know of a rollout as it stands; no secret is in any record."""
    stage = rollout.stage
    release, old = stage.revision.release, stage.replaces
    return {
        "service": release.service,
        "environment": stage.environment,
        "version": release.version,
        "old_version": old.release.version if old else None,
        "release": release.identity,
        "artefact": release.artefact.digest,
        "commit": release.artefact.commit or None,
        "strategy": stage.strategy.value,
        "rollout": rollout.id,
        "run": rollout.run,
        "plan": rollout.plan,
        "by": rollout.by,
        "phase": rollout.phase.value,
        "step": rollout.index + 1,
        "steps": len(rollout.way),
    }


def evidence(verdict: str | None, canary: Side | None, stable: Side | None) -> dict[str, Any]:
    """Return what the judge said last and what was counted, as far as there is any of it."""
    sides = {"canary": canary, "stable": stable}
    counts = {
        name: {"requests": round(side.completed), "failed": round(side.failed)}
        for name, side in sides.items()
        if side is not None and side.completed
    }
    return {**({"verdict": verdict} if verdict else {}), **({"counts": counts} if counts else {})}


def weights(rollout: Rollout) -> dict[str, Any]:
    """Return from which weight to which the next step goes that changes it, in percent."""
    ahead = rollout.stage.steps[rollout.index :]
    to = next((step.weight for step in ahead if isinstance(step, SetWeight)), None)
    return {"weight": {"from": rollout.weight.points / 100, "to": (to or rollout.weight).points / 100}}


def variables(facts: Mapping[str, Any]) -> dict[str, str]:
    """Return the facts as environment variables: what is nested has its names joined, what is not known is left out."""
    return dict(_flat("INTERLOCK", facts))


def _flat(prefix: str, facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        whole = f"{prefix}_{name.upper()}"
        if isinstance(value, Mapping):
            yield from _flat(whole, value)
        elif value is not None:
            yield whole, f"{value:g}" if isinstance(value, float) else clean(str(value))


def clean(text: str, longest: int = 2000) -> str:
    """Return a text as one line without control characters, cut to a length."""
    line = "".join(one if one.isprintable() else " " for one in text).strip()
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def _secret(by: Post | Program) -> list[str]:
    return [field.name for field in fields(by) if field.name.endswith("_secret")]
