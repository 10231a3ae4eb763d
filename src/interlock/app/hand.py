"""What does this machine do for a project that lives on another one? What the keeper there asks, as long as it leads.

Whoever leads has an epoch, which is a number in a file of this machine. Every call that changes anything carries it,
and is compared with the file under its lock by the very process that then makes the change: a keeper that was replaced,
and does not know it yet, changes nothing any more. Only one project may lead, until a person says otherwise.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import fcntl
import json
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from interlock.adapters.host.fleet import Member, answer
from interlock.adapters.host.fleet.wire import moves
from interlock.app.secrets import write_once
from interlock.app.state import StateDirectory
from interlock.core.record import restore
from interlock.core.release import Artefact, Revision

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_SECRET = re.compile(r"[0-9a-f]{32}")


class Led(Exception):
    """This machine does what another one says, and not what was asked; the message says whose word holds."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads: an identity that no other project has, where it is in words, and its epoch."""

    driver: str = ""
    said: str = ""
    epoch: int = 0


class Hand:
    """One machine's half of a fleet."""

    def __init__(self, state: StateDirectory, own: Member) -> None:
        self._state, self._file = state, state.path / "led"
        self._ports = {one: getattr(own, one) for one in ("traffic", "workload", "metrics", "prober")}

    def leader(self) -> Leader | None:
        """Return who leads this machine, None when nobody does: then it is its own."""
        try:
            content = self._file.read_text()
        except FileNotFoundError:
            return None
        return Leader(**json.loads(content)) if content else Leader()

    async def lead(self, driver: str, said: str) -> int:
        """Take the lead; return the epoch from which on earlier ones are refused. Raises Led when another leads.

        It waits for what was begun under the epoch before.
        """
        async with self._locked(fcntl.LOCK_EX) as file:
            leader = _read(file)
            if leader.driver not in ("", driver):
                gone = "If that is gone for good, say so: interlock setup --adopt ssh://HOST"
                raise Led(f"this machine is led by {leader.said}. {gone}")
            epoch = leader.epoch + 1
            _write(file, Leader(driver, said, epoch))
            return epoch

    async def call(self, name: str, arguments: dict[str, Any], driver: str, epoch: int) -> Any:
        """Carry out a call of who leads; raise Led when that is not who asks (any more)."""
        if not moves(name):
            return await self._carried_out(name, arguments)
        async with self._locked(fcntl.LOCK_SH) as file:
            leader = _read(file)
            if (leader.driver, leader.epoch) != (driver, epoch):
                raise Led(f"epoch {epoch} is over: {leader.said or 'nobody'} leads with epoch {leader.epoch}")
            return await self._carried_out(name, arguments)

    async def provide(self, revision: dict[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
        """Keep secrets by name; return which of those that the revision names, and which artefact, are not here yet."""
        directory = self._state.secrets
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, value in secrets.items():
            if _SECRET.fullmatch(name):
                write_once(directory / name, base64.b64decode(value))
        missing = [name for name in named_secrets(revision) if not (directory / name).exists()]
        digest = restore(Revision, revision).release.artefact.digest
        here = (self._state.artefacts / digest.removeprefix("sha256:")).is_dir()
        return {"secrets": missing, "artefact": "" if here else digest}

    async def _carried_out(self, name: str, arguments: dict[str, Any]) -> Any:
        if name.startswith("prober."):  # asked of this machine's own preview
            revision = arguments["revision"]["name"]
            arguments = {**arguments, "preview": self._ports["traffic"].preview(revision)}
        return await answer(name, arguments, self._ports)

    @contextlib.asynccontextmanager
    async def _locked(self, how: int) -> AsyncIterator[int]:
        file = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                try:
                    fcntl.flock(file, how | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    await asyncio.sleep(0.01)
            yield file
        finally:
            os.close(file)


def _read(file: int) -> Leader:
    content = os.pread(file, 65536, 0)
    return Leader(**json.loads(content)) if content else Leader()


def _write(file: int, leader: Leader) -> None:
    content = json.dumps({"driver": leader.driver, "said": leader.said, "epoch": leader.epoch}).encode()
    os.pwrite(file, content, 0)
    os.ftruncate(file, len(content))
    os.fsync(file)


def named_secrets(record: Any) -> tuple[str, ...]:
    """Return what in a record could name a secret: sixteen bytes in hexadecimal, as `app.secrets` makes them."""
    match record:
        case str():
            return (record,) if _SECRET.fullmatch(record) else ()
        case dict():
            return tuple(dict.fromkeys(name for item in record.values() for name in named_secrets(item)))
        case list():
            return tuple(dict.fromkeys(name for item in record for name in named_secrets(item)))
    return ()


def place(name: str) -> StateDirectory:
    """Return the state directory of a project by its service's name."""
    if not _NAME.fullmatch(name):
        raise Led(f'expected the name of a service, found "{name}"')
    return StateDirectory.of(name)


def member(name: str) -> dict[str, str]:
    """Have a keeper run here for a project that lives elsewhere; say where it answers."""
    from interlock.app.verbs import App

    state = place(name)
    state.make()
    file = state.path / "led"
    if (state.path / "home").exists():
        raise Led(
            f"this machine is the home of {name} itself, and led by nobody. If {name} lives elsewhere now, say so: "
            "interlock down there, then interlock setup --adopt ssh://HOST"
        )
    if not file.exists():  # before its keeper starts: it then leaves to the leader what is the leader's
        file.touch(mode=0o600)
    asyncio.run(App(state).ensure_keeper())
    return {"socket": str(state.socket)}


def leading(name: str) -> str:
    """Say who leads this machine, with the epoch; "" when nobody does."""
    try:
        leader = Leader(**json.loads((place(name).path / "led").read_text()))
    except (FileNotFoundError, ValueError):
        return ""
    return f"{leader.said}, epoch {leader.epoch}"


def freed(name: str) -> str:
    """Have nobody lead this machine; return who did. Only a person may say so, as two could lead then."""
    path = place(name).path
    said = ""
    with contextlib.suppress(FileNotFoundError, ValueError):
        said = Leader(**json.loads((path / "led").read_text())).said
    for file in ("led", "home"):
        (path / file).unlink(missing_ok=True)
    return said


def artefact_of(revision: dict[str, Any]) -> Artefact:
    """Return the artefact of a revision's record."""
    return restore(Revision, revision).release.artefact
