"""Are the other machines of this project, and what it shows to users at a shared port, well?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from interlock.adapters.host.local import LocalHost
from interlock.adapters.host.ssh import Ssh
from interlock.adapters.traffic.envoy.certificate import examine
from interlock.adapters.traffic.envoy.front import label
from interlock.app.doctor import Entrances
from interlock.app.finding import Finding
from interlock.app.road import home, remotely
from interlock.app.setup import findings, look
from interlock.app.state import StateDirectory
from interlock.core.release import Tls
from interlock.ports.host import HostError
from interlock.ports.traffic import TrafficError

RENEW_BEFORE = timedelta(days=14)
_ASKS_WITHIN = timedelta(seconds=20)


async def machines(state: StateDirectory, entrances: Entrances) -> list[Finding]:
    """Look at every machine of the file but this one, all at once; what is well there is one line."""
    named = dict.fromkeys(host for _, entrance in entrances for host in entrance.hosts)
    others = [host for host in named if host != home(state)]
    return [one for found in await asyncio.gather(*(_machine(state, host) for host in others)) for one in found]


async def _machine(state: StateDirectory, address: str) -> list[Finding]:
    ssh = Ssh(address, state.runtime)
    try:
        looked = await look(ssh)
        led = await ssh.run(*remotely("led", state.path.name), within=_ASKS_WITHIN)
    except HostError as problem:
        return [Finding("host", False, str(problem), f"interlock setup --check {address}")]
    finally:
        await ssh.close()
    found = list(findings(looked, address, containers=False))
    wrong = [Finding("host", False, f"{address}: {one.text}", one.advice) for one in found if one.well is False]
    leader = led.out.decode(errors="replace").strip() if led.status == 0 else ""
    text = f"{address}: Interlock {looked.interlock}, led by {leader or 'nobody yet'}"
    return wrong or [Finding("host", True, text)]


def certificates(entrances: Entrances) -> list[Finding]:
    """Look at every certificate of the file that is on this machine."""
    wanted: dict[Tls, set[str]] = {}
    for _, entrance in entrances:
        if entrance.front is not None and entrance.front.tls is not None:
            wanted.setdefault(entrance.front.tls, set()).update(entrance.front.names)
    return [_certificate(tls, names, datetime.now(UTC)) for tls, names in wanted.items()]


def _certificate(tls: Tls, names: Iterable[str], now: datetime) -> Finding:
    try:
        until = examine(tls, tuple(sorted(names))).until
    except TrafficError as error:
        advice = "users are shown the one before, where there was one; renew it, then it is read by itself"
        return Finding("certificate", False, str(error), advice)
    text = f"{tls.certificate} holds until {until:%Y-%m-%d} ({(until - now).days} days)"
    return Finding("certificate", until - now > RENEW_BEFORE, text, "renew it: a new one is read by itself")


async def fronts(state: StateDirectory) -> list[str]:
    """Return the processes that listen on shared ports, as `ss` would name them."""
    return [f"(pid {one.pid})" for one in await LocalHost().find(label(state.shared[0]))]
