"""What does the command `interlock` do? Reads the command line, calls one verb, and says how it went."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.home import home_of
from interlock.surfaces.cli.parser import module_of, parse


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit status. What goes wrong is one paragraph on standard error."""
    gc.set_threshold(50_000)  # what is imported and read to look is no garbage: to search it again and again took 8 ms
    atexit.register(gc.freeze)  # nor is it when the process ends: to search all of it once more took 20 ms
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal without ✔ shows ?, and is not a reason to fail
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["remote"]:  # asked by another machine, not by people
        from interlock.surfaces.cli.remote import main as remote

        return remote(words[1:])
    call = Call(parse(words), words)
    try:
        return _run(call)
    except KeyboardInterrupt:
        call.warn(f"\n{call.goes_on}")
        return Exit.INTERRUPTED
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.ERROR
    except Exception as error:
        from interlock.surfaces.cli.errors import told

        text, status = told(error)
        call.warn(text)
        return status


def _run(call: Call) -> int:
    if call.options.which:
        from importlib.metadata import version

        call.say(f"interlock {version('interlock')}")
        return Exit.OK
    done: int | Coroutine[Any, Any, int]
    if home := home_of(call):
        from interlock.surfaces.cli.away import go

        done = go(call, home, [*call.words])
    else:
        done = module_of(call.options.command).run(call)
    if isinstance(done, int):
        return done
    import asyncio

    return asyncio.run(done)
