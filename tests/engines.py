"""What do tests need that run real containers? Engines of their own, a registry, and images made in a moment.

An engine of a test keeps all it has in a directory of the test's, uses no bridge of the machine's, writes no packet
filter where it need not, and leaves nothing: containers first, then the engine by its pid, what it left by theirs, and
last the mounts. Images are made by hand (a layer, a configuration and a manifest, pushed to a real registry), which
takes milliseconds; their Python is the machine's own, mounted read-only, so that the very same service runs as a
process and in a container.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

import pytest

from interlock.core.container import Container
from interlock.core.release import Artefact

PYTHON = os.path.realpath(sys.executable)
DEADLINE = 60.0
ULIMITS = (("nofile", 1024, 4096), ("nproc", 4096, 4096))
_ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def mounted_python() -> tuple[str, ...]:
    """Return the volumes by which a container has this machine's Python."""
    places = [Path(p) for p in ("/lib", "/lib64", "/usr/lib", "/usr/lib64") if Path(p).is_dir()]
    places.append(Path(PYTHON).parent if sys.base_prefix.startswith("/usr") else Path(sys.base_prefix))
    return tuple(f"{p.resolve()}:{p}:ro" for p in dict.fromkeys(places))


def container(engine: Engine, **more: object) -> Container:
    """Return how a container with this machine's Python runs at an engine."""
    settings = {"volumes": mounted_python(), "ulimits": ULIMITS, **more}
    return Container(engine.address, **settings)  # type: ignore[arg-type]


class Engine:
    """An engine in a directory of its own; what can be asked by `curl` is asked so, to see with other eyes."""

    product = ""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.socket = place / "engine.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def argv(self) -> tuple[str, ...]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def start(self) -> None:
        """Start it, and wait until it answers; skip the test with its own words where this machine cannot run it."""
        self.socket.unlink(missing_ok=True)
        self._process = _started(self.argv(), self.place / "log", self.environment())
        end = time.monotonic() + DEADLINE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                words = (self.place / "log").read_text(errors="replace").splitlines()[-3:]
                pytest.skip(f"this machine cannot run {self.product}: {' | '.join(words)}")
            time.sleep(0.05)

    def answers(self) -> bool:
        with suppress(OSError, http.client.HTTPException):
            return self.ask("GET", "/_ping")[0] == 200
        return False

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, and wait until it has gone."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(30)

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, object]:
        """Ask its API."""
        sent = None if body is None else json.dumps(body)
        with closing(_Unix(self.socket)) as connection:
            connection.request(method, path, sent, {"Content-Type": "application/json"} if sent else {})
            answer = connection.getresponse()
            content = answer.read()
        with suppress(ValueError):
            return answer.status, json.loads(content)
        return answer.status, content.decode(errors="replace")

    def containers(self) -> list[dict[str, object]]:
        """Return all that there are."""
        _, found = self.ask("GET", "/containers/json?all=true")
        assert isinstance(found, list), found
        return found

    def inspect(self, name: str) -> dict[str, object]:
        status, found = self.ask("GET", f"/containers/{name}/json")
        assert status == 200 and isinstance(found, dict), found
        return found

    def pid_of(self, name: str) -> int:
        """Return the pid of a container's program, as this machine sees it."""
        return int(self.inspect(name)["State"]["Pid"])  # type: ignore[index]

    def clear(self) -> None:
        """Remove every container and every network of ours."""
        for one in self.containers():
            self.ask("DELETE", f"/containers/{one['Id']}?force=true&v=true")
        _, networks = self.ask("GET", "/networks")
        for network in networks if isinstance(networks, list) else []:
            if str(network["Name"]).startswith("interlock-"):
                self.ask("DELETE", f"/networks/{network['Name']}")

    def end(self) -> None:
        """Leave nothing of it."""
        if self._process is None:
            return
        with suppress(OSError, http.client.HTTPException, AssertionError, pytest.skip.Exception):
            if self._process.poll() is not None:
                self.start()
            self.clear()
        with suppress(ProcessLookupError):
            self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(15)
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for _ in range(3):
            for point in reversed(_mounts(self.place)):
                subprocess.run(("umount", "-l", point), capture_output=True)
        shutil.rmtree(self.place, ignore_errors=True)

    def _left(self) -> list[int]:
        """Return the processes that were started for this directory."""
        found = []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdecimal() and str(self.place).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
        return [pid for pid in found if pid != os.getpid()]


class Dockerd(Engine):
    """Docker's. It writes no packet filter: published ports of loopback are carried by its proxy."""

    product = "dockerd"

    def __init__(self, place: Path, *, live_restore: bool = True) -> None:
        super().__init__(place)
        self.live_restore = live_restore

    def argv(self) -> tuple[str, ...]:
        options = ("--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-masq=false")
        place = ("--data-root", f"{self.place}/data", "--exec-root", f"{self.place}/exec")
        restore = ("--live-restore",) if self.live_restore else ()
        return ("dockerd", *place, "--pidfile", f"{self.place}/pid", "--host", self.address, *options, *restore)

    def start(self) -> None:
        """Docker 20.10 waits in vain for a containerd whose pid file outlived it."""
        (self.place / "exec" / "containerd" / "containerd.pid").unlink(missing_ok=True)
        (self.place / "pid").unlink(missing_ok=True)
        super().start()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Kill it; its containerd goes with it, or is waited for: who was killed leaves it to itself."""
        super().kill(number)
        time.sleep(0.5)


class Podman(Engine):
    """Podman's service, which is no daemon: containers have their own watchers."""

    product = "podman"

    def argv(self) -> tuple[str, ...]:
        return ("podman", "--cgroup-manager", "cgroupfs", "system", "service", "--time=0", self.address)

    def environment(self) -> dict[str, str]:
        files = {"CONTAINERS_CONF": "containers.conf", "CONTAINERS_STORAGE_CONF": "storage.conf"}
        return {**os.environ, **{name: str(self.place / file) for name, file in files.items()}}

    def start(self) -> None:
        place = self.place
        limits = ", ".join(f'"{name}={soft}:{hard}"' for name, soft, hard in ULIMITS)
        (place / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = [{limits}]\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\n'
            f'events_logger = "file"\n[network]\nnetwork_config_dir = "{place}/networks"\n'
        )
        (place / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
        )
        super().start()


class Registry:
    """A registry of loopback, which speaks plain HTTP. `users` are lines of htpasswd, `data` where it keeps what."""

    def __init__(self, place: Path, users: str = "", data: Path | None = None) -> None:
        self.place, self.port = place, _free_port()
        self._users, self.data = users, data or place / "data"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        settings: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {"filesystem": {"rootdirectory": str(self.data)}, "delete": {"enabled": True}},
            "http": {"addr": self.host},
        }
        if self._users:
            (self.place / "users").write_text(self._users)
            settings["auth"] = {"htpasswd": {"realm": "a test", "path": f"{self.place}/users"}}
        (self.place / "registry.yml").write_text(json.dumps(settings))
        argv = ("docker-registry", "serve", f"{self.place}/registry.yml")
        self._process = _started(argv, self.place / "log", dict(os.environ))
        end = time.monotonic() + DEADLINE
        while not self._answers():
            assert time.monotonic() < end, (self.place / "log").read_text()
            time.sleep(0.05)

    def _answers(self) -> bool:
        with suppress(OSError):
            return self._send("GET", "/v2/", b"")[0] in (200, 401)
        return False

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(15)
        shutil.rmtree(self.place, ignore_errors=True)

    def push(self, name: str, tag: str, files: Mapping[str, bytes], **config: object) -> Artefact:
        """Make an image of these files and push it; return the artefact that it is."""
        layer, plain = _layer(files)
        made = {"architecture": _ARCHITECTURE, "os": "linux", "config": {"WorkingDir": "/app", **config}}
        rootfs = {"type": "layers", "diff_ids": [_digest(plain)]}
        configuration = json.dumps({**made, "rootfs": rootfs, "history": [{"created_by": "a test"}]}).encode()
        for blob in (layer, configuration):
            self._upload(name, blob)
        parts = {"schemaVersion": 2, "mediaType": _MANIFEST}
        manifest = json.dumps(
            {**parts, "config": _part(_CONFIG, configuration), "layers": [_part(_LAYER, layer)]}
        ).encode()
        status, body = self._send("PUT", f"/v2/{name}/manifests/{tag}", manifest, _MANIFEST)
        assert status == 201, body
        digest = _digest(manifest)
        return Artefact(digest, f"{self.host}/{name}:{tag}@{digest}")

    def _upload(self, name: str, blob: bytes) -> None:
        connection = http.client.HTTPConnection(self.host, timeout=15)
        connection.request("POST", f"/v2/{name}/blobs/uploads/")
        answer = connection.getresponse()
        answer.read()
        place = str(answer.getheader("Location"))
        place = place.partition(self.host)[2] or place
        connection.request("PUT", f"{place}{'&' if '?' in place else '?'}digest={_digest(blob)}", blob)
        answer = connection.getresponse()
        assert answer.status == 201, answer.read()
        connection.close()

    def _send(self, method: str, path: str, body: bytes, kind: str = "") -> tuple[int, bytes]:
        with closing(http.client.HTTPConnection(self.host, timeout=15)) as connection:
            connection.request(method, path, body or None, {"Content-Type": kind} if kind else {})
            answer = connection.getresponse()
            return answer.status, answer.read()


class Harbour:
    """The engines and the registry of a test run, each started when it is first asked for."""

    def __init__(self) -> None:
        self._registry: Registry | None = None
        self._engines: dict[str, Engine] = {}

    @property
    def registry(self) -> Registry:
        if self._registry is None:
            needed("docker-registry")
            self._registry = Registry(Path(tempfile.mkdtemp(prefix="il-reg-")))
            self._registry.start()
        return self._registry

    def engine(self, kind: str) -> Engine:
        """Return an engine that answers: `docker`, `podman`, or `docker-plain`, which restores nothing."""
        if kind not in self._engines:
            needed("podman" if kind == "podman" else "dockerd")
            needed("runc")
            if os.geteuid() != 0:
                pytest.skip("an engine of a test's own is started by root")
            place = Path(tempfile.mkdtemp(prefix="il-"))
            engine = Podman(place) if kind == "podman" else Dockerd(place, live_restore=kind == "docker")
            try:
                engine.start()
            except BaseException:
                engine.end()
                raise
            self._engines[kind] = engine
        elif not self._engines[kind].answers():
            self._engines[kind].start()
        return self._engines[kind]

    def end(self) -> None:
        for engine in self._engines.values():
            engine.end()
        if self._registry is not None:
            self._registry.end()


def _started(argv: tuple[str, ...], log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as file:
        return subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file, env=environment, start_new_session=True
        )


def needed(program: str) -> None:
    """Skip the test where a program is missing; in CI nothing may be missing."""
    if shutil.which(program) is None:
        reason = f"needs the program {program}, which is not installed here"
        if os.environ.get("CI") == "true":
            pytest.fail(f"{reason}: CI runs every test, so `make test` has to install it")
        pytest.skip(reason)


@pytest.fixture(scope="session")
def harbour() -> Iterator[Harbour]:
    harbour = Harbour()
    yield harbour
    harbour.end()


class _Unix(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(str(self._path))  # closed with the connection, connected or not


def _layer(files: Mapping[str, bytes]) -> tuple[bytes, bytes]:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in files.items():
            one = tarfile.TarInfo(name)
            one.size, one.mode = len(content), 0o755
            tar.addfile(one, io.BytesIO(content))
    return gzip.compress(plain.getvalue(), mtime=0), plain.getvalue()


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _part(kind: str, content: bytes) -> dict[str, object]:
    return {"mediaType": kind, "size": len(content), "digest": _digest(content)}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mounts(place: Path) -> list[str]:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point.startswith(f"{place}/")]
