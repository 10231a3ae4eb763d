"""By which steps and criteria is something judged that was recorded, or made up?

From interlock.yaml without an artefact, as nothing is released; or single criteria as they were written by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from interlock.adapters.store.sqlite import SQLite
from interlock.app.state import StateDirectory
from interlock.config.file import Environment, File
from interlock.config.model import CriteriaBlock
from interlock.config.quantity import guess
from interlock.core.criteria import Control, Criteria, WithoutProof
from interlock.core.judge import History
from interlock.core.plan import Stage
from interlock.core.planning import Intent, Known, lay_out
from interlock.core.record import restore
from interlock.core.release import Artefact, Configuration, Release, Revision
from interlock.core.steps import Step
from interlock.core.strategy import Pace, canary
from interlock.ports.store import StoreError

_ONLY_IN_THE_FILE = ("metrics",)
_KINDS: dict[str, Callable[[Any], Any]] = {"without_proof": WithoutProof, "baseline": Control}


class TermsError(Exception):
    """What to judge by cannot be understood; the message says what was expected."""


def chosen(file: File, name: str | None) -> Environment:
    """Return the environment of this name, production when none is named; raise TermsError when none is judged."""
    try:
        environment = file.environment(name) if name else file.production
    except KeyError as missing:
        raise TermsError(str(missing.args[0])) from missing
    if environment.criteria is None:
        raise TermsError(
            f"{environment.name} in {file.path.name} has no criteria: nothing is judged there by its traffic. Name "
            "another one with --environment"
        )
    return environment


def under(environment: Environment, settings: Sequence[str]) -> Environment:
    """Return the environment with single criteria changed; raise TermsError."""
    return replace(environment, criteria=changed(environment.criteria or Criteria(), settings))


def staged(environment: Environment, rate: float | None) -> Stage:
    """Lay out the environment's steps for a release that is none, at `rate` requests a second (None: not measured)."""
    artefact = Artefact("sha256:none", "nothing: this is no release")
    new, old = (
        Release(environment.service, version, artefact, environment.configuration, environment.common)
        for version in ("the new one", "the old one")
    )
    intent = Intent(
        environment.name,
        environment.entrance,
        environment.strategy,
        replace(environment.pace, approve=False),
        environment.weights,
        environment.criteria,
        new,
    )
    return lay_out(intent, Known(Revision("old", environment.name, old), rate, 1))


def usual_steps() -> tuple[Step, ...]:
    """Return the steps of a canary by default."""
    release = Release("", "", Artefact("sha256:none", ""), Configuration(command=()), "")
    return canary(Revision("new", "", release), Revision("old", "", release), Pace(staged=False))


def changed(criteria: Criteria, settings: Sequence[str]) -> Criteria:
    """Return the criteria with settings such as ``error_rate=0.5%``, written as in the file; raise TermsError."""
    values = dict(map(_setting, settings))
    try:
        block = CriteriaBlock.model_validate(values)
    except ValidationError as invalid:
        raise TermsError(_wrong(invalid, values)) from invalid
    numbers = {name: _KINDS.get(name, _as_it_is)(getattr(block, name)) for name in values}
    return replace(criteria, **numbers)


def _as_it_is(value: Any) -> Any:
    return value


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    known = [one for one in CriteriaBlock.model_fields if one not in _ONLY_IN_THE_FILE]
    if not equals or name not in known:
        near = guess(name, known) if name not in known else ""
        raise TermsError(
            f'--criteria: expected KEY=VALUE with a KEY of criteria, found "{text}"{near or _listed(known)}'
        )
    return name, value


def _listed(known: Sequence[str]) -> str:
    return f"; there are {', '.join(known)}"


def _wrong(invalid: ValidationError, values: Mapping[str, str]) -> str:
    error = invalid.errors(include_url=False)[0]
    name = str(error["loc"][0])
    said = error["msg"].removeprefix("Value error, ")
    return f"--criteria {name}={values.get(name, '')}: {said}"


async def measured(state: StateDirectory, environment: str) -> History | None:
    """Return what is known of the environment's last hour of traffic; None when nothing is."""
    if not state.database.exists():
        return None
    try:
        store = SQLite(state.database, read_only=True)
        kept = await store.recall(environment)
        store.close()
        return restore(History, kept["history"]) if kept else None
    except (StoreError, KeyError, ValueError):  # written by another version: as if nothing had been measured
        return None


def rate(history: History | None) -> float | None:
    """Return requests per second over the last hour; None before there were twenty seconds of it."""
    seconds = sum(covered for covered, _ in history.blocks) if history else 0.0
    return history.baseline.requests / seconds if history and seconds >= 20.0 else None
