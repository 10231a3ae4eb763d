"""Is a gRPC service released like any other? Its users speak gRPC, and its failures travel as HTTP 200."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.e2e.town import SECOND, Town, Wish, a_town

from interlock.adapters.probe.network import grpc
from interlock.core.phase import Phase

HALF_A_MINUTE = timedelta(seconds=30)


def wish(town: Town, **more: Any) -> Wish:
    return town.wish(grpc=True, **more)


async def test_a_grpc_service_goes_out_by_canary_when_its_calls_prove_it_and_comes_back_when_they_fail() -> None:
    async with a_town() as town:
        first = wish(town)
        assert (await town.release(first)).phase is Phase.SUCCEEDED, await town.story()
        async with town.traffic(150, 30, grpc=True) as users:
            good = wish(town, proven=True, bake=2 * SECOND)
            streams = [asyncio.create_task(_watch(town)) for _ in range(4)]
            ended = await town.release(good)
            assert ended.phase is Phase.SUCCEEDED and not ended.unproven, await town.story(ended.run)
            await users.flows(good.version)
            assert await asyncio.gather(*streams) == ["0"] * 4  # no stream was cut by the moving
            bad = wish(town, manners={"errors": 1.0}, bake=HALF_A_MINUTE)
            run = await town.start(bad)
            back = await town.over(run)
            assert back.phase is Phase.ROLLED_BACK and back.quarantine, await town.story(run)
            assert "requests failed" in back.reason
            await users.flows(good.version)
        assert town.failed(users.counts, bad.version) == []
        assert {one.kind for one in users.counts.failures} <= {"grpc 14"}
        assert users.counts.answered[good.version] > 100
        await town.settled(good.version)


async def _watch(town: Town) -> str | None:
    """Follow a stream of a second, which begins in the middle of things."""
    answer = await grpc.call(f"127.0.0.1:{town.port}", "/shop.v1.Shop/Watch", b"", HALF_A_MINUTE)
    return answer.header("grpc-status")


async def test_a_service_changes_from_http1_to_grpc_in_one_rollout(town: Town) -> None:
    before = await town.stable()
    changed = wish(town, bake=SECOND)
    ended = await town.release(changed)
    assert ended.phase is Phase.SUCCEEDED, await town.story(ended.run)
    await town.settled(changed.version)
    assert (await _watch(town)) == "0"
    again = town.wish()
    assert (await town.release(again)).phase is Phase.SUCCEEDED, await town.story()
    assert before != changed.version
