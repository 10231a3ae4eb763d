"""Does every store keep what it was told, refuse what it must, and say why? One contract, each adapter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.store.examples import (
    TRAFFIC,
    approved,
    at,
    back,
    entry,
    fill,
    given_up,
    over,
    plan,
    proof,
    quarantined,
    rollout,
)

from interlock.adapters.memory_store import MemoryStore
from interlock.adapters.store.sqlite import SQLite
from interlock.core.events import Order, OrderKind
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.release import Artefact
from interlock.core.transitions import advance
from interlock.ports.store import Busy, Fenced, Store


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    store = SQLite(tmp_path / "state.db") if request.param == "sqlite" else MemoryStore()
    yield store
    store.close()


async def test_runs_are_numbered_from_one_for_each_service(store: Store) -> None:
    assert [await store.number(s) for s in ("shop", "shop", "mail", "shop")] == [1, 2, 1, 3]


async def test_a_plan_comes_back_by_its_hash_as_it_was_first_kept(store: Store) -> None:
    await store.add_plan(plan())
    await store.add_plan(replace(plan(), by="someone else"))
    assert await store.plan(plan().hash) == plan()
    assert await store.plan("0" * 16) is None


@pytest.mark.parametrize("change", [approved, over, back, given_up])
async def test_a_rollout_comes_back_as_it_was_saved(store: Store, change: object) -> None:
    begun = rollout("r-1")
    await store.begin(begun, entry("begun"))
    assert await store.rollout("r-1") == begun
    changed = change(begun)  # type: ignore[operator]
    await store.save(changed, await store.claim("r-1", "k"))
    assert await store.rollout("r-1") == changed
    assert await store.rollout("r-9") is None


async def test_a_second_rollout_of_an_environment_is_refused_with_the_first(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    for id in ("r-2", "r-1"):
        with pytest.raises(Busy, match=r"production of shop has a rollout under way: r-1, progressing, by ada") as busy:
            await store.begin(rollout(id), entry("begun"))
        assert busy.value.rollout == rollout("r-1")
    assert await store.rollout("r-2") is None
    assert await store.entries("r-2") == ()
    await store.begin(rollout("r-3", "staging"), entry("begun"))
    await store.begin(rollout("r-4", service="mail"), entry("begun"))


async def test_an_environment_is_free_again_once_its_rollout_is_over(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    await store.save(over(rollout("r-1")), await store.claim("r-1", "k"))
    await store.begin(rollout("r-2"), entry("begun"))
    assert [r.id for r in await store.active()] == ["r-2"]


async def test_a_rollout_begins_once(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    await store.save(over(rollout("r-1")), await store.claim("r-1", "k"))
    with pytest.raises(ValueError, match="r-1 was begun already"):
        await store.begin(rollout("r-1"), entry("begun"))


async def test_a_failed_rollout_cannot_go_back_once_more_while_another_is_under_way(store: Store) -> None:
    failed = given_up(approved(rollout("r-1")))
    await store.begin(rollout("r-1"), entry("begun"))
    epoch = await store.claim("r-1", "k")
    await store.save(failed, epoch)
    await store.begin(rollout("r-2"), entry("begun"))
    again = advance(failed, Order(at(500), OrderKind.ABORT, "ada", "key-2"))
    assert again.phase is Phase.ROLLING_BACK
    with pytest.raises(Busy, match="r-2"):
        await store.save(again, epoch, (entry("once more"),))
    assert await store.rollout("r-1") == failed
    assert [e.text for e in await store.entries("r-1")] == ["begun"]
    await store.save(over(rollout("r-2")), await store.claim("r-2", "k"))
    await store.save(again, epoch)
    assert await store.active() == (again,)


async def test_whoever_held_a_rollout_before_is_fenced(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    first, second = await store.claim("r-1", "old"), await store.claim("r-1", "new")
    assert (first, second) == (1, 2)
    await store.checkpoint("r-1", second, TRAFFIC)
    refused = approved(rollout("r-1"))
    late = (entry("late"),)
    with pytest.raises(Fenced, match=r"r-1 was taken over by new \(epoch 2, ours is 1\)"):
        await store.save(refused, first, late, proof(refused), quarantined(refused))
    with pytest.raises(Fenced, match="taken over by new"):
        await store.checkpoint("r-1", first, {})
    assert await store.rollout("r-1") == rollout("r-1")
    assert await store.last_checkpoint("r-1") == TRAFFIC
    assert [e.text for e in await store.entries("r-1")] == ["begun"]
    assert await store.proofs("shop", "production") == ()
    assert await store.quarantine("shop") == ()


async def test_what_is_said_of_an_unknown_rollout_is_refused(store: Store) -> None:
    with pytest.raises(KeyError, match="no rollout r-9"):
        await store.claim("r-9", "k")
    with pytest.raises(KeyError, match="no rollout r-9"):
        await store.note("r-9", (entry("?"),))
    with pytest.raises(Fenced, match="no rollout r-9"):
        await store.save(rollout("r-9"), 1)
    with pytest.raises(Fenced, match="no rollout r-9"):
        await store.checkpoint("r-9", 1, {})
    assert await store.last_checkpoint("r-9") is None


async def test_the_last_checkpoint_replaces_those_before(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    epoch = await store.claim("r-1", "k")
    assert await store.last_checkpoint("r-1") is None
    data = {"judge": {"wealth": 1.5}, "counters": (1, 2), "since": at(3), "rest": timedelta(seconds=4)}
    await store.checkpoint("r-1", epoch, TRAFFIC)
    await store.checkpoint("r-1", epoch, data)
    kept = {"judge": {"wealth": 1.5}, "counters": [1, 2], "since": at(3).isoformat(), "rest": 4.0}
    assert await store.last_checkpoint("r-1") == kept


async def test_the_journal_numbers_its_lines_in_the_order_they_came(store: Store) -> None:
    await store.begin(rollout("r-1"), entry("begun"))
    await store.begin(rollout("r-2", "staging"), entry("another"))
    epoch = await store.claim("r-1", "k")
    await store.save(approved(rollout("r-1")), epoch, (entry("second", 1), entry("third", 2, "verdict")))
    await store.note("r-1", (entry("earlier by its clock", -3600, "order"),))
    await store.note("r-1", ())
    lines = await store.entries("r-1")
    assert [(e.seq, e.text) for e in lines] == [(1, "begun"), (2, "second"), (3, "third"), (4, "earlier by its clock")]
    assert lines[2] == replace(entry("third", 2, "verdict"), seq=3)
    assert await store.entries("r-1", after=2) == lines[2:]
    assert await store.entries("r-1", after=4) == await store.entries("r-9") == ()


async def test_rollouts_are_found_by_run_and_by_age(store: Store) -> None:
    for id, environment, run in (("b", "staging", "1"), ("c", "testing", "1"), ("a", "production", "1")):
        await store.begin(rollout(id, environment, run=run), entry("begun"))
    await store.begin(rollout("d", "staging", "mail", "2"), entry("begun"))
    assert [r.id for r in await store.run("1")] == ["b", "c", "a"]
    assert await store.run("3") == ()
    assert [r.id for r in await store.rollouts(3)] == ["d", "a", "c"]
    assert [r.id for r in await store.rollouts(100)] == ["d", "a", "c", "b"]
    assert [r.id for r in await store.active()] == ["b", "c", "a", "d"]


async def test_who_was_told_what_is_kept_for_each_reader_and_rollout_and_never_goes_back(store: Store) -> None:
    for id, environment in (("r-1", "staging"), ("r-2", "production")):
        await store.begin(rollout(id, environment), entry("begun"))
    await store.note("r-2", (entry("second"), entry("third")))
    assert await store.journals(9) == (("r-2", 3), ("r-1", 1))
    assert await store.journals(1) == (("r-2", 3),)
    assert await store.told("notify:team", "r-2") == 0
    await store.tell("notify:team", "r-2", 2)
    await store.tell("notify:team", "r-2", 1)
    assert await store.told("notify:team", "r-2") == 2
    assert await store.told("notify:team", "r-1") == await store.told("docs", "r-2") == 0


async def test_proofs_come_newest_first_and_each_once(store: Store) -> None:
    for id in ("r-1", "r-2"):
        await store.begin(rollout(id, "staging"), entry("begun"))
        done = over(rollout(id, "staging"))
        epoch = await store.claim(id, "k")
        for _ in ("once", "again after a crash"):
            await store.save(done, epoch, proof=proof(done))
    first, second = (proof(rollout(id, "staging")) for id in ("r-1", "r-2"))
    assert await store.proofs("shop", "staging") == (second, first)
    assert await store.proofs("shop", "production") == await store.proofs("mail", "staging") == ()


async def test_a_release_stays_in_quarantine_until_a_person_lets_it_out(store: Store) -> None:
    bad = rollout("r-1")
    identity = bad.stage.revision.release.identity
    await store.begin(bad, entry("begun"))
    epoch = await store.claim("r-1", "k")
    await store.save(back(bad), epoch, quarantined=quarantined(bad))
    await store.save(back(bad), epoch, quarantined=quarantined(bad, "worse"))
    assert await store.quarantine("shop") == (quarantined(bad, "worse"),)
    assert await store.quarantine("mail") == ()
    assert not await store.release("mail", identity, "ada", "not there", at(400))
    assert await store.release("shop", identity, "ada", "a false alarm", at(400))
    assert not await store.release("shop", identity, "ada", "a false alarm", at(401))
    assert await store.quarantine("shop") == ()
    await store.save(back(bad), epoch, quarantined=quarantined(bad))
    assert await store.quarantine("shop") == (quarantined(bad),)


async def test_what_is_known_of_an_environment_is_recalled(store: Store) -> None:
    assert await store.recall("production") is None
    await store.remember("production", {"old": True})
    await store.remember("production", TRAFFIC)
    await store.remember("staging", {})
    assert await store.recall("production") == TRAFFIC
    assert await store.recall("staging") == {}


def made_as(number: int) -> Plan:
    first, *rest = plan().stages
    return replace(plan(), stages=(replace(first, entrance=replace(first.entrance, port=number)), *rest))


async def many(store: Store, runs: int) -> list[str]:
    """Write runs of two rollouts each, every third of which was proven; return the ids of the proven ones."""
    proven = []
    for number in range(1, runs + 1):
        made = made_as(number)
        await store.add_plan(made)
        for environment in ("staging", "production"):
            one = replace(rollout(f"shop-{number}-{environment}", environment, run=f"shop-{number}"), plan=made.hash)
            release = replace(one.stage.revision.release, artefact=Artefact(f"sha256:{number}", "a test"))
            one = replace(one, stage=replace(one.stage, revision=replace(one.stage.revision, release=release)))
            await store.begin(one, entry("begun"))
            ended = over(one) if number % 3 == 0 else given_up(approved(one))
            epoch = await store.claim(one.id, "k")
            await store.checkpoint(one.id, epoch, TRAFFIC)
            await store.tell("mail", one.id, 1)
            is_proof = number % 3 == 0 and environment == "production"
            await store.save(ended, epoch, (entry("done"),), proof=proof(ended) if is_proof else None)
            proven += [one.id] if is_proof else []
    return proven


async def test_the_newest_runs_and_those_of_the_newest_proven_releases_stay_whole(store: Store) -> None:
    proven = await many(store, 20)
    gone = await store.prune(4, 3)
    assert proven[-3:] == ["shop-12-production", "shop-15-production", "shop-18-production"]
    left = {one.id for one in await store.rollouts(100)}
    runs = {17, 18, 19, 20} | {12, 15, 18}
    assert left == {f"shop-{number}-{where}" for number in runs for where in ("staging", "production")}
    assert left | set(gone) == {f"shop-{n}-{where}" for n in range(1, 21) for where in ("staging", "production")}
    assert [one.rollout for one in await store.proofs("shop", "production")] == proven[:-4:-1]
    assert await store.entries("shop-1-staging") == () != await store.entries("shop-12-staging")
    assert await store.last_checkpoint("shop-1-staging") is None
    assert (await store.told("mail", "shop-1-staging"), await store.told("mail", "shop-12-staging")) == (0, 1)
    plans = [await store.plan(made_as(n).hash) for n in (1, 12)]
    assert [one is not None for one in plans] == [False, True]
    assert await store.prune(4, 3) == ()


async def test_what_is_under_way_or_in_quarantine_stays_however_old_it_is(store: Store) -> None:
    await fill(store)  # shop-1 is in quarantine, shop-2 under way
    for number in range(5, 8):
        await store.begin(over(rollout(f"r-{number}", "testing", run=f"shop-{number}")), entry("begun"))
    assert await store.prune(1, 1) == ("r-6", "r-5")
    assert {one.run for one in await store.rollouts(100)} == {"shop-1", "shop-2", "shop-7"}


async def test_a_name_is_found_in_whatever_is_on_record(store: Store) -> None:
    await fill(store)
    assert await store.mentions(plan().stages[0].revision.name)
    assert not await store.mentions("never heard of")


async def test_what_was_given_can_change_afterwards_without_changing_what_is_kept(store: Store) -> None:
    data: dict[str, list[int]] = {"counts": [1]}
    await store.remember("production", data)
    data["counts"].append(2)
    assert await store.recall("production") == {"counts": [1]}


async def test_one_of_everything_fits(store: Store) -> None:
    await fill(store)
    assert [r.phase for r in await store.rollouts(9)] == [Phase.PROGRESSING, Phase.FAILED, Phase.SUCCEEDED]
