"""How does this keeper reach the keeper of another machine of its project?

By a unix socket that ssh forwards. It leads that machine from its first change on, once: a keeper that was replaced is
refused there, and does not take the lead again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.adapters.host.fleet.member import FarError, Lost
from interlock.adapters.host.fleet.wire import moves
from interlock.adapters.host.ssh import Ssh
from interlock.adapters.inquiry import Rejected, Unreachable
from interlock.adapters.line import ask
from interlock.app.hand import artefact_of, named_secrets
from interlock.app.parcel import tar
from interlock.app.state import StateDirectory
from interlock.core.image import image_of
from interlock.core.secrecy import hidden
from interlock.ports.host import HostError

_ANSWERS_WITHIN = timedelta(seconds=30)
_SENDS_WITHIN = timedelta(minutes=10)
_NEEDS = ("workload.fetch", "workload.ensure", "workload.launchable")
FIND = 'p="${XDG_DATA_HOME:-$HOME/.local/share}/interlock/bin/interlock"; [ -x "$p" ] || p=interlock; exec "$p" "$@"'
"""Runs the Interlock that `interlock setup` put there, else the one in the path."""


def remotely(*words: str) -> tuple[str, ...]:
    """Return the command that runs Interlock's own half on another machine."""
    return ("sh", "-c", FIND, "interlock", "remote", *words)


class Road:
    """The way to one machine's keeper, for one project."""

    def __init__(self, state: StateDirectory, service: str, address: str) -> None:
        self._state, self._service, self.address = state, service, address
        self._ssh = Ssh(address, state.runtime)
        self._here = state.runtime / f"far-{hashlib.sha256(address.encode()).hexdigest()[:8]}"
        self._there = ""
        self._epoch: int | None = None
        self._opening, self._leading = asyncio.Lock(), asyncio.Lock()

    async def __call__(self, name: str, arguments: Mapping[str, Any], within: timedelta) -> Any:
        """Call one verb of a port there; raise FarError. What only looks is asked again once when the line broke."""
        epoch = await self._lead() if moves(name) else 0
        if name in _NEEDS:
            await self._provide(arguments["revision"])
        told = {"name": name, "arguments": dict(arguments), "driver": driver(self._state), "epoch": epoch}
        return await self._ask("call", told, within, again=not moves(name))

    async def down(self) -> str:
        """Stop all that this project runs there, keeper and all; return what was said."""
        try:
            ran = await self._ssh.run(*remotely("down", self._service), within=timedelta(minutes=3))
        except HostError as problem:
            raise FarError(str(problem)) from problem
        if ran.status:
            raise FarError(ran.last_words)
        return ran.out.decode(errors="replace").strip()

    async def close(self) -> None:
        """Close the connection; what runs there goes on."""
        await self._ssh.close()

    async def _lead(self) -> int:
        async with self._leading:
            if self._epoch is None:
                said = f"{socket.gethostname()}:{self._state.path}"
                told = {"driver": driver(self._state), "said": said}
                self._epoch = int(await self._ask("lead", told, _ANSWERS_WITHIN, again=False))
            return self._epoch

    async def _provide(self, revision: dict[str, Any]) -> None:
        """Have there what the instances need of here: secrets by the line, the artefact by standard input."""
        known = {name for name in named_secrets(revision) if (self._state.secrets / name).is_file()}
        lacking = await self._ask("provide", {"revision": revision, "secrets": {}}, _ANSWERS_WITHIN, again=True)
        values = {
            name: base64.b64encode((self._state.secrets / name).read_bytes()).decode()
            for name in lacking["secrets"]
            if name in known
        }
        if values:
            await self._ask("provide", {"revision": revision, "secrets": values}, _ANSWERS_WITHIN, again=True)
        if lacking["artefact"] and image_of(artefact_of(revision)) is None:
            await self._send(lacking["artefact"])

    async def _send(self, digest: str) -> None:
        if not (self._state.artefacts / digest.removeprefix("sha256:")).is_dir():
            raise FarError(f"the artefact {digest} is not kept here, so it cannot be sent there")
        with tempfile.NamedTemporaryFile(prefix="artefact-", dir=self._state.path) as spool:
            await asyncio.to_thread(tar, digest, self._state.artefacts, spool)
            spool.flush()
            try:
                ran = await self._ssh.send(Path(spool.name), *remotely("artefact", self._service), within=_SENDS_WITHIN)
            except HostError as problem:
                raise FarError(str(problem)) from problem
        if ran.status:
            raise FarError(f"it did not take the artefact: {ran.last_words}")

    async def _ask(self, verb: str, arguments: dict[str, Any], within: timedelta, *, again: bool) -> Any:
        try:
            await self._open()
            return await ask(self._here, verb, arguments, within)
        except Rejected as no:
            raise FarError(hidden(str(no), ())) from no
        except HostError as problem:
            self._there = ""
            raise Lost(str(problem)) from problem
        except Unreachable as silence:
            if isinstance(silence.__cause__, TimeoutError):  # late is not lost: a line that broke is found by ssh
                raise FarError(f"its keeper has not answered within {within.total_seconds():g} s") from silence
            self._there = ""
            if again:
                return await self._ask(verb, arguments, within, again=False)
            raise Lost(f"its keeper does not answer: {silence}") from silence

    async def _open(self) -> None:
        """Have the socket forwarded; a keeper that does not run there is started."""
        async with self._opening:
            if not self._there:
                ran = await self._ssh.run(*remotely("member", self._service), within=_ANSWERS_WITHIN)
                if ran.status == 127:
                    raise HostError(f"{self.address} has no Interlock. Put it there: interlock setup {self.address}")
                if ran.status:
                    raise HostError(f"{self.address}: {ran.last_words}")
                self._there = str(json.loads(ran.out)["socket"])
            await self._ssh.forward(self._here, self._there)


def driver(state: StateDirectory) -> str:
    """Return the identity by which this project leads other machines: made once, and never another's."""
    file = state.path / "driver"
    if not file.exists():
        fresh = file.with_name(".driver.new")
        fresh.write_text(secrets.token_hex(16))
        fresh.replace(file)
    return file.read_text()


def be_home(state: StateDirectory, address: str) -> None:
    """Remember by which address people reach this machine. The keeper reads it at any moment: it is there whole."""
    if home(state) != address:
        fresh = state.path / f".home.{secrets.token_hex(4)}"
        fresh.write_text(f"{address}\n")
        fresh.replace(state.path / "home")


def home(state: StateDirectory) -> str:
    """Return the address by which people reach this machine, as the first command from afar said; "" without one."""
    file = state.path / "home"
    return file.read_text().strip() if file.exists() else ""
