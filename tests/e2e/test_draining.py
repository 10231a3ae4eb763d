"""What becomes of a request that is under way when its instance has to leave?"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from tests.e2e.town import Town

from interlock.core.phase import Phase
from interlock.core.plan import StrategyName

BLUE_GREEN = StrategyName.BLUE_GREEN


async def answer_to(port: int, path: str) -> tuple[bytes, float]:
    """Ask on a connection of our own; return all that was answered, and after how many seconds it ended."""
    since = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: shop\r\nX-User: long\r\nConnection: close\r\n\r\n".encode())
    try:
        async with asyncio.timeout(40):
            return await reader.read(), time.monotonic() - since
    finally:
        writer.close()


async def test_a_long_streamed_answer_outlives_the_route_that_it_came_by(town: Town) -> None:
    before, wish = await town.stable(), town.wish(strategy=BLUE_GREEN, drain_within=timedelta(seconds=20))
    await town.release(town.wish(drain_within=timedelta(seconds=20)))
    before = await town.stable()
    streams = [asyncio.create_task(answer_to(town.port, "/stream/5")) for _ in range(3)]
    await asyncio.sleep(0.3)
    run = await town.start(wish)
    ended = await town.over(run)
    answers = [await one for one in streams]
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    for answer, seconds in answers:
        assert f"x-version: {before}".encode() in answer
        assert answer.endswith(b"0\r\n\r\n") and seconds > 4.5, answer[-20:]
    said = [entry.text for entry in await town.entries(run)]
    assert not any("cut" in text for text in said), said


async def test_a_request_under_way_at_the_drain_deadline_is_cut_counted_and_named(town: Town) -> None:
    await town.release(town.wish(drain_within=timedelta(seconds=1)))
    under_way = [asyncio.create_task(answer_to(town.port, "/slow/30?secret=1")) for _ in range(2)]
    await asyncio.sleep(0.3)
    wish = town.wish(strategy=BLUE_GREEN)
    run = await town.start(wish)
    ended = await town.over(run)
    answers = [await one for one in under_way]
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)
    assert all(answer.startswith(b"HTTP/1.1 503") and seconds < 25 for answer, seconds in answers)
    by_kind = {"drain": [], "retire": []}  # type: dict[str, list[dict[str, object]]]
    for entry in await town.entries(run):
        for kind, found in by_kind.items():
            if entry.text.startswith(kind):
                found.append(dict(entry.data) | {"text": entry.text})
    assert by_kind["drain"][-1]["under_way"] == 2
    assert by_kind["retire"][-1]["cut"] == ["GET /slow/30", "GET /slow/30"]
    assert "2 requests cut: GET /slow/30" in str(by_kind["retire"][-1]["text"])
