"""How does Unleash move a flag for us, so that nobody ever gets the feature who should not?

What its Admin API does by itself, seen with 7.5.1, and what is done about it: turning a flag on that has no active
strategy adds one of 100 %, so the strategy comes first and what stands is read back; a strategy that is added is ORed
to those that are there, so the one that is there is moved; any number is taken for a percentage, so ours is checked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from interlock.adapters.flags.unleash.server import Server, content, path, said
from interlock.adapters.flags.unleash.standing import GRADUAL, Standing, Way, body, evened, read, recall, way
from interlock.core.flag import Flag, FlagSource, FlagState, Unleash
from interlock.ports.flags import FlagsError, Gone, Unmovable

PATIENCE = timedelta(seconds=2)
SPREADS = timedelta(seconds=1)
"""How often each Unleash server looks in its database for what another one of them was told."""

_NOBODY = "00000000-0000-4000-8000-000000000000"


class UnleashFlags:
    """Asks Unleash. `secret` returns a token by its fingerprint; `patience` is how long one answer may take."""

    def __init__(self, secret: Callable[[str], str], patience: timedelta = PATIENCE) -> None:
        self._server = Server(secret, patience)

    async def close(self) -> None:
        """Close the connections that are kept open."""
        await self._server.close()

    async def look(self, flag: Flag) -> FlagState:
        """Return how the flag stands in its environment."""
        return (await self._standing(flag)).state()

    async def check(self, flag: Flag) -> FlagState:
        """Return how it stands, once it is known that we may and can move it; nothing is written."""
        standing = await self._standing(flag)
        if standing.obstacle:
            raise Unmovable(f"{_what(flag)} cannot be moved safely: {standing.obstacle}")
        await self._no_plan(flag)
        await self._no_change_requests(flag)
        await self._may_write(flag, adding=standing.moved is None)
        return standing.state()

    async def turn_off(self, flag: Flag) -> FlagState:
        """Disable it: one request, which comes first; then see that it is."""
        source = _source(flag)
        await self._send(flag, "POST", f"{_place(source, flag.name)}/off")
        state = await self.look(flag)
        if state.enabled:
            raise FlagsError(f"{_what(flag)} was turned off and is on again: somebody else turns it on")
        return state

    async def turn_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Set the percentage first, then enable it, then see that nobody else gets it."""
        if percentage is not None and not 1 <= percentage <= 100:
            raise ValueError(f"{_what(flag)}: expected 1 to 100 %, found {percentage}")
        standing = await self._standing(flag)
        if percentage is None:
            await self._as_it_is(flag, standing)
        else:
            await self._expose(flag, standing, percentage)
        if not standing.enabled:
            await self._send(flag, "POST", f"{_place(_source(flag), flag.name)}/on")
        return await self._seen_on(flag, standing.state().percentage if percentage is None else percentage)

    async def restore(self, flag: Flag, state: FlagState, *, off: bool = False) -> FlagState:
        """Put back what stood, in an order in which it is never more than that or what stands now."""
        then, now = recall(state.native), await self._standing(flag)
        then = replace(then, enabled=then.enabled and not off)
        if then.enabled and not then.active:
            raise Unmovable(f"{_what(flag)} was on without an active strategy, which Unleash lets nobody put back")
        writes = way(now, then)
        if writes.off:
            await self._send(flag, "POST", f"{_place(_source(flag), flag.name)}/off")
        await self._write(flag, writes)
        if then.enabled and not (await self._standing(flag)).enabled:
            await self._send(flag, "POST", f"{_place(_source(flag), flag.name)}/on")
        restored = await self.look(flag)
        if restored.native != then.native():
            raise FlagsError(f"{_what(flag)} was put back and stands otherwise ({restored}): somebody else changes it")
        return restored

    async def taken(self, flag: Flag, state: FlagState) -> str:
        """Wait until every client must have fetched it, and see that it still stands.

        Unleash does not know which state a client has: what clients report are counts by the hour.
        """
        waited = _source(flag).refresh + SPREADS
        await asyncio.sleep(waited.total_seconds())
        found = await self.look(flag)
        if found.native != state.native:
            raise FlagsError(f"{_what(flag)} stands otherwise ({found}) than it was put ({state}): somebody changed it")
        refresh = _source(flag).refresh.total_seconds()
        return f"clients fetch every {refresh:g} s; {waited.total_seconds():g} s after the change it still stood"

    async def every(self, source: FlagSource) -> tuple[tuple[str, FlagState], ...]:
        """Return all flags of one environment by one listing, which shows no order, so their `native` is empty."""
        assert isinstance(source, Unleash)
        wanted = {"environment": source.environment, "project": source.project, "downloadFile": False}
        found = await self._server.ask(source, "POST", "features-batch/export", wanted)
        with _shape(source):
            return _listed(found, source)

    # --- parts of the verbs

    async def _standing(self, flag: Flag) -> Standing:
        source = _source(flag)
        address = f"projects/{path(source.project)}/features/{path(flag.name)}?variantEnvironments=true"
        answer = await self._server.answer(source, "GET", address)
        if answer.status == 404:
            raise Gone(await self._missing(flag, said(answer)))
        if answer.status != 200:
            raise self._server.refusal(source, answer)
        with _shape(source):
            environments = {one["name"]: one for one in content(answer)["environments"]}
            if source.environment in environments:
                return read(environments[source.environment])
        known = ", ".join(sorted(environments)) or "none"
        raise Unmovable(f'flag {flag}: Unleash has no environment "{source.environment}" for it, but: {known}')

    async def _missing(self, flag: Flag, reason: str) -> str:
        source = _source(flag)
        query = f"search/features?project=IS:{path(source.project)}&archived=IS:true&query={path(flag.name)}"
        answer = await self._server.answer(source, "GET", query)
        archived = content(answer).get("features", ()) if answer.status == 200 else ()
        if any(one.get("name") == flag.name for one in archived):
            return f"flag {flag} is archived in Unleash: revive it, or take it out of the file"
        return f'Unleash has no flag {flag} in project "{source.project}" ({reason}): create it, or correct the name'

    async def _no_plan(self, flag: Flag) -> None:
        source = _source(flag)
        found = await self._server.ask(source, "GET", f"{_place(source, flag.name)}/strategies")
        if any(one.get("milestoneId") for one in found if isinstance(one, dict)):
            raise Unmovable(f"{_what(flag)} is moved by a release plan of Unleash: remove the plan, or the flag here")

    async def _no_change_requests(self, flag: Flag) -> None:
        """See that no second person must agree to each change: a rollback could not wait for one."""
        source = _source(flag)
        answer = await self._server.answer(source, "GET", f"projects/{path(source.project)}/change-requests/config")
        asked = content(answer) if answer.status == 200 else ()  # the open-source server has no change requests
        for one in asked if isinstance(asked, list) else ():
            if one.get("environment") == source.environment and one.get("changeRequestEnabled"):
                raise Unmovable(
                    f'{_what(flag)}: Unleash wants change requests in "{source.environment}", which no rollback could '
                    "wait for: disable them there, or leave the flag to people"
                )

    async def _may_write(self, flag: Flag, *, adding: bool) -> None:
        """See that our token may turn flags off and write strategies: by requests that do nothing."""
        source = _source(flag)
        bulk = f"projects/{path(source.project)}/bulk_features/environments/{path(source.environment)}/off"
        await self._server.ask(source, "POST", bulk, {"features": []})
        strategies = f"{_place(source, flag.name)}/strategies"
        answer = await self._server.answer(source, "PUT", f"{strategies}/{_NOBODY}", {"name": GRADUAL})
        if answer.status != 404:
            raise self._server.refusal(source, answer)
        if adding:
            answer = await self._server.answer(source, "POST", strategies, {"name": _NOBODY}, again=False)
            if answer.status != 400:
                raise self._server.refusal(source, answer)

    async def _as_it_is(self, flag: Flag, standing: Standing) -> None:
        """Make ready what is to be enabled with the percentage that it has."""
        if standing.active:
            return
        if standing.moved is None:
            raise Unmovable(f"{_what(flag)} has no strategy that says how many users get it: name a percentage")
        await self._patch(flag, standing, standing.moved, None)

    async def _expose(self, flag: Flag, standing: Standing, percentage: int) -> None:
        if standing.obstacle:
            raise Unmovable(f"{_what(flag)} cannot be moved safely: {standing.obstacle}")
        if standing.moved is not None:
            await self._patch(flag, standing, standing.moved, percentage)
            return
        parameters = {"rollout": str(percentage), "stickiness": "default", "groupId": flag.name}
        new = {"name": GRADUAL, "parameters": parameters, "constraints": [], "segments": []}
        await self._send(flag, "POST", f"{_place(_source(flag), flag.name)}/strategies", new, again=False)

    async def _patch(self, flag: Flag, standing: Standing, index: int, percentage: int | None) -> None:
        """Change the percentage and nothing else of a strategy; not at all when somebody else just did."""
        one = standing.strategies[index]
        patch: list[Mapping[str, Any]] = []
        if percentage is not None and one["parameters"].get("rollout") != str(percentage):
            before = one["parameters"].get("rollout")
            patch += [{"op": "test", "path": "/parameters/rollout", "value": before}] if before is not None else []
            patch += [{"op": "add", "path": "/parameters/rollout", "value": str(percentage)}]
        if one["disabled"]:
            patch += [{"op": "replace", "path": "/disabled", "value": False}]
        if not patch:
            return
        if one["variants"]:
            patch += [{"op": "replace", "path": "/variants", "value": evened(one["variants"])}]
        address = f"{_place(_source(flag), flag.name)}/strategies/{path(standing.ids[index])}"
        try:
            await self._send(flag, "PATCH", address, patch)
        except FlagsError as error:
            if "TEST_OPERATION_FAILED" in str(error):
                raise FlagsError(f"{_what(flag)} was not changed: somebody else did at this moment") from error
            raise

    async def _seen_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Return how it stands; turned off again when more users would get it than were meant to."""
        state = await self.look(flag)
        if state.enabled and state.percentage == percentage:
            return state
        if state.exposure > (100 if percentage is None else percentage):
            await self._send(flag, "POST", f"{_place(_source(flag), flag.name)}/off")
            raise FlagsError(
                f"{_what(flag)} was to be on at {percentage}% and was {state}: turned off again; who else changes it?"
            )
        raise FlagsError(f"{_what(flag)} was to be on at {percentage}% and is {state}: somebody else changes it")

    async def _write(self, flag: Flag, writes: Way) -> None:
        strategies = f"{_place(_source(flag), flag.name)}/strategies"
        for key in writes.gone:
            await self._send(flag, "DELETE", f"{strategies}/{path(key)}")
        for key, strategy in writes.changed:
            await self._send(flag, "PUT", f"{strategies}/{path(key)}", body(strategy))
        for strategy in writes.missing:
            await self._send(flag, "POST", strategies, body(strategy), again=False)
        if writes.order:
            order = [{"id": key, "sortOrder": position} for key, position in writes.order]
            await self._send(flag, "POST", f"{strategies}/set-sort-order", order)

    async def _send(self, flag: Flag, method: str, address: str, sent: Any = None, *, again: bool = True) -> None:
        try:
            await self._server.ask(_source(flag), method, address, sent, again=again)
        except Unmovable as error:
            raise Unmovable(f"{_what(flag)}: {error}") from error
        except FlagsError as error:
            raise FlagsError(f"{_what(flag)}: {error}") from error


@contextmanager
def _shape(source: Unleash) -> Iterator[None]:
    """Turn what does not look like Unleash into an error that says so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FlagsError(
            f"{source.url} does not answer as Unleash's Admin API does ({type(error).__name__}: {error})"
        ) from error


def _listed(found: Mapping[str, Any], source: Unleash) -> tuple[tuple[str, FlagState], ...]:
    strategies: dict[str, list[Any]] = {}
    for one in found["featureStrategies"]:
        strategies.setdefault(one["featureName"], []).append(one)
    standing = {
        one["featureName"]: read({"enabled": one["enabled"], "strategies": strategies.get(one["featureName"], [])})
        for one in found["featureEnvironments"]
    }
    if found["features"] and not standing:
        raise Unmovable(f'Unleash has no environment "{source.environment}" in project "{source.project}"')
    return tuple((name, replace(one.state(), native="")) for name, one in sorted(standing.items()))


def _place(source: Unleash, name: str) -> str:
    return path("projects", source.project, "features", name, "environments", source.environment)


def _what(flag: Flag) -> str:
    return f'flag {flag} in "{_source(flag).environment}"'


def _source(flag: Flag) -> Unleash:
    assert isinstance(flag.source, Unleash), flag.source
    return flag.source
