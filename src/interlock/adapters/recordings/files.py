"""Where on this machine is what a rollout's judge saw? One file of JSON lines for each rollout, only ever added to."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from interlock.ports.recordings import RecordingsError

ENDING = ".jsonl"

_FIRST = 4 << 20  # bytes: no first line is longer


class RecordingFiles:
    """The recordings in one directory, which is made with the first of them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def begun(self, rollout: str) -> bool:
        """Say whether the file has a whole line."""
        try:
            with self.path(rollout).open("rb") as file:
                return b"\n" in file.read(_FIRST)
        except OSError:
            return False

    def add(self, rollout: str, lines: tuple[str, ...]) -> None:
        """Append lines in one write, after the last whole one; what was written of them when it fails is taken away."""
        path = self.path(rollout)
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unwritten(path, error) from error
        try:
            _append(file, "".join(f"{line}\n" for line in lines).encode())
        except OSError as error:
            raise _unwritten(path, error) from error
        finally:
            with suppress(OSError):
                os.close(file)

    def read(self, rollout: str) -> str:
        """Return the file's content."""
        try:
            return self.path(rollout).read_bytes().decode("utf-8", errors="replace")
        except OSError as error:
            raise RecordingsError(f"the recording {self.path(rollout)} cannot be read: {error.strerror}") from error

    def names(self) -> tuple[str, ...]:
        """Return what is there, by when it was last added to."""
        return tuple(path.name.removesuffix(ENDING) for path in self._newest_first())

    def prune(self, keep: int) -> None:
        """Remove the files that were not added to for longest."""
        for path in self._newest_first()[keep:]:
            with suppress(OSError):
                path.unlink()

    def path(self, rollout: str) -> Path:
        """Return a rollout's file, which need not exist."""
        return self._directory / f"{Path(rollout).name}{ENDING}"

    def _newest_first(self) -> list[Path]:
        found = []
        with suppress(OSError):
            for path in self._directory.glob(f"*{ENDING}"):
                with suppress(OSError):  # gone meanwhile
                    found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]


def _append(file: int, content: bytes) -> None:
    """Write at the end of the last whole line: one that a crash has torn is no line."""
    whole = _whole(file)
    os.ftruncate(file, whole)
    written = 0
    try:
        while written < len(content):
            written += os.pwrite(file, content[written:], whole + written)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, whole)
        raise


def _whole(file: int) -> int:
    """Return where the last whole line ends."""
    end = os.fstat(file).st_size
    while end:
        begin = max(0, end - (1 << 16))
        at = os.pread(file, end - begin, begin).rfind(b"\n")
        if at >= 0:
            return begin + at + 1
        end = begin
    return 0


def _unwritten(path: Path, error: OSError) -> RecordingsError:
    return RecordingsError(f"{path} cannot be written: {error.strerror}; the rollout goes on without its recording")
