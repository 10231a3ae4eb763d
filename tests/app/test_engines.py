"""Does doctor say whether an engine is well, and is what nobody needs any more told from what is needed?"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.engines import Harbour, harbour

from interlock.adapters.host.local import LocalHost
from interlock.adapters.memory_store import MemoryStore
from interlock.adapters.workload.slots import record
from interlock.adapters.workload.slots.record import Place, Record
from interlock.app.engines import examine_engines
from interlock.app.finding import Finding
from interlock.app.forget import needed_images
from interlock.app.state import StateDirectory
from interlock.core.container import Container, Reach
from interlock.core.image import Image, ImageSource
from interlock.core.phase import Phase
from interlock.core.plan import Stage, StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, Revision
from interlock.core.rollout import begin
from interlock.core.strategy import LAYOUTS, Pace, rollback
from interlock.ports.store import Entry, Proof

__all__ = ["harbour"]

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def looked(state: Path, *wanted: Container, image: ImageSource | None = None) -> dict[str, Finding]:
    found = asyncio.run(examine_engines(StateDirectory(state), wanted, image))
    return {one.name: one for one in found}


def test_without_containers_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert looked(tmp_path) == {}


def test_an_engine_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    found = looked(tmp_path, Container(engine=f"unix://{tmp_path}/docker.sock"))["engine"]
    assert found.well is False and "No such file" in found.text and "systemctl start docker" in found.advice


def test_a_socket_that_nobody_listens_on_is_no_engine(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").write_text("")
    found = looked(tmp_path, Container(engine=f"unix://{tmp_path}/docker.sock"))["engine"]
    assert found.well is False and "does the engine run" in found.text


def test_an_engine_and_its_registry_that_are_well_are_named(tmp_path: Path, harbour: Harbour) -> None:
    engine, registry = harbour.engine("docker"), harbour.registry
    image = ImageSource(Image(registry.host, "t/none"), str(tmp_path))
    wanted = Container(engine=engine.address)
    found = looked(tmp_path, wanted, wanted, image=image)
    assert found["engine"].well and "Docker" in found["engine"].text and "API 1." in found["engine"].text
    assert found["live-restore"].well and found["engine disk"].well and found["registry"].well
    published = looked(tmp_path, replace(wanted, reach=Reach.LOOPBACK))["live-restore"]
    assert published.well is None and "docker.reach" in published.advice
    nobody = ImageSource(Image("127.0.0.1:1", "t/none"), str(tmp_path))
    assert looked(tmp_path, image=nobody)["registry"].well is False


@pytest.mark.parametrize("keep", [1, 2])
async def test_the_images_of_what_runs_and_of_the_last_proven_releases_are_needed(tmp_path: Path, keep: int) -> None:
    state, store = StateDirectory(tmp_path), MemoryStore()
    (state.instances / "revisions").mkdir(parents=True)
    for number in (1, 2, 3):
        await proven(store, revision(number, keep), NOW + timedelta(hours=number))
    runs = Record(revision(9, keep), {0: Place(1)})
    record.write(LocalHost(), state.instances / "revisions" / "shop-9.json", runs)
    wanted = (9, *range(3, 3 - keep, -1))
    assert await needed_images(state, store) == {revision(n, keep).release.artefact.digest for n in wanted}


def revision(number: int, keep: int) -> Revision:
    digest = f"sha256:{number:064x}"
    own = Configuration((), container=Container(keep_images=keep))
    release = Release("shop", f"v{number}", Artefact(digest, f"registry/shop@{digest}"), own, "c")
    return Revision(f"shop-{number}", "production", release)


async def proven(store: MemoryStore, new: Revision, at: datetime) -> None:
    """Have a release proven in production."""
    pace, entrance = Pace(), Entrance(8000)
    steps, back = LAYOUTS[StrategyName.BLUE_GREEN](new, None, pace), rollback(new, None, pace)
    stage = Stage("production", entrance, StrategyName.BLUE_GREEN, new, None, steps, back, None)
    begun = begin(new.name, new.name, "hash", stage, at)
    await store.begin(begun, Entry(at, "begin", "", {}))
    proof = Proof("shop", "production", "subject", new.release.identity, new, new.name, at)
    ended = replace(begun, phase=Phase.SUCCEEDED)
    await store.save(ended, await store.claim(new.name, "test"), proof=proof)
