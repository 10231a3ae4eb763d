"""What does Interlock do on a machine for a command that was typed on another? Not for people: see `away`, `setup`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence


def main(words: Sequence[str]) -> int:
    """Do one thing for another machine; what goes wrong is one line on standard error."""
    from interlock.surfaces.cli.errors import told

    try:
        match words:
            case ["receive"]:
                from interlock.app.parcel import receive

                print(receive(sys.stdin.buffer))
            case ["run", token]:
                return _run(token)
            case ["member", name]:
                from interlock.app.hand import member

                print(json.dumps(member(name)))
            case ["artefact", name]:
                from interlock.app.hand import place
                from interlock.app.parcel import untar

                untar(sys.stdin.buffer, place(name).artefacts)
            case ["down", name]:
                return _down(name)
            case ["free", name]:
                from interlock.app.hand import freed

                print(freed(name))
            case ["led", name]:
                from interlock.app.hand import leading

                print(leading(name))
            case ["version"]:
                from interlock.app.parcel import ours

                print(ours())
            case _:
                print("error: this is what other machines ask; people ask: interlock --help", file=sys.stderr)
                return 2
    except Exception as error:
        text, status = told(error)
        print(text, file=sys.stderr)
        return status
    return 0


def _down(name: str) -> int:
    """Stop all that a project runs here."""
    import asyncio

    from interlock.app.hand import place
    from interlock.app.verbs import App

    print("; ".join(asyncio.run(App(place(name)).down())))
    return 0


def _run(token: str) -> int:
    """Carry out the command of a parcel in the project that came with it."""
    from interlock.app.parcel import BY, HOME, SENT, lay_out, take
    from interlock.app.road import be_home
    from interlock.app.state import StateDirectory
    from interlock.surfaces.cli import main as interlock

    parcel = take(token)
    os.chdir(lay_out(parcel))
    os.environ.update({**parcel.environment, HOME: parcel.home, BY: parcel.by, SENT: parcel.sent})
    state = StateDirectory.of(parcel.service)
    state.make()
    be_home(state, parcel.home)
    return interlock(parcel.argv)
