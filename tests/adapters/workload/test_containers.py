"""What is particular to containers: what an engine is told, where instances are reached, and what outlives whom."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.registry.registries import HTPASSWD, PASSWORD, USER
from tests.adapters.workload.sites import ContainerSite, all_ready, nobody, seen, until
from tests.engines import Harbour, Registry, container

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import LocalHost
from interlock.adapters.http import ask
from interlock.adapters.probe.network import check
from interlock.adapters.workload.containers import ContainerRuntime, Containers, Engine
from interlock.adapters.workload.containers.engine import demultiplexed, hint
from interlock.adapters.workload.containers.images import on_loopback
from interlock.adapters.workload.containers.places import Engines, found, sockets
from interlock.adapters.workload.slots import Place, Revisions
from interlock.core.container import Container, Log, Reach, SecretsAs
from interlock.core.release import Artefact, Configuration, Instance, Release, Revision
from interlock.ports.workload import WorkloadError

DIGEST = f"sha256:{'ab' * 32}"
IMAGE = Artefact(DIGEST, f"registry.example.com/acme/shop:v1@{DIGEST}")


@pytest.fixture
def dock(harbour: Harbour, tmp_path: Path) -> Iterator[ContainerSite]:
    site = ContainerSite(tmp_path, harbour.engine("docker"), harbour.registry)
    yield site
    asyncio.run(site.end())


def runtime(place: Path) -> ContainerRuntime:
    (place / "secrets").mkdir(exist_ok=True)
    return ContainerRuntime(LocalHost(), place / "state", "abc", place / "secrets", check, nobody)


def told(place: Path, where: Place = Place(8080, host="172.20.0.7"), **more: Any) -> dict[str, Any]:
    """Return what an engine is told of an instance."""
    configuration = Configuration(**{"command": (), "container": Container(), **more})
    revision = Revision("shop-1", "production", Release("shop", "v1", IMAGE, configuration, "c"))
    body: dict[str, Any] = runtime(place).spec(revision).body(1, where)
    return body


def test_an_image_is_named_by_its_digest_and_an_instance_by_labels(tmp_path: Path) -> None:
    body = told(tmp_path, container=Container(labels=(("team", "shop"), ("io.interlock.slot", "9"))))
    assert (
        body["Image"] == f"registry.example.com/acme/shop@{DIGEST}" and "Cmd" not in body and "Entrypoint" not in body
    )
    assert body["Labels"] | {"io.interlock.release": ""} == {
        "team": "shop",
        "io.interlock.state": "abc",
        "io.interlock.service": "shop",
        "io.interlock.environment": "production",
        "io.interlock.revision": "shop-1",
        "io.interlock.release": "",
        "io.interlock.version": "v1",
        "io.interlock.slot": "1",
        "io.interlock.address": "172.20.0.7:8080",
    }
    assert body["HostConfig"]["RestartPolicy"] == {"Name": "unless-stopped"}
    assert body["HostConfig"]["LogConfig"] == {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}}


def test_limits_are_as_the_file_says_them(tmp_path: Path) -> None:
    one = Container(
        entrypoint=("/bin/app",),
        user="1000:1000",
        read_only=True,
        init=True,
        tmpfs=("/tmp", "/run:size=1m"),
        volumes=("data:/data",),
        cpus=0.5,
        pids=64,
        shm_size=1 << 20,
        ulimits=(("nofile", 1, 2),),
        cap_add=("NET_RAW",),
        cap_drop=("ALL",),
        hosts=("db:10.0.0.5",),
        log=Log("syslog", (("tag", "shop"),)),
    )
    body = told(tmp_path, container=one, command=("serve", "{port}"), memory_max=64 << 20)
    host = body["HostConfig"]
    assert (body["Entrypoint"], body["Cmd"], body["User"]) == (["/bin/app"], ["serve", "8080"], "1000:1000")
    assert (host["Memory"], host["NanoCpus"], host["PidsLimit"], host["ShmSize"]) == (
        64 << 20,
        500_000_000,
        64,
        1 << 20,
    )
    assert (host["ReadonlyRootfs"], host["Init"], host["Binds"]) == (True, True, ["data:/data"])
    assert host["Tmpfs"] == {"/tmp": "", "/run": "size=1m"}
    assert host["Ulimits"] == [{"Name": "nofile", "Soft": 1, "Hard": 2}]
    assert (host["CapAdd"], host["CapDrop"], host["ExtraHosts"]) == (["NET_RAW"], ["ALL"], ["db:10.0.0.5"])
    assert host["LogConfig"] == {"Type": "syslog", "Config": {"tag": "shop"}}


def test_where_it_is_reached_decides_its_network_and_its_port(tmp_path: Path) -> None:
    bridge, loopback = told(tmp_path), told(tmp_path, Place(20001))
    host = told(tmp_path, Place(20002), container=Container(reach=Reach.HOST))
    fixed = bridge["NetworkingConfig"]["EndpointsConfig"]["interlock-abc"]
    assert fixed == {"IPAMConfig": {"IPv4Address": "172.20.0.7"}} and "PortBindings" not in bridge["HostConfig"]
    assert loopback["HostConfig"]["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}
    assert host["HostConfig"]["NetworkMode"] == "host"
    assert ["PORT=8080" in b["Env"] for b in (bridge, loopback)] == [True, True] and "PORT=20002" in host["Env"]


def test_secrets_are_variables_or_files_and_never_anything_else(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "f1").write_text("sesame street")
    secret = (("TOKEN", "f1"),)
    as_variables = told(tmp_path, secrets=secret)
    assert "TOKEN=sesame street" in as_variables.pop("Env") and "sesame" not in json.dumps(as_variables)
    as_files = told(tmp_path, secrets=secret, container=Container(secrets=SecretsAs.FILES))
    assert "sesame" not in json.dumps(as_files) and "TOKEN_FILE=/run/secrets/TOKEN" in as_files["Env"]
    assert as_files["HostConfig"]["Binds"] == [f"{tmp_path}/state/secrets/shop-1/TOKEN:/run/secrets/TOKEN:ro"]


async def test_what_is_no_image_cannot_be_launched_and_is_told_so(tmp_path: Path) -> None:
    release = Release("shop", "v1", Artefact("sha256:ab", "here"), Configuration((), container=Container()), "c")
    with pytest.raises(WorkloadError, match="containers run images"):
        await runtime(tmp_path).launchable(Revision("shop-1", "production", release))


def test_an_engine_is_found_in_the_usual_places_and_stays_the_one(tmp_path: Path) -> None:
    there = tmp_path / "docker.sock"
    environment = {"DOCKER_HOST": f"unix://{there}", "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    assert next(sockets(environment)) == f"unix://{there}"
    assert next(sockets({"DOCKER_HOST": "ssh://far"})) == "unix:///var/run/docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(there))
        assert found(environment) == f"unix://{there}"
    engines = Engines(LocalHost(), tmp_path / "engines")
    (tmp_path / "engines").write_text("found unix:///first.sock\n")
    assert engines.of(Container()).address == "unix:///first.sock", "whatever the environment says today"
    assert engines.of(Container(engine="unix:///named.sock")).address == "unix:///named.sock"
    assert {one.address for one in engines.used()} == {"unix:///first.sock", "unix:///named.sock"}


def test_a_socket_that_nobody_answers_is_told_with_what_to_do() -> None:
    with pytest.raises(WorkloadError, match=r"cannot be asked: No such file.*does the engine run"):
        asyncio.run(Engine("unix:///nowhere/docker.sock").about())
    assert "containers.conf" in hint("crun: cgroups in hybrid mode not supported, drop all controllers")
    assert "docker.ulimits" in hint("error setting rlimit type 7: operation not permitted")
    assert hint("something else") == ""


def test_the_two_outputs_of_a_container_are_joined_and_those_of_a_terminal_left_alone() -> None:
    assert demultiplexed(b"\x01\0\0\0\0\0\0\x03hi\n\x02\0\0\0\0\0\0\x04oh!\n") == b"hi\noh!\n"
    assert demultiplexed(b"plain text, and more of it\n") == b"plain text, and more of it\n"
    assert demultiplexed(b"") == b""


def test_plain_http_is_for_loopback() -> None:
    assert [on_loopback(one) for one in ("127.0.0.1:5000", "localhost", "[::1]:5000")] == [True, True, True]
    assert [on_loopback(one) for one in ("docker.io", "registry.example.com:5000", "10.0.0.1:5000")] == [False] * 3


async def told_by(instance: Instance) -> dict[str, Any]:
    """Return what an instance says of itself."""
    body: dict[str, Any] = json.loads((await ask(instance.address, path="/", timeout=timedelta(seconds=5))).body)
    return body


@pytest.mark.parametrize("way", [Reach.LOOPBACK, Reach.HOST])
async def test_an_instance_without_an_address_of_its_own_has_a_port_and_takes_another_when_that_is_taken(
    dock: ContainerSite, way: Reach
) -> None:
    revision = dock.revision(container=container(dock.engine, reach=way))
    async with dock.keeper() as workload:
        await workload.ensure(revision, 1)
        (one,) = await seen(workload, all_ready(1))
        assert one.address.startswith("127.0.0.1:")
        port = int(one.address.rpartition(":")[2])
    name = one.process.removeprefix("container ")
    dock.engine.ask("DELETE", f"/containers/{name}?force=true")
    with socket.socket() as other:
        with suppress(OSError):
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", port))
            other.listen()
        async with dock.keeper() as workload:
            (again,) = await seen(workload, all_ready(1))
            assert again.address.startswith("127.0.0.1:") and again.address != one.address
            assert (await told_by(again))["env"]["INTERLOCK_SLOT"] == "0"


async def test_secrets_in_files_are_read_by_any_user_of_the_container_and_go_with_it(dock: ContainerSite) -> None:
    (dock.place / "secrets" / "f1").write_bytes(b"sesame street")
    own = container(dock.engine, secrets=SecretsAs.FILES, user="12345:12345", read_only=True, tmpfs=("/tmp",))
    program = "print(open(os.environ['TOKEN_FILE']).read(), os.getuid(), flush=True)"
    command = dock.revision().release.configuration.command
    script = f"import os; {program}; os.execv('{command[0]}', ['python', '-S', 'server.py'])"
    revision = dock.revision(container=own, secrets=(("TOKEN", "f1"),), command=(command[0], "-c", script))
    async with dock.keeper() as workload:
        await workload.ensure(revision, 1)
        (one,) = await seen(workload, all_ready(1))
        inspected = json.dumps(dock.engine.inspect(one.process.removeprefix("container ")))
        assert "sesame" not in inspected and "TOKEN_FILE=/run/secrets/TOKEN" in inspected
        kept = dock.place / "state" / "secrets" / "web-1"
        assert kept.stat().st_mode & 0o777 == 0o700
        assert (await workload.log_tail("web-1", 5))[0] == "[secret] 12345"
        await workload.stop("web-1", (0,))
        assert not kept.exists()
    written = [path for path in (dock.place / "state").rglob("*") if path.is_file()]
    assert any(path.name == "web-1-0.log" for path in written)
    assert [path for path in written if b"sesame" in path.read_bytes()] == []


async def test_too_much_memory_ends_an_instance_with_the_reason(dock: ContainerSite) -> None:
    async with dock.keeper() as workload:
        await workload.ensure(dock.revision(memory_max=48 << 20), 1)
        (one,) = await seen(workload, all_ready(1))
        with suppress(Exception):
            await ask(one.address, path="/grow/100", timeout=timedelta(seconds=5))
        found = await seen(workload, lambda found: found[0].reason.startswith("ended") or found[0].restarts > 0)
        await seen(workload, all_ready(1))
        assert found[0].reason == "" or "memory" in found[0].reason or "signal 9" in found[0].reason, found


async def test_whatever_was_left_while_the_engine_was_dead_is_ended_when_it_is_back(
    dock: ContainerSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.adapters.workload.slots.revisions.SWEEP_EVERY", timedelta(seconds=0.5))
    async with dock.keeper() as workload:
        await workload.ensure(dock.revision("web-1"), 1)
        await workload.ensure(dock.revision("web-2"), 1)
        (before,) = await seen(workload, all_ready(1))
        await seen(workload, all_ready(1), "web-2")
    await asyncio.to_thread(dock.engine.kill)
    async with dock.keeper() as workload:
        (believed,) = await seen(workload, all_ready(1))
        assert (believed.address, believed.process) == (before.address, before.process), "it lives, and answers"
        with pytest.raises(WorkloadError, match="cannot be asked"):
            await workload.stop("web-2", (0,))
        assert await workload.instances("web-2") == ()
        await asyncio.to_thread(dock.engine.start)

        async def one_left() -> bool:
            return len(dock.containers()) == 1

        await until(one_left, "what was to stop is stopped")
        assert (await seen(workload, all_ready(1)))[0].process == before.process


async def test_images_that_nobody_needs_go_and_those_that_we_did_not_pull_stay(dock: ContainerSite) -> None:
    other = dock.registry.push("t/web", "v2", {"app/other": b"2"})
    workload: Revisions = dock.workload()
    assert isinstance(workload, Containers)
    one = dock.revision()
    two = replace(one, release=replace(one.release, artefact=other))
    dock.engine.ask("DELETE", f"/images/{dock.registry.host}/t/web@{one.release.artefact.digest}?force=true")
    await workload.fetch(one)
    await workload.fetch(two)
    await workload.fetch(two)
    gone = await workload.runtime.prune({other.digest})
    assert gone == (f"{dock.registry.host}/t/web@{one.release.artefact.digest}",)
    assert await workload.runtime.prune({other.digest}) == ()
    elsewhere = Containers(
        LocalHost(), dock.place / "else", SystemClock(), "else", dock.place / "secrets", check, nobody
    )
    await elsewhere.fetch(two)  # it was there already
    assert await elsewhere.runtime.prune(()) == ()
    assert await workload.runtime.prune(()) == (f"{dock.registry.host}/t/web@{other.digest}",)


@pytest.mark.parametrize("kind", ["docker", "podman"])
async def test_an_image_is_pulled_as_whoever_the_file_says(harbour: Harbour, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "registry"
    place.mkdir()
    guarded = Registry(place, HTPASSWD, harbour.registry.data)
    guarded.start()
    site = ContainerSite(tmp_path, harbour.engine(kind), harbour.registry)
    artefact = site.artefact
    try:
        (tmp_path / "secrets" / "f1").write_text(PASSWORD)
        there = replace(artefact, source=artefact.source.replace(harbour.registry.host, guarded.host))
        workload, one = site.workload(), site.revision()
        one = replace(one, release=replace(one.release, artefact=there))
        with pytest.raises(WorkloadError, match=r"cannot be pulled: .*(unauthorized|authentication|no basic auth)"):
            await workload.fetch(one)
        (tmp_path / "secrets" / "f2").write_text("wrong")
        for secret in ("f2", "f1"):
            own = replace(container(site.engine), login=(USER, secret))
            release = replace(one.release, configuration=replace(one.release.configuration, container=own))
            assert release.identity == one.release.identity, "whoever pulls it, it is the same release"
            if secret == "f1":
                await workload.fetch(replace(one, release=release))
            else:
                with pytest.raises(WorkloadError, match="cannot be pulled"):
                    await workload.fetch(replace(one, release=release))
    finally:
        guarded.end()
        await site.end()
