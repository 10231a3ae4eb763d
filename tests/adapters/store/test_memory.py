"""Can a test make the store in memory fail, as a full disk would?"""

from __future__ import annotations

import pytest
from tests.adapters.store.examples import TRAFFIC, approved, at, entry, fill, plan, rollout

from interlock.adapters.memory_store import MemoryStore
from interlock.ports.store import StoreError


async def test_while_it_is_told_to_fail_every_write_raises_and_reads_go_on() -> None:
    store = MemoryStore()
    await fill(store)
    before = [r.id for r in await store.rollouts(9)]
    store.failing = True
    writes = (
        store.number("shop"),
        store.add_plan(plan()),
        store.begin(rollout("r-9"), entry("begun")),
        store.claim("r-3", "k"),
        store.save(approved(rollout("r-3")), 0, (entry("more"),)),
        store.checkpoint("r-3", 0, {}),
        store.note("r-3", (entry("more"),)),
        store.release("shop", rollout("r-2").stage.revision.release.identity, "ada", "why", at(0)),
        store.remember("production", {}),
    )
    for write in writes:
        with pytest.raises(StoreError, match="told to fail"):
            await write
    assert [r.id for r in await store.rollouts(9)] == before
    assert len(await store.entries("r-3")) == 1
    assert len(await store.quarantine("shop")) == 1
    assert await store.recall("production") == TRAFFIC
    store.failing = False
    assert await store.number("shop") == 2
