"""How is a command carried out on the machine where the state is? Sent there, with what it needs of here.

A project whose production has `hosts` lives on the first of them: its records, its keeper, its locks. Commands from any
laptop run there, so two of them cannot start two rollouts, and a lid that closes ends nothing but the watching.
"""

from __future__ import annotations

import asyncio
import getpass
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

if TYPE_CHECKING:
    from interlock.config import File
    from interlock.core.release import Artefact

_WITH_VERSION = frozenset({"plan", "deploy", "check"})
_SENDS_WITHIN = timedelta(minutes=10)
_ASKS_WITHIN = timedelta(seconds=30)
_MISSING = 127


async def go(call: Call, home: str, argv: list[str]) -> int:
    """Carry the command out there, as if it were here; return its exit status."""
    from interlock.adapters.host.ssh import Ssh
    from interlock.app.parcel import pack, write
    from interlock.app.road import remotely
    from interlock.app.state import StateDirectory

    for option in ("plan", "out"):
        if getattr(call.options, option, None) is not None:
            call.warn(f"error: expected no --{option} with hosts: {home} plans itself, and cannot see that file")
            return Exit.ERROR
    state = StateDirectory.of(call.file.service)
    state.make()
    ssh = Ssh(home, state.runtime)
    artefact, sent = await _artefact(call, state)
    words = tuple(_without_file(argv))
    parcel = pack(call.file.path, call.file.service, home, getpass.getuser(), words, sent)
    with tempfile.NamedTemporaryFile(prefix="interlock-", dir=state.runtime) as spool:
        write(parcel, artefact if sent.startswith("sha256:") else None, state.artefacts, spool)
        spool.flush()
        ran = await ssh.send(Path(spool.name), *remotely("receive"), within=_SENDS_WITHIN)
    if ran.status == _MISSING:
        call.warn(f"error: {home} has no Interlock. Put it there: interlock setup {home}")
        return Exit.ERROR
    if ran.status:
        call.warn(ran.err.decode(errors="replace").strip() or f"error: {home}: {ran.last_words}")
        return Exit.ERROR
    call.goes_on = f"interrupted: what was begun on {home} goes on there"
    return await _follow(call, ssh, ran.out.decode().strip())


async def _follow(call: Call, ssh: object, token: str) -> int:
    from interlock.adapters.host.ssh import Ssh
    from interlock.app.road import remotely

    assert isinstance(ssh, Ssh)
    command = ssh.argv(*remotely("run", token), terminal=call.live)
    child = await asyncio.create_subprocess_exec(*command, stdin=None if call.live else asyncio.subprocess.DEVNULL)
    try:
        status = await child.wait()
    except asyncio.CancelledError:
        if child.returncode is None:
            child.terminate()
        raise
    if status == 255:
        call.warn(f"error: the connection to {ssh.address} broke. What was begun goes on there: see interlock get")
    return status


async def _artefact(call: Call, state: object) -> tuple[Artefact | None, str]:
    """Pack or build what the version names, where its source is: here. Return it, and its name over there."""
    from interlock.app.planner import Planner
    from interlock.app.state import StateDirectory

    assert isinstance(state, StateDirectory)
    options = call.options
    version = getattr(options, "version", None)
    if options.command not in _WITH_VERSION or not version or _known_there(version):
        return None, ""
    file: File = call.file
    artefact = await Planner(state, file, call.warn).artefact(version)
    return artefact, artefact.source if file.image is not None else artefact.digest


def _known_there(version: str) -> bool:
    return version.startswith("sha256:")


def _without_file(argv: list[str]) -> list[str]:
    """Leave out where the file lies here."""
    kept: list[str] = []
    skip = False
    for word in argv:
        if skip:
            skip = False
        elif word in ("-f", "--file"):
            skip = True
        elif not word.startswith("--file="):
            kept.append(word)
    return kept
