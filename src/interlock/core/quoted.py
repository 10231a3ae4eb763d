"""What is left of a text from outside when it can do nothing any more but be read?

Logs, alerts, commit messages, descriptions of flags, answers of hooks and names that programs give themselves are other
people's words. They are shown as data: in one line unless lines are wanted, bounded, and without what moves a cursor,
turns the direction of writing, or cannot be seen and is read all the same.
"""

from __future__ import annotations

import re

BOUND = 500
"""Signs of one text, unless more are asked for."""

MARKS = "⟦", "⟧"
"""What stands around a text from outside where it is shown among our own words; it cannot hold them itself."""

# ECMA-48: control sequences (CSI), strings for devices (OSC, DCS, APC, PM, SOS), and the shorter escapes. A string that
# does not end is none: else its beginning would hide all the rest.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]?"
)
# Signs that are letters or marks by their class, and that nobody sees: fillers, joiners, selectors of a variant.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def tame(text: str, limit: int = BOUND, *, lines: bool = False) -> str:
    """Return the text bounded and without signs that do something; with `lines` its line feeds stay."""
    if not (text.isascii() and text.isprintable()):
        text = _seen(text) if lines else " ".join(_seen(" ".join(text.split())).split())
    if len(text) <= limit:
        return text
    return f"{text[: limit - 1]}…"


def quoted(text: str, limit: int = BOUND) -> str:
    """Return a text from outside between our marks, for a place among our own words; "" stays ""."""
    left, right = MARKS
    inner = tame(text, limit).replace(left, "[").replace(right, "]")
    return f"{left}{inner}{right}" if inner else ""


def _seen(text: str) -> str:
    text = _UNSEEN.sub("", _ESCAPES.sub("", text))
    return "".join(one if one.isprintable() or one == "\n" else _instead(one) for one in text).strip()


def _instead(sign: str) -> str:
    """A blank for what separates, nothing for what only hides."""
    return " " if sign.isspace() or sign in "\x00\x85\u2028\u2029" else ""
