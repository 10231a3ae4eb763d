"""Is the world around a release such that it may start, or go on?

One question, one answer, always: a source that is down, slow, or answers rubbish is a closed gate with that reason.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from interlock.core import gates, window
from interlock.core.checks import Checks
from interlock.core.conditions import Conditions
from interlock.core.gates import Answer
from interlock.core.incidents import Incident, Incidents, Source
from interlock.core.on_call import OnCall, Person
from interlock.core.release import Release
from interlock.core.steps import GateName, spell
from interlock.core.verification import Verification
from interlock.core.window import Entries, Window
from interlock.engine.ports import Outside
from interlock.ports.calendar import CalendarError
from interlock.ports.incidents import IncidentsError
from interlock.ports.on_call import OnCallError

_MORE = timedelta(seconds=1)


async def ask(
    outside: Outside,
    gate: GateName,
    conditions: Conditions,
    release: Release,
    now: datetime,
    approved_by: str = "",
    acknowledged_by: str | None = None,
) -> Answer:
    """Ask one gate about the present moment.

    `approved_by` is who on call has approved of a fix, `acknowledged_by` who on call knows of the rollout ("" while
    nobody does, None where there is none).
    """
    match gate:
        case GateName.TESTS if conditions.tests is not None:
            answer = await _tests(outside, conditions.tests, release)
        case GateName.NO_INCIDENT if conditions.incidents is not None:
            answer = await _no_incident(outside, conditions, conditions.incidents, approved_by)
        case GateName.WINDOW if conditions.window is not None:
            answer = await _window(outside, conditions.window, now)
        case GateName.ON_CALL if conditions.on_call is not None:
            answer = await _on_call(outside, conditions.on_call, now, acknowledged_by)
        case GateName.IMAGE if conditions.image is not None:
            answer = await _image(outside, conditions.image, release)
        case _:
            return Answer(False, f"{gate.value} is not declared, so nobody can be asked")
    return gates.overridden(answer, conditions.overridden(gate))


async def incidents(outside: Outside, declared: Incidents) -> tuple[Incident, ...]:
    """Return what is active by all sources; raise IncidentsError when one of them does not say."""
    found = await asyncio.gather(*(_active(outside, source, declared.timeout) for source in declared.sources))
    return tuple(one for some in found for one in some)


async def people(outside: Outside, declared: OnCall, now: datetime) -> tuple[Person, ...]:
    """Return who is on call; raise OnCallError."""
    try:
        async with asyncio.timeout((declared.timeout + _MORE).total_seconds()):
            return await outside.on_call.people(declared.source, now, declared.timeout)
    except OnCallError:
        raise
    except Exception as error:
        raise OnCallError(_broken(error, declared.timeout)) from error


async def _active(outside: Outside, source: Source, within: timedelta) -> tuple[Incident, ...]:
    try:
        async with asyncio.timeout((within + _MORE).total_seconds()):
            return await outside.incidents.active(source, within)
    except IncidentsError:
        raise
    except Exception as error:  # whatever an adapter raises: not to know is to hold
        raise IncidentsError(_broken(error, within)) from error


async def _tests(outside: Outside, declared: Checks, release: Release) -> Answer:
    within = declared.timeout
    try:
        async with asyncio.timeout((within + _MORE).total_seconds()):
            asked = (outside.checks.passed(source, release, within) for source in declared.sources)
            return gates.passed(await asyncio.gather(*asked))
    except Exception as error:
        return Answer(False, f"whether the tests have passed is not known: {_broken(error, within)}")


async def _image(outside: Outside, demanded: Verification, release: Release) -> Answer:
    if outside.images is None:
        return Answer(False, "whether the image is signed cannot be found out here")
    try:
        async with asyncio.timeout((demanded.timeout + _MORE).total_seconds()):
            return await outside.images.verified(demanded, release, demanded.timeout)
    except Exception as error:
        return Answer(False, f"what is proven of the image is not known: {_broken(error, demanded.timeout)}")


async def _no_incident(outside: Outside, conditions: Conditions, declared: Incidents, approved_by: str) -> Answer:
    try:
        found = await incidents(outside, declared)
    except IncidentsError as error:
        return Answer(False, f"whether there is an incident is not known: {error}")
    return gates.no_incident(found, conditions.fixes, approved_by)


async def entries(outside: Outside, declared: Window, now: datetime) -> Entries:
    """Return what a window's calendar and holidays have; raise CalendarError."""
    if not declared.looked_up:
        return Entries()
    try:
        async with asyncio.timeout((declared.timeout + _MORE).total_seconds()):
            return await outside.calendar.periods(declared, now, declared.timeout)
    except CalendarError:
        raise
    except Exception as error:
        raise CalendarError(_broken(error, declared.timeout)) from error


async def _window(outside: Outside, declared: Window, now: datetime) -> Answer:
    try:
        known = await entries(outside, declared, now)
    except CalendarError as error:
        return Answer(False, f"whether the window is open is not known: {error}")
    why = window.closed(declared, now, known.periods)
    said = why or window.lasting(declared, now, known.periods)
    return Answer(not why, said + (f" ({known.note})" if known.note else ""))


async def _on_call(outside: Outside, declared: OnCall, now: datetime, acknowledged_by: str | None) -> Answer:
    try:
        answer = gates.on_call(await people(outside, declared, now))
        return gates.acknowledged(answer, acknowledged_by, declared.within) if declared.acknowledge else answer
    except OnCallError as error:
        return Answer(False, f"who is on call is not known: {error}")


def _broken(error: Exception, within: timedelta) -> str:
    return f"no answer within {spell(within)}" if isinstance(error, TimeoutError) else repr(error)
