"""Do several machines, each with an engine of its own, take a release of containers together, and give it back?"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.lan import APP, TOKEN, Laptop
from tests.e2e.test_fleet import Users, versions
from tests.engines import PYTHON, ULIMITS, Dockerd, Registry, mounted_python, needed
from tests.sshd import Lan, Machine, a_lan

from interlock.adapters.host.local import LocalHost

pytestmark = pytest.mark.timeout(400)
HERE = "10.77.41.1"  # where the registry is: on the machine of the laptop


class Shared(Registry):
    """A registry that other machines reach."""

    @property
    def host(self) -> str:
        return f"{HERE}:{self.port}"


class Apart(Dockerd):
    """Docker's engine in a machine's own network; it trusts a registry that speaks plain HTTP."""

    def __init__(self, place: Path, network: str, registry: str) -> None:
        super().__init__(place)
        self._network, self._registry = network, registry

    def argv(self) -> tuple[str, ...]:
        inside = ("nsenter", f"--net=/run/netns/{self._network}")  # `ip netns exec` would hide the cgroups
        return (*inside, *super().argv(), "--insecure-registry", self._registry)

    def names(self) -> list[str]:
        """Return what its containers release, in the environments they run in."""
        labels = [dict(one["Labels"]) for one in self.containers()]  # type: ignore[call-overload]
        return sorted(f"{one['io.interlock.version']} in {one['io.interlock.environment']}" for one in labels)


@dataclass
class Dockers(Laptop):
    """A laptop whose project is released as an image."""

    registry: Registry | None = None
    networks: str = ""

    def write(self, version: str, unless: str = "") -> None:
        """Have the project be this version, in an image of that tag; it joins a network besides, if any."""
        assert self.registry is not None
        text = APP.replace('VERSION = "v1"', f'VERSION = "{version}"').replace("127.0.0.1", "0.0.0.0")
        self.registry.push("town/shop", version, {"app/app.py": text.encode()})
        project = self.place / "project"
        project.mkdir(parents=True, exist_ok=True)
        limits = ", ".join(f"{name}: '{soft}:{hard}'" for name, soft, hard in ULIMITS)
        volumes = ", ".join(mounted_python())
        (project / "interlock.yaml").write_text(
            "service: shop\n"
            f"image: {{name: '{self.registry.host}/town/shop', registry: {{insecure: true}}}}\n"
            f'command: ["{PYTHON}", -I, -S, app.py]\n'
            f"docker: {{volumes: [{volumes}], ulimits: {{{limits}}}, networks: [{self.networks}], secrets: files}}\n"
            f"hosts: [{', '.join(self.hosts)}]\n"
            "secrets: {TOKEN: env:SHOP_TOKEN}\n"
            "strategy: {canary: {weights: [50%, 100%], first_bake: 2s, bake: 1s, keep: 1s, hold_at_most: 30s, "
            "recovered_for: 1s}}\n"
            "stop: 2s\n"
            "criteria: {sample_every: 1s, without_proof: advance-unproven}\n"
            f"environments:\n  staging: {{port: {self.staging}, hosts: [{self.hosts[0]}], "
            "strategy: {blue-green: {keep: 1s}}}\n"
            f"  production: {{port: {self.port}, address: {self.address}}}\n{self.more}"
        )


@contextmanager
def short(name: str) -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix=name))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def fleet() -> AsyncIterator[tuple[Lan, list[Machine], list[Apart], Dockers]]:
    """Give a test two machines with an engine each, a registry and a laptop; leave nothing of them."""
    engines: list[Apart] = []
    with short("il-r") as shelf:
        registry = Shared(shelf)
        async with a_lan() as lan:
            try:
                for number in (2, 3):
                    place = Path(tempfile.mkdtemp(prefix="il-e"))
                    variables = {"DOCKER_HOST": f"unix://{place}/engine.sock"}
                    machine = lan.machine(f"10.77.41.{number}", apart=True, variables=variables)
                    engines.append(Apart(place, machine.network, registry.host))
                    await asyncio.to_thread(engines[-1].start)
                await asyncio.to_thread(registry.start)
                host = LocalHost()
                hosts = tuple(one.url for one in lan.machines)
                ports = (await host.free_port(), await host.free_port())
                laptop = Dockers(lan.place / "l", hosts, *ports, address="0.0.0.0", registry=registry)
                laptop.write("v1")
                yield lan, lan.machines, engines, laptop
                await laptop.run("down")
            finally:
                for engine in engines:
                    await asyncio.to_thread(engine.end)
                registry.end()


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh", "ip", "nsenter"):
        needs(program)
    for program in ("dockerd", "runc", "docker-registry"):
        needed(program)
    if os.geteuid() != 0:
        pytest.skip("an engine of a test's own is started by root")


async def test_engines_of_several_machines_take_a_release_together_and_one_that_cannot_takes_all_back() -> None:
    async with fleet() as (lan, machines, engines, laptop):
        status, said = await laptop.run("deploy", "--first", "v1", within=240)
        assert status == 0 and "400 of 400 probes" in said, said
        assert await versions(laptop.port, machines) == ["v1", "v1"]
        assert [engine.names() for engine in engines] == [["v1 in production", "v1 in staging"], ["v1 in production"]]
        users = [Users(f"{one.address}:{laptop.port}") for one in machines]
        laptop.write("v2")
        status, said = await laptop.run("deploy", "v2", within=240)
        assert status == 0, said
        assert await versions(laptop.port, machines) == ["v2", "v2"]
        status, network = engines[0].ask("POST", "/networks/create", {"Name": "base", "CheckDuplicate": True})
        assert status == 201, network
        laptop.networks = "base"  # which the second machine does not have
        laptop.write("v3")
        status, said = await laptop.run("deploy", "v3", within=240)
        assert status == 3 and machines[1].url in said and "base" in said, said
        assert await versions(laptop.port, machines) == ["v2", "v2"]
        assert [engine.names()[0] for engine in engines] == ["v2 in production", "v2 in production"], "nothing is left"
        status, said = await laptop.run("doctor")
        assert said.count("✔ engine") == 2, said
        failed = [what for one in users for what in await one.end()]
        assert failed == [] and all(one.answered > 50 for one in users)
        where = [path for path in lan.place.rglob("*") if path.is_file() and TOKEN in path.read_text(errors="replace")]
        assert where and all("secrets" in path.parts for path in where), where
        seen = [engine.inspect(str(one["Id"])) for engine in engines for one in engine.containers()]
        assert len(seen) == 3 and TOKEN not in json.dumps(seen)
        status, said = await laptop.run("down")
        assert status == 0 and [engine.containers() for engine in engines] == [[], []], said
