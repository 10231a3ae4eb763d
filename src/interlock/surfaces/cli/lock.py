"""How is a service kept from being deployed for a while, and let go again?"""

from __future__ import annotations

import argparse

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    if parser.prog.endswith("unlock"):
        output(parser)
        return
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="why, for whoever is refused")
    parser.add_argument("--for", dest="within", type=duration, metavar="2h", help="until then; default: until unlocked")
    output(parser)


async def run(call: Call) -> Exit:
    service = await _service(call)
    return await (_unlock(call, service) if call.options.command == "unlock" else _lock(call, service))


async def _lock(call: Call, service: str) -> Exit:
    from interlock.core.record import plain

    call.goes_on = "interrupted while the lock was set: see `interlock status` whether it is"
    lock = await call.app.lock(service, call.options.reason.strip(), call.options.within)
    call.say(f"{service} is {lock}")
    call.say("No deploy starts; what is under way goes on, and going back works. End it with: interlock unlock")
    if call.json:
        call.document({"type": "locked", **{k: v for k, v in plain(lock).items() if k != "kind"}})
    return Exit.OK


async def _unlock(call: Call, service: str) -> Exit:
    call.goes_on = "interrupted while the lock was taken away: see `interlock status` whether it is"
    lock = await call.app.unlock(service)
    call.say(f"{service} was not locked" if lock is None else f"{service} is unlocked; it was {lock}")
    if call.json:
        call.document({"type": "unlocked", "service": service, "was_locked": lock is not None})
    return Exit.OK


async def _service(call: Call) -> str:
    """Return whose lock is meant: the file's service, or with a named state directory that of its newest rollout."""
    from interlock.ports.store import StoreError

    try:
        newest = await call.app.history(1)
    except StoreError:
        newest = ()  # nothing has been deployed yet: that may be locked, too
    return newest[0].stage.revision.release.service if newest else call.file.service
