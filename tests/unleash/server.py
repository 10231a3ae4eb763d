"""The real Unleash on a real PostgreSQL, for tests: started once a session, and nothing of it is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.core.flag import Flag, Unleash

PROGRAM = Path(__file__).parents[2] / ".venv/unleash/node_modules/unleash-server/dist/server.js"
STARTS_WITHIN = 90.0
ADMIN = "*:*.unleash-token-admin-0123456789"
TOKENS = {name: f"default:{name}.unleash-token-{name}-0123456789" for name in ("development", "production")}


@dataclass
class UnleashServer:
    """One that runs. Its open-source edition has the environments `development` and `production` only."""

    url: str
    database: str
    tokens: Mapping[str, str] = field(default_factory=lambda: TOKENS)
    _numbers: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    def source(
        self, environment: str = "production", *, url: str = "", refresh: timedelta = timedelta(seconds=1)
    ) -> Unleash:
        """Return how a file names this server, or a proxy in front of it."""
        return Unleash(url or self.url, environment, "the-admin-token", refresh=refresh)

    def secret(self, name: str) -> str:
        """Return the token that `source` names."""
        assert name == "the-admin-token"
        return ADMIN

    def create(self, *strategies: Mapping[str, Any], on: bool = False, name: str = "") -> Flag:
        """Create a flag with these strategies in production; by default of a name that no other has."""
        name = name or f"flag-{os.getpid()}-{next(self._numbers)}"
        self.ask("POST", "projects/default/features", {"name": name, "type": "release"})
        for strategy in strategies:
            self.ask("POST", f"{place(name)}/strategies", strategy)
        if on:
            self.ask("POST", f"{place(name)}/on")
        return Flag(name, self.source())

    def strategies(self, name: str) -> list[dict[str, Any]]:
        """Return a flag's strategies in production."""
        found: list[dict[str, Any]] = self.ask("GET", f"{place(name)}/strategies")
        return found

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return all that happened to a flag, in order."""
        found: list[dict[str, Any]] = self.ask("GET", f"search/events?feature=IS:{name}&limit=1000")["events"]
        return sorted(found, key=lambda event: int(event["id"]))

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Have the database let nobody at the flags while the block lasts: the server says it is well, and hangs."""
        programs = postgres_programs()
        assert programs is not None
        command = (str(programs / "psql"), "--no-psqlrc", "-qAt", self.database)
        tables = "features, feature_environments, feature_strategies"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as held:
            assert held.stdin is not None and held.stdout is not None
            held.stdin.write(f"begin; lock table {tables} in access exclusive mode; select 'held';\n")
            held.stdin.flush()
            assert held.stdout.readline() == "held\n"
            try:
                yield
            finally:
                held.stdin.close()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the Admin API, as somebody by hand would."""
        return asked(self.url, method, path, body)


def gradual(rollout: int, **more: Any) -> dict[str, Any]:
    """Return a strategy that gives the feature to so many percent."""
    parameters = {"rollout": str(rollout), "stickiness": "default", "groupId": more.pop("group", "shop")}
    return {"name": "flexibleRollout", "parameters": parameters, "constraints": [], "segments": [], **more}


def place(name: str, environment: str = "production") -> str:
    """Return a flag's path in an environment of the Admin API."""
    return f"projects/default/features/{name}/environments/{environment}"


def asked(url: str, method: str, path: str, body: Any = None) -> Any:
    """Ask the Admin API at this address; fail on any refusal."""
    headers = {"Authorization": ADMIN, "Content-Type": "application/json"}
    sent = b"" if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{url}/api/admin/{path}", sent or None, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from error
    return json.loads(text) if text else None


def missing() -> str:
    """Say what Unleash needs and is not installed here; nothing when all is there."""
    if not PROGRAM.exists():
        return f"needs Unleash in {PROGRAM.parents[3]}, which `make test` installs where there is npm"
    if shutil.which("node") is None:
        return "needs the program node, which is not installed here"
    return "" if postgres_programs() else "needs PostgreSQL's server (Debian, Ubuntu: apt install postgresql)"


def postgres_programs() -> Path | None:
    """Return where Debian puts the newest PostgreSQL's programs."""
    found = [place for place in Path("/usr/lib/postgresql").glob("*/bin") if (place / "initdb").exists()]
    return max(found, key=lambda place: int(place.parent.name), default=None)


@contextlib.contextmanager
def unleash_server() -> Iterator[UnleashServer]:
    """Run both until the block is left."""
    with postgres() as database, contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.NamedTemporaryFile("w+b", prefix="interlock-unleash-"))
        port = free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": f"{database}/unleash",
            "DATABASE_SSL": "false",
            "HTTP_HOST": "127.0.0.1",
            "HTTP_PORT": str(port),
            "LOG_LEVEL": "warn",
            "CHECK_VERSION": "false",
            "SEND_TELEMETRY": "false",
            "INIT_ADMIN_API_TOKENS": ADMIN,
            "INIT_BACKEND_API_TOKENS": ",".join(TOKENS.values()),
        }
        stack.enter_context(running(("node", str(PROGRAM)), log.fileno(), environment))
        server = UnleashServer(f"http://127.0.0.1:{port}", f"{database}/unleash")
        until(lambda: server.ask("GET", "projects/default/features"), lambda: Path(log.name).read_text())
        yield server


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Run a PostgreSQL with an empty database `unleash`; as the user postgres when we are root, whom it refuses."""
    programs = postgres_programs()
    assert programs is not None
    place = Path(tempfile.mkdtemp(prefix="interlock-pg-"))
    user: tuple[str, ...] = ()
    if os.geteuid() == 0:
        shutil.chown(place, "postgres", "postgres")
        user = ("setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups")
    port = str(free_port())
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": str(place), "fsync": "off"}
    settings |= {"shared_buffers": "64MB", "synchronous_commit": "off"}
    flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    try:
        with (place / "log").open("w+b") as log:
            made = (*user, str(programs / "initdb"), "-D", str(place / "data"), "-U", "postgres", "-A", "trust")
            subprocess.run((*made, "--no-sync", "-E", "UTF8"), stdout=log, stderr=log, check=True, cwd=place)
            serve = (*user, str(programs / "postgres"), "-D", str(place / "data"), *flags)
            with running(serve, log.fileno(), dict(os.environ), cwd=place, end=signal.SIGINT):
                create = (str(programs / "createdb"), "-h", "127.0.0.1", "-p", port, "-U", "postgres", "unleash")
                until(
                    lambda: subprocess.run(create, check=True, capture_output=True, timeout=30),
                    lambda: (place / "log").read_text(),
                )
                yield f"postgres://postgres@127.0.0.1:{port}"
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: int,
    environment: Mapping[str, str],
    *,
    cwd: Path | None = None,
    end: signal.Signals = signal.SIGTERM,
) -> Iterator[None]:
    """Run a program until the block is left."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment), cwd=cwd
    )
    try:
        yield
    finally:
        process.send_signal(end)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def until(works: Any, log: Any) -> None:
    """Try until it works."""
    deadline = time.monotonic() + STARTS_WITHIN
    while True:
        try:
            works()
            return
        except (OSError, AssertionError, subprocess.SubprocessError) as error:
            assert time.monotonic() < deadline, f"{error}\n{log()[-2000:]}"
            time.sleep(0.1)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
