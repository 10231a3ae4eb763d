"""How does a person let a run go on, and prove that it was them?"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.orders import watched
from interlock.surfaces.cli.parser import duration, output

if TYPE_CHECKING:
    from interlock.app.view import View
    from interlock.core.rollout import Rollout


class SigningError(Exception):
    """Nothing was signed; the message says why."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    parser.add_argument("-m", "--reason", default="", metavar="TEXT", help="a comment, for the record")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--sign", metavar="KEY", help="sign with this SSH key (its public half, where an agent has it)")
    how.add_argument("--text", action="store_true", help="only write what is to be signed, for another machine")
    how.add_argument("--signed", metavar="FILE", help="give what was signed there: FILE, and the signature FILE.sig")
    parser.add_argument("--for", dest="holds", type=duration, metavar="1h", help="how long the approval holds")
    parser.add_argument("-w", "--watch", action="store_true", help="then follow the run to its end")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.core.events import OrderKind

    view = await call.app.view(call.options.run)
    if call.options.text:
        call.say(_text(call, view).rstrip("\n"))
        return Exit.OK
    signed = await _signed(call, view)
    call.goes_on = f"interrupted while approve was given: see `interlock get {view.run}` whether it was heard"
    after = await call.app.order(view.run, OrderKind.APPROVE, call.options.reason, seen=view.current, signed=signed)
    call.say(f"{after.id}: {_said(after)}")
    if call.json:
        from interlock.surfaces.cli.show import document

        call.document({"type": "order", "order": "approve", **document.rollout(after)}, line=call.options.watch)
    return await watched(call, view)


def _text(call: Call, view: View) -> str:
    from interlock.adapters.clock import SystemClock
    from interlock.core.approval import Word

    policy = view.current.stage.conditions.approvals
    holds = call.options.holds or (policy.valid_for if policy else timedelta(hours=4))
    return Word.of(view.current, SystemClock().now() + holds).text()


async def _signed(call: Call, view: View) -> tuple[str, str]:
    """Return (text, signature); both empty where nobody signs."""
    if call.options.signed:
        path = Path(call.options.signed)
        return path.read_text(), path.with_name(f"{path.name}.sig").read_text()
    if not call.options.sign:
        return "", ""
    text = _text(call, view)
    call.warn(f"You sign:\n{text}")
    return text, await _sign(text, Path(call.options.sign).expanduser())


async def _sign(text: str, key: Path) -> str:
    """Have ssh-keygen sign; it asks for a passphrase, or for a touch, on the terminal itself."""
    from interlock.core.approval import NAMESPACE

    with tempfile.TemporaryDirectory(prefix="interlock-") as directory:
        file = Path(directory) / "approval"
        file.write_text(text)
        try:
            process = await asyncio.create_subprocess_exec(
                "ssh-keygen", "-q", "-Y", "sign", "-f", str(key), "-n", NAMESPACE, str(file)
            )
        except FileNotFoundError:
            raise SigningError("ssh-keygen is not there (Debian, Ubuntu: apt install openssh-client)") from None
        if await process.wait() != 0:
            raise SigningError(f"ssh-keygen did not sign with {key}: see what it said above")
        return file.with_name("approval.sig").read_text()


def _said(after: Rollout) -> str:
    from interlock.core.approval import holding

    last = after.approvals[-1]
    policy = after.stage.conditions.approvals
    how = "proven by a signature" if last.proven else "a local user's name is claimed, not proven"
    step = "" if after.next_step is None else f". Now step {after.index + 1}/{len(after.way)} {after.next_step}"
    if policy and last.index == after.index:
        given = len(holding(after.approvals, after.index, last.at))
        return f"approved by {last.by} ({how}): {given} of {policy.needed}, the rest is waited for"
    return f"approved by {last.by} ({how}){step}"
