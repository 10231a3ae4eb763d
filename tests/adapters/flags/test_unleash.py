"""What is particular to Unleash: does its real server do what we do not want only when we let it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.adapters.flags.proxy import HANGS, LOSES, NONE, REFUSES, RESETS, Fault, Proxy, proxied
from tests.adapters.served import Reply, Request, served
from tests.unleash.server import ADMIN, TOKENS, UnleashServer, gradual, place

from interlock.adapters.flags.unleash import UnleashFlags
from interlock.core.flag import Flag, Unleash
from interlock.ports.flags import FlagsError, Gone, Unmovable

pytestmark = pytest.mark.timeout(180)  # the first test waits for Unleash to start

PATIENCE = timedelta(seconds=20)
SHORT = timedelta(milliseconds=300)
OTHER = {"name": "default", "parameters": {}, "constraints": [], "segments": []}


@asynccontextmanager
async def flags_of(server: UnleashServer, patience: timedelta = PATIENCE) -> AsyncIterator[UnleashFlags]:
    flags = UnleashFlags(server.secret, patience)
    try:
        yield flags
    finally:
        await flags.close()


@asynccontextmanager
async def through_proxy(
    server: UnleashServer, flag: Flag, patience: timedelta = PATIENCE
) -> AsyncIterator[tuple[Proxy, Flag, UnleashFlags]]:
    async with proxied(server.url) as proxy, flags_of(server, patience) as flags:
        yield proxy, replace(flag, source=server.source(url=proxy.url)), flags


def exposures(server: UnleashServer, flag: Flag) -> list[int]:
    """Return how many percent got the feature after each event, at most; worked out from Unleash's own log."""
    enabled, rollouts, seen = False, dict[str, int](), []
    for event in server.events(flag.name):
        data, before = event["data"] or {}, event["preData"] or {}
        match event["type"]:
            case "feature-environment-enabled":
                enabled = True
            case "feature-environment-disabled":
                enabled = False
            case "feature-strategy-add" | "feature-strategy-update":
                share = int(data["parameters"].get("rollout", 100))
                rollouts[data["id"]] = 0 if data.get("disabled") else share
            case "feature-strategy-remove":
                rollouts.pop(before["id"])
        seen.append(min(100, sum(rollouts.values())) if enabled else 0)
    return seen


@pytest.mark.parametrize("disabled", [(), (gradual(100, disabled=True),)], ids=["none", "disabled only"])
async def test_turning_on_what_has_no_active_strategy_never_gives_it_to_everybody(
    unleash: UnleashServer, disabled: tuple[dict[str, Any], ...]
) -> None:
    flag = unleash.create(*disabled)
    async with flags_of(unleash) as flags:
        events = unleash.events(flag.name)
        await flags.check(flag)
        assert unleash.events(flag.name) == events, "asking whether we may is no change"
        state = await flags.turn_on(flag, 5)
    assert (state.percentage, state.stickiness) == (5, "default")
    assert max(exposures(unleash, flag)) == 5
    (one,) = unleash.strategies(flag.name)
    assert one["parameters"]["groupId"] == ("shop" if disabled else flag.name)


async def test_without_a_strategy_it_is_not_enabled_at_a_percentage_that_nobody_named(unleash: UnleashServer) -> None:
    flag = unleash.create()
    async with flags_of(unleash) as flags:
        with pytest.raises(Unmovable, match="name a percentage"):
            await flags.turn_on(flag, None)
        assert not (await flags.look(flag)).enabled
    assert unleash.strategies(flag.name) == []


async def test_a_disabled_strategy_beside_the_active_one_stays_as_it_is(unleash: UnleashServer) -> None:
    flag = unleash.create(gradual(100, disabled=True), gradual(10), on=True)
    async with flags_of(unleash) as flags:
        before = await flags.check(flag)
        assert (await flags.turn_on(flag, 40)).percentage == 40
        assert [one["parameters"]["rollout"] for one in unleash.strategies(flag.name)] == ["100", "40"]
        assert await flags.restore(flag, before) == before
    assert max(exposures(unleash, flag)) == 40


async def test_constraints_segments_variants_and_titles_are_kept(unleash: UnleashServer) -> None:
    segment = unleash.ask("POST", "segments", {"name": f"people of {unleash.url}", "constraints": []})
    constraint = {"contextName": "plan", "operator": "NUM_GT", "value": "3", "inverted": True}
    variants = [
        {"name": "c", "weight": 1000, "weightType": "variable", "stickiness": "default"},
        {"name": "b", "weight": 1000, "weightType": "variable", "stickiness": "default"},
        {"name": "a", "weight": 1000, "weightType": "variable", "stickiness": "default"},
        {
            "name": "d",
            "weight": 150,
            "weightType": "fix",
            "stickiness": "default",
            "payload": {"type": "string", "value": "ü"},
        },
    ]
    whole = gradual(5, title="first", constraints=[constraint], segments=[segment["id"]], variants=variants)
    flag = unleash.create(whole, on=True)
    (before,) = unleash.strategies(flag.name)
    async with flags_of(unleash) as flags:
        state = await flags.turn_on(flag, 50)
        (after,) = unleash.strategies(flag.name)
        assert after == {**before, "parameters": {**before["parameters"], "rollout": "50"}}
        assert len(state.constraints) == 2 and len(state.variants) == 4
        unleash.ask("DELETE", f"{place(flag.name)}/strategies/{after['id']}")
        await flags.restore(flag, state)
    (again,) = unleash.strategies(flag.name)
    assert {**again, "id": ""} == {**after, "id": ""}, "but for the id, which Unleash gives"


async def test_a_strategy_that_was_deleted_comes_back_and_one_that_was_added_goes(unleash: UnleashServer) -> None:
    flag = unleash.create(gradual(10, title="a"), gradual(5, title="b", disabled=True), on=True)
    async with flags_of(unleash) as flags:
        before = await flags.look(flag)
        first, _ = unleash.strategies(flag.name)
        unleash.ask("POST", f"{place(flag.name)}/strategies", OTHER)
        unleash.ask("DELETE", f"{place(flag.name)}/strategies/{first['id']}")
        assert await flags.restore(flag, before) == before
    assert [one["title"] for one in unleash.strategies(flag.name)] == ["a", "b"]


async def test_an_order_that_was_changed_is_put_back(unleash: UnleashServer) -> None:
    flag = unleash.create(gradual(10, title="a"), gradual(10, title="b", disabled=True), on=True)
    async with flags_of(unleash) as flags:
        before = await flags.look(flag)
        order = [{"id": one["id"], "sortOrder": 7 - i} for i, one in enumerate(unleash.strategies(flag.name))]
        unleash.ask("POST", f"{place(flag.name)}/strategies/set-sort-order", order)
        assert await flags.look(flag) != before
        assert await flags.restore(flag, before) == before
    assert [one["title"] for one in unleash.strategies(flag.name)] == ["a", "b"]
    assert max(exposures(unleash, flag)) == 10


@pytest.mark.parametrize(
    ("strategies", "what"),
    [
        ((OTHER,), 'of type "default": replace it by a gradual rollout'),
        ((gradual(5), gradual(6, group="b")), "2 active strategies.*leave one"),
        ((gradual(5, disabled=True), gradual(6, disabled=True)), "several gradual rollouts.*enable the one"),
    ],
    ids=["other type", "several", "several disabled"],
)
async def test_what_cannot_be_moved_safely_is_refused_with_what_to_do(
    unleash: UnleashServer, strategies: tuple[dict[str, Any], ...], what: str
) -> None:
    flag = unleash.create(*strategies)
    async with flags_of(unleash) as flags:
        for asked in (flags.check(flag), flags.turn_on(flag, 5)):
            with pytest.raises(Unmovable, match=what):
                await asked


async def test_an_archived_flag_is_told_from_one_that_never_was(unleash: UnleashServer) -> None:
    flag = unleash.create(gradual(5))
    unleash.ask("DELETE", f"projects/default/features/{flag.name}")
    async with flags_of(unleash) as flags:
        with pytest.raises(Unmovable, match="archived in Unleash: revive it"):
            await flags.check(flag)
        with pytest.raises(Unmovable, match="archived"):
            await flags.turn_off(flag)
        with pytest.raises(Gone, match="archived"):
            await flags.look(flag)


async def test_an_environment_that_unleash_has_not_is_named_with_those_it_has(unleash: UnleashServer) -> None:
    flag = replace(unleash.create(gradual(5)), source=unleash.source("staging"))
    async with flags_of(unleash) as flags:
        with pytest.raises(Unmovable, match=r'no environment "staging" for it, but: development, production'):
            await flags.check(flag)
        with pytest.raises(Unmovable, match='no environment "staging"'):
            await flags.every(flag.source)


async def test_what_clients_are_given_for_an_address_does_as_well(unleash: UnleashServer) -> None:
    flag = replace(unleash.create(gradual(5)), source=unleash.source(url=f"{unleash.url}/api/"))
    async with flags_of(unleash) as flags:
        assert (await flags.look(flag)).percentage == 5


async def test_a_token_of_clients_is_refused_before_anything_is_moved_and_stands_in_no_error(
    unleash: UnleashServer,
) -> None:
    flag = unleash.create(gradual(5))
    for token in (TOKENS["production"], "*:*.unleash-token-wrong"):
        flags = UnleashFlags(lambda name, token=token: token, PATIENCE)  # type: ignore[misc]
        with pytest.raises(Unmovable, match="is the token right, is it one for the Admin API") as refused:
            await flags.check(flag)
        assert "unleash-token" not in str(refused.value)
        await flags.close()


async def test_a_token_that_cannot_be_read_is_said(unleash: UnleashServer) -> None:
    def secret(name: str) -> str:
        raise PermissionError(13, "Permission denied")

    with pytest.raises(FlagsError, match=r"the token for Unleash .* cannot be read: Permission denied"):
        await UnleashFlags(secret, PATIENCE).look(Flag("any", unleash.source()))


async def test_change_requests_are_refused_before_step_1() -> None:
    """Only Unleash's paid editions have them: answered as their web interface reads it."""

    def answer(request: Request) -> Reply:
        path = request.path.removeprefix("/api/admin/projects/default")
        if path == "/change-requests/config":
            return Reply([{"environment": "production", "changeRequestEnabled": True, "requiredApprovals": 1}])
        strategy = {**gradual(5), "id": "1", "sortOrder": 0}
        whole = {"environments": [{"name": "production", "enabled": False, "strategies": [strategy]}]}
        return Reply([strategy] if path.endswith("/strategies") else whole)

    async with served(answer) as server:
        flags = UnleashFlags(lambda name: ADMIN, PATIENCE)
        flag = Flag("new_feature", Unleash(server.url, "production", "t"))
        with pytest.raises(Unmovable, match=r'change requests in "production".*: disable them there'):
            await flags.check(flag)
        assert not [one for one in server.asked if one.method != "GET"], "before anything is written"
        await flags.close()


async def test_a_release_plan_of_unleash_is_refused_before_step_1() -> None:
    """Only Unleash's paid editions have them."""

    def answer(request: Request) -> Reply:
        strategy = {**gradual(5), "id": "1", "sortOrder": 0}
        whole = {"environments": [{"name": "production", "enabled": True, "strategies": [strategy]}]}
        return Reply([{**strategy, "milestoneId": "01J"}] if request.path.endswith("/strategies") else whole)

    async with served(answer) as server:
        flags = UnleashFlags(lambda name: ADMIN, PATIENCE)
        with pytest.raises(Unmovable, match="release plan of Unleash: remove the plan"):
            await flags.check(Flag("new_feature", Unleash(server.url, "production", "t")))
        await flags.close()


@pytest.mark.parametrize("content", [b"<html>", {"environments": 3}, {"environments": [{"name": "production"}]}, []])
async def test_what_is_no_unleash_is_said_so(content: object) -> None:
    async with served(lambda request: Reply(content)) as server:
        flags = UnleashFlags(lambda name: ADMIN, PATIENCE)
        with pytest.raises(FlagsError, match=r"Admin API|address of an Unleash server"):
            await flags.look(Flag("new_feature", Unleash(server.url, "production", "t")))
        await flags.close()


async def test_turning_off_is_the_first_thing_asked_and_by_a_connection_that_is_open(unleash: UnleashServer) -> None:
    async with through_proxy(unleash, unleash.create(gradual(50), on=True)) as (proxy, flag, flags):
        await flags.look(flag)
        asked = len(proxy.asked)
        await flags.turn_off(flag)
        assert proxy.asked[asked] == ("POST", f"/api/admin/{place(flag.name)}/off")
        assert proxy.connections == 1


async def test_a_kept_connection_that_the_server_closes_just_then_is_no_failure(unleash: UnleashServer) -> None:
    async with through_proxy(unleash, unleash.create(gradual(50), on=True)) as (proxy, flag, flags):
        await flags.look(flag)
        faults = [RESETS]
        proxy.fault = lambda method, path: faults.pop() if faults else NONE
        assert not (await flags.turn_off(flag)).enabled
        assert proxy.connections == 2


@pytest.mark.parametrize("fault", [REFUSES, HANGS, RESETS, LOSES], ids=str)
async def test_whatever_the_server_does_an_error_comes_in_time_and_without_the_token(
    unleash: UnleashServer, fault: Fault
) -> None:
    async with through_proxy(unleash, unleash.create(gradual(50), on=True), SHORT) as (proxy, flag, flags):
        proxy.fault = lambda method, path: fault
        loop = asyncio.get_running_loop()
        for asked in (flags.look(flag), flags.turn_off(flag), flags.every(flag.source), flags.check(flag)):
            began = loop.time()
            with pytest.raises(FlagsError, match="Unleash") as failed:
                await asked
            assert loop.time() - began < 15
            assert not isinstance(failed.value, Unmovable), "it may get well"
            assert "unleash-token" not in str(failed.value)


async def test_a_server_whose_database_hangs_is_given_up_in_time_and_asked_again_when_it_is_back(
    unleash: UnleashServer,
) -> None:
    flag = unleash.create(gradual(50), on=True)
    async with flags_of(unleash, SHORT) as flags:
        loop = asyncio.get_running_loop()
        with unleash.hanging():
            for asked in (flags.look(flag), flags.turn_on(flag, 60), flags.turn_off(flag)):
                began = loop.time()
                with pytest.raises(FlagsError, match=r"no complete answer within 0\.3 s"):
                    await asked
                assert loop.time() - began < 15
    async with flags_of(unleash) as flags:
        assert (await flags.turn_off(flag)).exposure == 0


@pytest.mark.parametrize("lost", range(4))
async def test_an_answer_that_is_lost_leaves_nothing_that_asking_again_does_not_put_right(
    unleash: UnleashServer, lost: int
) -> None:
    flag = unleash.create(on=False)
    async with through_proxy(unleash, flag) as (proxy, there, flags):
        number = iter(range(1000))
        proxy.fault = lambda method, path: Fault(status=502, reaches=True) if next(number) == lost else NONE
        for _ in range(2):
            try:
                state = await flags.turn_on(there, 5)
                break
            except FlagsError:
                continue
        assert (state.enabled, state.percentage) == (True, 5)
    assert len(unleash.strategies(flag.name)) == 1
    assert max(exposures(unleash, flag)) == 5


async def test_two_who_move_it_at_the_same_moment_are_told(unleash: UnleashServer) -> None:
    async with through_proxy(unleash, unleash.create(gradual(10), on=True)) as (proxy, flag, flags):

        def meddles(method: str, path: str) -> Fault:
            if method == "PATCH":
                (one,) = unleash.strategies(flag.name)
                patch = [{"op": "replace", "path": "/parameters/rollout", "value": "77"}]
                unleash.ask("PATCH", f"{place(flag.name)}/strategies/{one['id']}", patch)
            return NONE

        proxy.fault = meddles
        with pytest.raises(FlagsError, match="was not changed: somebody else did at this moment"):
            await flags.turn_on(flag, 20)
        assert (await flags.look(flag)).percentage == 77, "theirs stands, to be noticed"


async def test_more_than_was_meant_is_turned_off_at_once(unleash: UnleashServer) -> None:
    """A strategy that goes between our look and the turning on has Unleash add one of 100 %."""
    flag = unleash.create(gradual(10))
    async with through_proxy(unleash, flag) as (proxy, there, flags):

        def meddles(method: str, path: str) -> Fault:
            if path.endswith("/on"):
                for one in unleash.strategies(flag.name):
                    unleash.ask("DELETE", f"{place(flag.name)}/strategies/{one['id']}")
            return NONE

        proxy.fault = meddles
        with pytest.raises(FlagsError, match="was to be on at 10% and was enabled at 100%: turned off again"):
            await flags.turn_on(there, 10)
        assert (await flags.look(there)).exposure == 0
