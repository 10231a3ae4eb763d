"""With which status does a command end?"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """The exit status, the same for every command; the table in docs/cli.md."""

    OK = 0
    ERROR = 1
    USAGE = 2
    ROLLED_BACK = 3
    BLOCKED = 4
    TIMED_OUT = 5
    UNVERIFIED = 6
    CHANGES = 10
    INTERRUPTED = 130
