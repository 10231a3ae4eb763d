"""With which exit status is said how a run ended?"""

from __future__ import annotations

from interlock.app.endings import stopped_by_gate
from interlock.app.view import View
from interlock.core.phase import Phase
from interlock.surfaces.cli.exits import Exit


def status(view: View) -> Exit:
    """Return the exit status for how the run stands; OK while it is under way."""
    last = view.current
    if view.not_begun:
        return Exit.BLOCKED
    match last.phase:
        case Phase.FAILED:
            return Exit.UNVERIFIED
        case Phase.ROLLED_BACK | Phase.SUPERSEDED:
            return Exit.BLOCKED if stopped_by_gate(last) else Exit.ROLLED_BACK
        case Phase.SUCCEEDED if last.retracted:  # the code is out, and what it was to bring is not
            return Exit.ROLLED_BACK
    return Exit.OK
