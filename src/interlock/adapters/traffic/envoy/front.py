"""How do several services share a port of this machine? By an Envoy in front of theirs, which all their keepers tend.

Each environment keeps a claim in a file. Whoever changes one holds the lock, makes Envoy's files anew of all claims,
and has them read back before it counts. No service has it for its own: each keeper finds the process by its label,
starts it when it is gone, and leaves it running while anybody claims anything. What weighs releases is the Envoy
behind: the one in front changes when a service comes, goes, or has a new certificate, and never during a rollout.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import os
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

from interlock.adapters.traffic.envoy import config, shared
from interlock.adapters.traffic.envoy.admin import CDS, LDS, Admin, rds
from interlock.adapters.traffic.envoy.certificate import Certificate, examine
from interlock.adapters.traffic.envoy.files import Files
from interlock.adapters.traffic.envoy.port import obstacle
from interlock.adapters.traffic.envoy.process import EnvoyProcess, socket_in
from interlock.adapters.traffic.envoy.shared import Claim
from interlock.adapters.traffic.envoy.xds import Xds
from interlock.core.record import plain, restore
from interlock.core.release import Tls
from interlock.ports.clock import Clock
from interlock.ports.host import Host, HostError
from interlock.ports.traffic import TrafficError

_LOCKED_AT_MOST = timedelta(seconds=30)
_LOOKS_AGAIN = timedelta(milliseconds=50)
_TENDS_EVERY = timedelta(seconds=2)
_PORT_FREE_WITHIN = timedelta(seconds=3)
_PRESENTED_WITHIN = timedelta(seconds=5)


class SharedFront:
    """The shared ports of one user on one machine. `directory` and `runtime` (a short path) are the same for all."""

    def __init__(self, host: Host, directory: Path, runtime: Path, clock: Clock, *, workers: int | None = None) -> None:
        self._host, self._clock, self._directory = host, clock, directory
        self._runtime, self._admin = runtime, Admin(Path(socket_in(runtime)))
        self._files = Files(host, directory)
        threads = workers or min(4, os.cpu_count() or 1)
        self._process = EnvoyProcess(host, clock, self._admin, label(directory), directory, threads)
        self._xds = Xds(self._files, self._admin, self._process, clock)
        self.troubles: dict[str, str] = {}

    async def claim(self, claim: Claim) -> None:
        """Have users of these names and paths come to the target; raise TrafficError, and then nothing has changed."""
        async with self._alone():
            before = self._claims()
            if (why := shared.conflict(claim, before)) is not None:
                raise TrafficError(f"{claim.said} cannot be opened: {why}")
            names = {claim.owner: claim} | {one.owner: one for one in before if one.owner != claim.owner}
            claims = tuple(names.values())
            pairs = {name: self._examined(name, tls, claims) for name, tls in shared.certificates((claim,)).items()}
            await self._ports_free(claim)
            file = self._claim_file(claim.owner)
            old = self._files.read(file)
            self._files.write(file, json.dumps(plain(claim), indent=1).encode(), durable=True)
            try:
                await self._show(claims, pairs)
            except TrafficError:
                self._files.restore(file, old)
                await self._show(before, {})
                raise
        if claim.front.tls:
            await self._presented(claim, pairs[shared.secret_name(claim.front.tls)])

    async def withdraw(self, owner: str) -> None:
        """Forget a claim; nothing happens when there is none. Without any claim Envoy is stopped."""
        file = self._claim_file(owner)
        if self._files.read(file) is None:
            return
        async with self._alone():
            self._files.remove(file)
            left = self._claims()
            if left:
                await self._show(left, {})
            else:
                await self._process.stop()
                for one in (self._files.lds, self._files.cds):
                    self._files.put(one, [])

    async def supervise(self) -> None:
        """Keep Envoy running, and its certificates as the files are, while anything is claimed."""
        while True:
            with contextlib.suppress(TrafficError, HostError):  # said to whoever asks for something; time may help
                if self._claims():
                    await self._tend()
            await self._clock.sleep(_TENDS_EVERY)

    def claimed(self, owner: str) -> Claim | None:
        """Return an environment's claim."""
        content = self._files.read(self._claim_file(owner))
        return restore(Claim, json.loads(content)) if content else None

    # --- certificates and process

    async def _tend(self) -> None:
        claims = self._claims()
        changed = {}
        for name, tls in shared.certificates(claims).items():
            try:
                pair = self._examined(name, tls, claims)
                if self._files.resources(self._sds(name)) != [shared.secret(tls, pair.certificate, pair.key)]:
                    changed[name] = pair
                self.troubles.pop(name, None)
            except TrafficError as error:  # the old certificate stays: half a renewal is none
                self.troubles[name] = str(error)
        if changed or await self._process.running() is None:
            async with self._alone():
                await self._show(self._claims(), changed)

    def _examined(self, name: str, tls: Tls, claims: tuple[Claim, ...]) -> Certificate:
        names = {n for one in claims if one.front.tls and shared.secret_name(one.front.tls) == name for n in one.names}
        return examine(tls, tuple(sorted(names - {"*"})))

    async def _presented(self, claim: Claim, pair: Certificate) -> None:
        """Wait until users are shown this very certificate: asked at the port itself."""
        deadline = self._clock.monotonic() + _PRESENTED_WITHIN.total_seconds()
        name = claim.front.names[0].replace("*", "any", 1) if claim.front.names else None
        where = (_reachable(claim.address), claim.port)
        while (shown := await _certificate_at(*where, name)) != pair.der:
            if self._clock.monotonic() > deadline:
                what = "shows another certificate" if shown else "does not answer by TLS"
                raise TrafficError(
                    f"{claim.said}: port {claim.port} {what} after {_PRESENTED_WITHIN.total_seconds():g} s"
                )
            await self._clock.sleep(_LOOKS_AGAIN)

    # --- telling Envoy

    async def _show(self, claims: tuple[Claim, ...], pairs: dict[str, Certificate]) -> None:
        """Make Envoy's files of all claims, in the order in which nothing is named before it is there."""
        secrets = shared.certificates(claims)
        for name, pair in pairs.items():
            self._files.put(self._sds(name), [shared.secret(secrets[name], pair.certificate, pair.key)])
        await self._running()
        tables = shared.tables(claims)
        listeners = shared.listeners(claims, self._directory)
        wanted = shared.clusters(claims)
        there = self._files.resources(self._files.cds)
        await self._xds.publish(self._files.cds, CDS, [*config.without(there, *(c["name"] for c in wanted)), *wanted])
        known = {one["name"] for one in self._files.resources(self._files.lds)}
        for name, table in tables.items():
            if name in known:
                await self._xds.publish(self._files.rds(name), rds(name), [table])
            else:
                self._files.put(self._files.rds(name), [table])
        await self._xds.publish(self._files.lds, LDS, listeners)
        for name in tables:
            await self._xds.taken(rds(name), self._files.version(self._files.rds(name)) or "")
        await self._xds.publish(self._files.cds, CDS, wanted)

    async def _running(self) -> None:
        if await self._process.running() is None:
            self._files.write(self._files.boot, config.bootstrap(self._directory, self._admin.socket))
            for file in (self._files.lds, self._files.cds):
                if self._files.read(file) is None:
                    self._files.put(file, [])
        await self._process.ensure()

    async def _ports_free(self, claim: Claim) -> None:
        """Wait a little for a port that one of ours is just giving up; raise TrafficError when it stays another's."""
        ours = {config.port_of(one) for one in self._files.resources(self._files.lds)}
        running = await self._process.running() is not None
        wanted = [(claim.address, port) for port in (claim.port, claim.front.redirect) if port]
        deadline = self._clock.monotonic() + _PORT_FREE_WITHIN.total_seconds()
        for place in wanted:
            while not (running and place in ours) and (why := obstacle(*place)) is not None:
                if self._clock.monotonic() > deadline:
                    raise TrafficError(f"{claim.said} cannot be opened: {why}")
                await self._clock.sleep(_LOOKS_AGAIN)

    # --- files

    def _claims(self) -> tuple[Claim, ...]:
        found = sorted(self._directory.glob("claim-*.json")) if self._directory.is_dir() else []
        contents = [self._files.read(file) for file in found]
        return tuple(restore(Claim, json.loads(content)) for content in contents if content)

    def _claim_file(self, owner: str) -> Path:
        return self._directory / f"claim-{owner}.json"

    def _sds(self, name: str) -> Path:
        return self._directory / f"sds-{name}.json"

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the lock that all keepers of this user know; raise TrafficError when another one does not let go."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        deadline = self._clock.monotonic() + _LOCKED_AT_MOST.total_seconds()
        with (self._directory / "lock").open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if self._clock.monotonic() > deadline:
                        held = f"held by another keeper for {_LOCKED_AT_MOST.total_seconds():g} s"
                        raise TrafficError(f"the shared front's lock {self._directory / 'lock'} is {held}") from None
                    await self._clock.sleep(_LOOKS_AGAIN)
            yield


def label(directory: Path) -> str:
    """Return the label by which the process in front is found, whoever started it."""
    return f"interlock:front:{hashlib.sha256(str(directory).encode()).hexdigest()[:12]}"


async def _certificate_at(address: str, port: int, name: str | None) -> bytes | None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only looked at: which one is it?
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(address, port, ssl=context, server_hostname=name or "")
    except (OSError, TimeoutError, ssl.SSLError):
        return None
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return found


def _reachable(address: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
