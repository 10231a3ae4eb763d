"""How are files put beside those of others, so that nothing that somebody wrote is lost?

A text that we write bears a mark, a digest of itself, as its last line. One whose mark still fits was changed by nobody
and is brought up to date; any other stays as it is, unless it is to give way: then it is kept beside, as NAME.orig.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

BEGIN, END = "<!-- interlock: begin -->", "<!-- interlock: end -->"
_MARK = re.compile(r"\n(?:<!-- |# )written by interlock, sha256 ([0-9a-f]{16})(?: -->)?\n\Z")


class PlacingError(Exception):
    """Nothing was written; the message says which file is in the way, and what to do."""


class Fate(Enum):
    """What becomes of a file."""

    WRITTEN = "wrote"
    SAME = "is as it should be"
    UPDATED = "brought up to date"
    MERGED = "added to"
    REPLACED = "replaced"
    KEPT = "kept as it is"


class Merge(Protocol):
    """What a text that is there becomes; None when it says otherwise already, unless ours is to hold."""

    def __call__(self, there: str, force: bool) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Piece:
    """One file; with `merge` it may be somebody else's too, and without it is ours as a whole."""

    path: str
    text: str
    merge: Merge | None = None
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Placed:
    """What becomes of one file, the text that it gets, and the one that was there."""

    piece: Piece
    fate: Fate
    text: str = ""
    there: str = ""

    def difference(self) -> list[str]:
        """Return the lines in which the file that is there differs from ours."""
        ours = f"{self.piece.path} by interlock"
        lines = difflib.unified_diff(
            self.there.splitlines(), self.text.splitlines(), self.piece.path, ours, lineterm=""
        )
        return list(lines)


def decide(root: Path, pieces: Sequence[Piece], *, force: bool = False) -> list[Placed]:
    """Say what becomes of each file. Changes nothing; raises PlacingError for what cannot be read."""
    return [_decide(root / piece.path, piece, force) for piece in pieces]


def put(root: Path, placed: Sequence[Placed]) -> None:
    """Write what was decided, each file as a whole or not at all."""
    for one in placed:
        if one.fate in (Fate.SAME, Fate.KEPT):
            continue
        path = (root / one.piece.path).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        if one.fate is Fate.REPLACED:
            _beside(path)
        _write(path, one.text, one.piece.executable)


def marked(text: str, sign: str = "") -> str:
    """Return a text with its mark."""
    text = text.rstrip("\n") + "\n"
    said = f"written by interlock, sha256 {_digest(text)}"
    return f"{text}\n{sign}{said}\n" if sign else f"{text}\n<!-- {said} -->\n"


def untouched(text: str) -> bool:
    """Whether a text bears our mark, and is what it was when it got it."""
    mark = _MARK.search(text)
    return mark is not None and mark[1] == _digest(text[: mark.start()])


def section(ours: str) -> Merge:
    """Return what puts our section into a text, in the place of the one that is there if nobody has changed that."""
    new = f"{BEGIN}\n{marked(ours)}{END}\n"

    def merge(there: str, force: bool) -> str | None:
        before, begin, rest = there.partition(f"{BEGIN}\n")
        if not begin:
            return f"{there.rstrip()}\n\n{new}".lstrip("\n")
        old, end, after = rest.partition(f"{END}\n")
        if not end:
            raise PlacingError(f"expected {END} behind {BEGIN}, found none")
        return before + new + after if force or untouched(old) else None

    return merge


def server_entry(name: str, entry: Mapping[str, Any]) -> Merge:
    """Return what adds a server to a .mcp.json, and leaves all others."""

    def merge(there: str, force: bool) -> str | None:
        document = _object(there)
        servers = document.setdefault("mcpServers", {})
        if not isinstance(servers, dict):
            raise PlacingError("expected an object under mcpServers, found something else")
        if name in servers and _sense(servers[name]) == _sense(entry):
            return there
        if name in servers and not force:
            return None
        servers[name] = dict(entry)
        return _like(there, document)

    return merge


def versioned(ours: str) -> Merge:
    """Return what brings a document up to date that is ours but for its version."""

    def merge(there: str, force: bool) -> str | None:
        version = {"version": json.loads(ours)["version"]}
        return ours if force or {**_object(there), **version} == json.loads(ours) else None

    return merge


def _decide(path: Path, piece: Piece, force: bool) -> Placed:
    try:
        there = path.read_bytes().decode()  # line ends as they are
    except (FileNotFoundError, NotADirectoryError):
        return _absent(path, piece)
    except (OSError, UnicodeDecodeError) as error:
        raise PlacingError(f"{path}: expected a text file, or none: {error}. Nothing was written") from None
    if there == piece.text:
        return Placed(piece, Fate.SAME)
    if piece.merge is not None:
        return _merged(path, piece, there, force)
    if untouched(there):
        return Placed(piece, Fate.UPDATED, piece.text, there)
    return Placed(piece, Fate.REPLACED if force else Fate.KEPT, piece.text, there)


def _absent(path: Path, piece: Piece) -> Placed:
    for parent in path.parents:
        if parent.exists():
            if not parent.is_dir():
                raise PlacingError(f"{parent}: expected a directory, found a file. Nothing was written")
            break
    return Placed(piece, Fate.WRITTEN, piece.text)


def _merged(path: Path, piece: Piece, there: str, force: bool) -> Placed:
    assert piece.merge is not None
    try:
        text, forced = piece.merge(there, False), piece.merge(there, True)
    except PlacingError as error:
        raise PlacingError(f"{path}: {error}. Nothing was written: correct the file, or move it away") from None
    if text == there:
        return Placed(piece, Fate.SAME)
    if text is not None:
        return Placed(piece, Fate.UPDATED if text == piece.text else Fate.MERGED, text, there)
    return Placed(piece, Fate.REPLACED if force else Fate.KEPT, forced or "", there)


def _object(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise PlacingError(f"expected JSON: {error}") from None
    if not isinstance(document, dict):
        raise PlacingError("expected an object, found something else")
    return document


def _like(there: str, document: Mapping[str, Any]) -> str:
    """Return JSON indented as the file was."""
    indent = re.search(r"^([ \t]+)\S", there, re.MULTILINE)
    return json.dumps(document, indent=indent[1] if indent else 2, ensure_ascii=False) + "\n"


def _sense(entry: Any) -> Any:
    """Return an entry without what goes without saying."""
    return {k: v for k, v in entry.items() if (k, v) != ("type", "stdio")} if isinstance(entry, dict) else entry


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _beside(path: Path) -> None:
    """Keep the file that is there under a name that is free."""
    names = (f"{path.name}.orig{number or ''}" for number in range(1000))
    free = next(name for name in names if not (path.parent / name).exists())
    (path.parent / free).write_bytes(path.read_bytes())


def _write(path: Path, text: str, executable: bool) -> None:
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o755 if executable else 0o644
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        file.write(text.encode())
    new = Path(file.name)
    try:
        new.chmod(mode)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink()
        raise
