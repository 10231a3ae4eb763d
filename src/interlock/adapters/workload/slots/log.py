"""What did an instance write last, in a form that may be shown, and how do its logs stay small?"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from interlock.core.secrecy import hidden as without

LIMIT = 10 << 20
"""Bytes of a log before it is set aside; the one set aside before it goes. So a slot takes at most twice that."""

KEPT = 200
"""How many logs stay, those of stopped instances too: why something failed is asked later."""

_SHOWN = 64 << 10
_LINE = 500
_ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[@-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def tail(path: Path, lines: int, hidden: Iterable[str]) -> tuple[str, ...]:
    """Return the log's last lines without control characters and with these values hidden; no log has no lines."""
    text = _end_of(path)
    if text.count("\n") < lines:
        text = _end_of(_aside(path)) + text
    return shown(text, lines, hidden)


def shown(text: str, lines: int, hidden: Iterable[str]) -> tuple[str, ...]:
    """Return a text's last lines without control characters and with these values hidden."""
    clean = [_clean(line) for line in without(text, hidden).split("\n")]
    return tuple([line for line in clean if line][-lines:]) if lines > 0 else ()


def limit(path: Path, size: int = LIMIT) -> None:
    """Set a log that has grown too large aside. What is written between copy and truncation is lost.

    A full disk takes no copy: then the log is emptied all the same, which makes room.
    """
    with suppress(OSError):
        if path.stat().st_size > size:
            with suppress(OSError):
                shutil.copyfile(path, _aside(path))
                _aside(path).chmod(0o600)
            os.truncate(path, 0)  # the process appends (O_APPEND), so its next line is the first


def clear_old(directory: Path, kept: int = KEPT) -> None:
    """Remove the oldest logs beyond `kept`."""
    with suppress(OSError):
        newest_first = sorted(directory.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
        for path in newest_first[kept:]:
            path.unlink(missing_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")


def _end_of(path: Path) -> str:
    try:
        with path.open("rb") as log:
            start = max(0, log.seek(0, os.SEEK_END) - _SHOWN)
            log.seek(start)
            content = log.read(_SHOWN)
    except OSError:
        return ""
    whole_lines = content.partition(b"\n")[2] if start and b"\n" in content else content
    return whole_lines.decode(errors="replace")


def _clean(line: str) -> str:
    shown = _CONTROL.sub("", _ESCAPES.sub("", line)).rstrip()
    return shown if len(shown) <= _LINE else shown[: _LINE - 1] + "…"
