"""May a rollout start, or go on? Each gate says why not, in words a person understands.

A gate is closed when it cannot be answered: no evidence is never success.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from interlock.core.conditions import Override
from interlock.core.incidents import Incident
from interlock.core.on_call import Person
from interlock.core.release import Release
from interlock.core.steps import spell
from interlock.core.verification import Found, Kind, Verification


@dataclass(frozen=True, slots=True)
class Answer:
    """Open or closed, and why. A `final` answer will not change by waiting; `overridden` by a person's word."""

    open: bool
    reason: str
    final: bool = False
    overridden: str = ""


_NAMED = 5


def not_quarantined(release: Release, quarantine: Iterable[tuple[str, str, str]]) -> Answer:
    """Open unless the release failed a verdict: `quarantine` holds (identity, rollout, reason)."""
    for identity, rollout, reason in quarantine:
        if identity == release.identity:
            why = f"{release.version} ({identity}) is quarantined since {rollout}: {reason}"
            return Answer(
                False, f"{why}. Release it with: interlock quarantine release {identity} --reason …", final=True
            )
    return Answer(True, f"{release.version} never failed a verdict")


def staging(
    release: Release, environment: str, proofs: Iterable[tuple[str, str, datetime]], now: datetime, valid_for: timedelta
) -> Answer:
    """Open when the same artefact and common configuration passed staging: `proofs` holds (subject, rollout, at)."""
    mine = [(at, rollout) for subject, rollout, at in proofs if subject == release.proven_as]
    if not mine:
        return Answer(False, f"{release.version} ({release.proven_as}) has not passed {environment}", final=True)
    at, rollout = max(mine)
    if now - at > valid_for:
        age = f"{spell(now - at)} ago, a proof is valid for {spell(valid_for)}"
        return Answer(False, f"{release.version} passed {environment} in {rollout} {age}: deploy it again", final=True)
    return Answer(True, f"{release.version} passed {environment} in {rollout}, {at:%Y-%m-%d %H:%M:%S} UTC")


def passed(answers: Iterable[Answer]) -> Answer:
    """Open when every source says that the tests have passed."""
    found = tuple(answers)
    shut = [one for one in found if not one.open]
    if shut:
        return Answer(False, "; ".join(one.reason for one in shut), final=any(one.final for one in shut))
    return Answer(bool(found), "; ".join(one.reason for one in found) or "no source says that the tests have passed")


def verdict(where: str, found: Mapping[str, str], required: Collection[str]) -> Answer:
    """Open when the required checks have passed, all that there are when none is named: `found` is "" for a pass."""
    missing = [name for name in required if name not in found]
    names = list(required) or list(found)
    bad = [f"{name} ({found[name]})" for name in names if found.get(name)]
    if missing or bad:
        wrong = [*bad, *(f"{name} is not there" for name in missing)]
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        return Answer(False, f"{where}: {', '.join(wrong[:_NAMED])}{more}")
    if not names:
        return Answer(False, f"{where}: there are no checks")
    return Answer(True, f"{where}: {len(names)} check{'s' if len(names) > 1 else ''} passed")


def no_incident(found: Iterable[Incident], fixes: str = "", approved_by: str = "") -> Answer:
    """Open when nothing is on fire but what this release is to end, and somebody on call has approved that."""
    fires = tuple(found)
    others = [one for one in fires if one.id != fixes]
    if others:
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        return Answer(False, f"active: {', '.join(map(str, others[:3]))}{more}")
    if fires and not approved_by:
        return Answer(False, f"active: {fires[0]}, which this release is to end; somebody on call must approve that")
    return Answer(True, f"only {fixes}, which this release is to end (approved by {approved_by})" if fires else "none")


def on_call(people: Iterable[Person]) -> Answer:
    """Open when somebody is on call."""
    names = ", ".join(person.name for person in people)
    return Answer(bool(names), f"{names}" if names else "nobody is on call")


def acknowledged(answer: Answer, by: str | None, within: timedelta) -> Answer:
    """Return who is on call as an open answer only once one of them has said that they know of it.

    `by` is who has, "" while nobody has, and None where nothing has begun that they could know of.
    """
    if not answer.open:
        return answer
    if by is None:
        return replace(
            answer, reason=f"{answer.reason}; one of them must acknowledge it within {spell(within)}, once it begins"
        )
    if not by:
        said = f"{answer.reason}: one of those on call must acknowledge it within {spell(within)}"
        return Answer(False, f"{said} (interlock acknowledge)")
    return replace(answer, reason=f"{answer.reason}; acknowledged by {by}")


def verified(demanded: Verification, image: str, found: Iterable[Found]) -> Answer:
    """Open when all is there that is demanded: signed by one of the keys, where there are keys."""
    seen = tuple(found)
    wanted = [Kind.SIGNATURE] if demanded.keys else []
    wanted += [Kind.SBOM] if demanded.sbom else []
    wanted += [Kind.PROVENANCE] if demanded.provenance else []
    good, bad = [], []
    for kind in wanted:
        of_kind = [one for one in seen if one.kind is kind]
        counted = [one for one in of_kind if not one.why_not and (one.signed or not demanded.keys)]
        if counted:
            good.append(f"{kind.value} ({counted[0].where}{'' if counted[0].signed else ', not signed'})")
        else:
            bad.append(_lacking(kind, of_kind, signed=bool(demanded.keys)))
    if bad or not wanted:
        return Answer(False, f"{image}: {'; '.join(bad) or 'nothing is demanded, so nothing is proven'}")
    return Answer(True, f"{image}: {', '.join(good)}")


def _lacking(kind: Kind, found: list[Found], *, signed: bool) -> str:
    if not found:
        return f"no {kind.value} is attached to it"
    why = "; ".join(dict.fromkeys(f"{one.where}: {one.why_not or 'not signed by any of the keys'}" for one in found))
    return f"no {kind.value} {'by one of the keys ' if signed else ''}for it ({why})"


def overridden(answer: Answer, word: Override | None) -> Answer:
    """Return an open answer where a person's word opens what is closed; it says so, and what it was without."""
    if answer.open or word is None:
        return answer
    said = f"overridden by {word.by}: {word.reason} (closed: {answer.reason})"
    return replace(answer, open=True, reason=said, final=False, overridden=f"{word.gate.value} {said}")
