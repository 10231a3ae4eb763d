"""What is said when a command cannot do what it was asked?"""

from __future__ import annotations

import tempfile
import traceback

from interlock.surfaces.cli.exits import Exit

# Said by a gate, an interlock, or the world having moved on: not wrong, only not now.
_BLOCKED = frozenset({"Blocked", "NothingYet", "Busy", "Stale"})


def told(error: Exception) -> tuple[str, Exit]:
    """Return the paragraph for an error, and the exit status.

    Every exception that this program defines carries a sentence for people; what comes from elsewhere is either the
    system's refusal or a bug.
    """
    if type(error).__module__.split(".")[0] == "interlock":
        return f"error: {error}", Exit.BLOCKED if type(error).__name__ in _BLOCKED else Exit.ERROR
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"error: {where}{error.strerror}", Exit.ERROR
    return _bug(error), Exit.ERROR


def _bug(error: Exception) -> str:
    what = f"error: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}".rstrip(": ")
    try:
        with tempfile.NamedTemporaryFile("w", prefix="interlock-bug-", suffix=".txt", delete=False) as file:
            file.write("".join(traceback.format_exception(error)))
    except OSError:
        return f"{what}. This is a bug in Interlock, and its traceback could not be written anywhere"
    return f"{what}. This is a bug in Interlock; its traceback is in {file.name}: please report it with that file"
