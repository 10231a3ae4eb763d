"""Which releases failed a verdict, and how does one get another chance?"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import output

if TYPE_CHECKING:
    from interlock.ports.store import Quarantined


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    verbs = parser.add_subparsers(dest="verb", metavar="list|release", required=True)
    output(verbs.add_parser("list", help="show what failed", description="Show the releases in quarantine."))
    release = verbs.add_parser("release", help="give one another chance", description="Let a release out, on record.")
    release.add_argument("identity", metavar="IDENTITY", help="as `interlock quarantine list` names it")
    release.add_argument("-m", "--reason", required=True, metavar="TEXT", help="why, for the record")
    output(release)


async def run(call: Call) -> Exit:
    service = await _service(call)
    held = await call.app.quarantine(service)
    return await _release(call, service, held) if call.options.verb == "release" else _list(call, held)


def _list(call: Call, held: tuple[Quarantined, ...]) -> Exit:
    from interlock.core.record import plain
    from interlock.surfaces.cli.show.table import quarantine

    if call.json:
        call.document({"type": "quarantine", "releases": [plain(one) for one in held]})
    elif held:
        for line in quarantine(held):
            call.console.print(line)
    else:
        call.say("no release is in quarantine")
    return Exit.OK


async def _release(call: Call, service: str, held: tuple[Quarantined, ...]) -> Exit:
    identity, reason = call.options.identity, call.options.reason.strip()
    if not reason:
        call.options.usage("expected a reason: it is what the next person reads")
    if identity not in [one.identity for one in held]:
        known = ", ".join(f"{one.identity} ({one.version})" for one in held) or "none"
        call.warn(f"error: {identity} is not in quarantine; in quarantine: {known}")
        return Exit.ERROR
    await call.app.release(service, identity, reason)
    call.say(f"{identity} may be deployed again: {reason}")
    if call.json:
        call.document({"type": "released", "identity": identity, "reason": reason})
    return Exit.OK


async def _service(call: Call) -> str:
    """Return whose quarantine is meant: the project's, or with a named state directory that of its newest rollout."""
    newest = await call.app.history(1)
    if newest:
        return newest[0].stage.revision.release.service
    return call.file.service
