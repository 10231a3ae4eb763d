"""What do tests of the store put into it? Also the maker of the records that later versions must still read.

`python -m tests.adapters.store.examples` writes records/schema-N.sql for the present schema. The file of a released
version is never written again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from interlock.adapters.store.schema import SCHEMA
from interlock.adapters.store.sqlite import SQLite
from interlock.core import strategy
from interlock.core.criteria import Criteria
from interlock.core.events import Done, Failed, Order, OrderKind
from interlock.core.health import Identify, Probe, ProbeKind, SmokeTest
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision, Sticky, StickyBy
from interlock.core.rollout import Rollout, begin
from interlock.core.strategy import Pace
from interlock.core.transitions import advance
from interlock.ports.store import Entry, Proof, Quarantined, Store

NOON = datetime(2026, 3, 4, 12, 0, 0, 250_000, tzinfo=UTC)
RECORDS = Path(__file__).parent / "records"
TRAFFIC = {"requests": [120, 80.5], "latency": {"0.25": 7}, "boot": "b-1"}


def at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def release(version: str, service: str = "shop") -> Release:
    configuration = Configuration(
        command=("./serve", "--fast"),
        instances=4,
        environment=(("GREETING", "grüß dich"),),
        secrets=(("TOKEN", "ab12"),),
        readiness=Probe(path="/ready", fields=(("database", "ok"),)),
        liveness=Probe(ProbeKind.TCP),
        memory_max=1 << 30,
        identify=Identify(header="x-release"),
        smoke_tests=(SmokeTest("greets", matches="^hello"), SmokeTest("by hand", command=("./smoke",))),
    )
    return Release(service, version, Artefact(f"sha256:{version}", "git v" + version), configuration, "c0ffee")


def stage(environment: str = "production", service: str = "shop", kind: StrategyName = StrategyName.CANARY) -> Stage:
    old = Revision(f"{service}-1", environment, release("1", service))
    new = Revision(f"{service}-2", environment, release("2", service))
    pace = Pace(approve=True)
    lay_out = {"canary": strategy.canary, "blue-green": strategy.blue_green, "rolling": strategy.rolling}[kind.value]
    return Stage(
        environment,
        Entrance(8080, sticky=Sticky(StickyBy.HEADER, "x-user", 1)),
        kind,
        new,
        old,
        lay_out(new, old, pace),
        strategy.rollback(new, old, pace),
        criteria=Criteria(latency_p99=timedelta(milliseconds=250)),
        notes=("no key: users are assigned per request",),
    )


def plan(service: str = "shop") -> Plan:
    stages = (
        stage("staging", service, StrategyName.ROLLING),
        stage("testing", service, StrategyName.BLUE_GREEN),
        stage("production", service),
    )
    return Plan(service, "2", stages, NOON, "ada")


def rollout(id: str, environment: str = "production", service: str = "shop", run: str = "shop-1") -> Rollout:
    return begin(id, run, plan(service).hash, plan(service).stage(environment), NOON, "ada")


def approved(rollout: Rollout) -> Rollout:
    """Go on past the approval, by a person's order."""
    while rollout.phase.value != "waiting":
        rollout = advance(rollout, Done(at(rollout.index), rollout.index))
    return advance(rollout, Order(at(60), OrderKind.APPROVE, "grace", "key-1", "looks fine"))


def over(rollout: Rollout) -> Rollout:
    """Go on to the end."""
    rollout = rollout if rollout.approvals else approved(rollout)
    while not rollout.over:
        rollout = advance(rollout, Done(at(100 + rollout.index), rollout.index))
    return rollout


def back(rollout: Rollout, reason: str = "9 % errors, at most 1 %", *, fault: bool = True) -> Rollout:
    """Turn back, by the release's own fault or not."""
    return advance(rollout, Failed(at(200), rollout.index, reason, fault))


def given_up(rollout: Rollout) -> Rollout:
    """Turn back, and fail at that too."""
    turned = back(rollout)
    return advance(turned, Failed(at(210), turned.index, "the old revision does not start"))


def entry(text: str, seconds: float = 0, kind: str = "step") -> Entry:
    return Entry(at(seconds), kind, text, {"step": 1, "weights": [0, 500]})


def proof(rollout: Rollout) -> Proof:
    revision = rollout.stage.revision
    subject = revision.release.proven_as
    where = rollout.stage.environment
    return Proof(revision.release.service, where, subject, revision.release.identity, revision, rollout.id, at(300))


def quarantined(rollout: Rollout, reason: str = "9 % errors") -> Quarantined:
    release = rollout.stage.revision.release
    return Quarantined(release.service, release.identity, release.version, rollout.id, reason, at(310))


async def fill(store: Store) -> None:
    """Write one of everything: a staging that ended well, a production taken back, one under way."""
    assert await store.number("shop") == 1
    await store.add_plan(plan())
    staging, production = rollout("r-1", "staging"), rollout("r-2")
    await store.begin(staging, entry("begun"))
    epoch = await store.claim("r-1", "keeper-1")
    await store.save(over(staging), epoch, (entry("done", 300),), proof=proof(staging))
    await store.begin(production, entry("begun", 301))
    epoch = await store.claim("r-2", "keeper-1")
    await store.checkpoint("r-2", epoch, TRAFFIC)
    taken_back = given_up(approved(production))
    lines = (entry("a verdict", 310, "verdict"), entry("could not go back", 311))
    await store.save(taken_back, epoch, lines, quarantined=quarantined(production))
    await store.begin(approved(rollout("r-3", run="shop-2")), entry("begun again", 400))
    await store.remember("production", TRAFFIC)


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "state.db"
        store = SQLite(path)
        asyncio.run(fill(store))
        store.close()
        db = sqlite3.connect(path)
        (RECORDS / f"schema-{SCHEMA}.sql").write_text("\n".join(db.iterdump()) + "\n")
        db.close()


if __name__ == "__main__":
    main()
