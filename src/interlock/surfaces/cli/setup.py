"""How does a machine come to carry a project?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.app.finding import Finding


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "hosts", metavar="HOST", nargs="*", help="ssh://[USER@]HOST[:PORT] (default: the hosts of the file)"
    )
    parser.add_argument("--check", action="store_true", help="only look, and say what to type; change nothing")
    parser.add_argument("--again", action="store_true", help="install Interlock also where this version is already")
    parser.add_argument(
        "--adopt", action="store_true", help="let this project lead machines that a project which is gone has led"
    )
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.adapters.host.ssh import Ssh
    from interlock.app.setup import reaches
    from interlock.app.state import StateDirectory
    from interlock.core.record import plain
    from interlock.ports.host import HostError

    call.goes_on = "interrupted: a machine has Interlock as it had before, or anew; nothing in between is used"
    hosts = _hosts(call)
    runtime = StateDirectory.of("setup").runtime
    found: dict[str, list[Finding]] = {}
    for address in hosts:
        ssh = Ssh(address, runtime)
        try:
            found[address] = await _one(call, ssh)
            if address == hosts[0]:
                found[address] += [await reaches(ssh, other) for other in hosts[1:]]
        except HostError as problem:
            found[address] = [_unreached(str(problem))]
        finally:
            await ssh.close()
        _show(call, address, found[address])
    well = all(one.well is not False for some in found.values() for one in some)
    if call.json:
        call.document(
            {"type": "setup", "well": well, "hosts": {h: [plain(o) for o in some] for h, some in found.items()}}
        )
    if well and not call.options.check:
        call.say("All is there. Now: interlock deploy VERSION")
    return Exit.OK if well else Exit.ERROR


def _hosts(call: Call) -> list[str]:
    if call.options.hosts:
        return list(dict.fromkeys(call.options.hosts))
    named = [host for one in reversed(call.file.environments) for host in one.entrance.hosts]
    if not named:
        call.warn("error: expected HOST, or `hosts` in interlock.yaml, found neither: setup is for other machines")
        raise SystemExit(Exit.ERROR)
    return list(dict.fromkeys(named))


async def _one(call: Call, ssh: object) -> list[Finding]:
    """Look at one machine, put there what it lacks, and look again."""
    from interlock.adapters.host.ssh import Ssh
    from interlock.app.parcel import ours
    from interlock.app.setup import findings, install, look

    assert isinstance(ssh, Ssh)
    containers, ports = _needs(call)
    looked = await look(ssh)
    lacks = looked.interlock != ours() or call.options.again
    if lacks and looked.python and not call.options.check:
        call.say(f"{ssh.address}: installing Interlock {ours()}, with {looked.python}")
        await install(ssh, looked)
        looked = await look(ssh)
    found = list(findings(looked, ssh.address, containers=containers, ports=ports))
    if call.options.adopt and not call.options.check:
        found.append(await _adopt(call, ssh))
    return found


async def _adopt(call: Call, ssh: object) -> Finding:
    from datetime import timedelta

    from interlock.adapters.host.ssh import Ssh
    from interlock.app.finding import Finding
    from interlock.app.road import remotely

    assert isinstance(ssh, Ssh)
    ran = await ssh.run(*remotely("free", call.file.service), within=timedelta(seconds=30))
    led = ran.out.decode(errors="replace").strip()
    return Finding("led", ran.status == 0, f"{led} leads it no more" if led else "nobody led it", ran.last_words)


def _needs(call: Call) -> tuple[bool, tuple[int, ...]]:
    """Return whether the file asks for containers, and which ports; without a file nothing more is asked for."""
    from interlock.config import FileError

    try:
        file = call.file
    except FileError:
        return False, ()
    entrances = [one.entrance for one in file.environments]
    ports = [one.port for one in entrances] + [one.front.redirect for one in entrances if one.front]
    return file.image is not None, tuple(sorted({port for port in ports if port}))


def _unreached(said: str) -> Finding:
    from interlock.app.finding import Finding

    return Finding("ssh", False, said, "try it by hand: ssh must get in without asking anything")


def _show(call: Call, address: str, found: list[Finding]) -> None:
    call.say(address)
    for one in found:
        icon = {True: "✔", False: "✖", None: "·"}[one.well]
        call.say(f"  {icon} {one.name:<10} {one.text}")
        if one.advice and not one.well:
            call.say(f"    {'':<10} {one.advice}")
