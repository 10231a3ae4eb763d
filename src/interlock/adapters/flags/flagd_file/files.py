"""How is a file of flags changed, so that whoever reads it at any moment finds it whole, and no change is lost?

The new file is written beside the old one and takes its place at once. Whoever writes holds a lock on the directory,
which leaves nothing behind; people's editors do not, so the file must still be the one that was read.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from interlock.adapters.flags.flagd_file.rule import DISABLED, ENABLED, malformed, moved, read, state
from interlock.adapters.flags.flagd_file.text import adjusted, find, load, same
from interlock.core.flag import Flag, FlagFile, FlagSource, FlagState
from interlock.ports.flags import FlagsError, Gone, Unmovable

T = TypeVar("T")
Entry = Mapping[str, Any]

PATIENCE = timedelta(seconds=5)
NOTICED = timedelta(seconds=1)
"""How long a reader may take, beyond its interval, to read the file."""

_LOCKED_WITHIN = 2.0
_TICK = 1_000_000  # nanoseconds


class FlagFiles:
    """Reads and writes files of flags; `patience` is how long a file system may take."""

    def __init__(self, patience: timedelta = PATIENCE) -> None:
        self._patience = patience

    async def look(self, flag: Flag) -> FlagState:
        """Return how the flag is defined."""
        return state(await self._aside(lambda: _entry(_text(_place(flag)), flag)))

    async def check(self, flag: Flag) -> FlagState:
        """Return how it is defined, once it is known that we may and can change it; nothing is written."""
        text = await self._aside(lambda: _text(_place(flag)))
        entry, beside = _entry(text, flag), _beside(text, flag)
        if beside:
            raise Unmovable(f"{_what(flag)} cannot be moved: {beside}")
        obstacle = read(entry).obstacle
        if obstacle:
            raise Unmovable(f"{_what(flag)} cannot be moved safely: {obstacle}")
        if not os.access(_place(flag).parent, os.W_OK | os.X_OK):
            raise Unmovable(f"{_what(flag)} cannot be moved: {_place(flag).parent} is not ours to write in")
        return state(entry)

    async def turn_off(self, flag: Flag) -> FlagState:
        """Disable it, so that applications take the default in their code."""
        return await self._change(flag, lambda entry: {**entry, "state": DISABLED})

    async def turn_on(self, flag: Flag, percentage: int | None) -> FlagState:
        """Enable it and set the share, by one write."""
        if percentage is None:
            return await self._change(flag, lambda entry: {**entry, "state": ENABLED})
        share = percentage
        if not 1 <= share <= 100:
            raise ValueError(f"{_what(flag)}: expected 1 to 100 %, found {share}")

        def expose(entry: Entry) -> Entry:
            obstacle = read(entry).obstacle
            if obstacle:
                raise Unmovable(f"{_what(flag)} cannot be moved safely: {obstacle}")
            return moved(entry, share)

        return await self._change(flag, expose)

    async def restore(self, flag: Flag, state: FlagState, *, off: bool = False) -> FlagState:
        """Put back the definition, by one write."""
        try:
            then = json.loads(state.native)
        except ValueError as error:
            raise Unmovable(f"{_what(flag)}: what was written down of it is no JSON; put it back by hand") from error
        return await self._change(flag, lambda entry: {**then, "state": DISABLED} if off else then)

    async def taken(self, flag: Flag, state: FlagState) -> str:
        """Wait until every client must have read the file again, and see that the flag still stands."""
        waited = flag.source.refresh + NOTICED
        await asyncio.sleep(waited.total_seconds())
        found = await self.look(flag)
        if found.native != state.native:
            raise FlagsError(f"{_what(flag)} stands otherwise ({found}) than it was put ({state}): somebody changed it")
        refresh = flag.source.refresh.total_seconds()
        return (
            f"clients read the file every {refresh:g} s; {waited.total_seconds():g} s after the change it still stood"
        )

    async def every(self, source: FlagSource) -> tuple[tuple[str, FlagState], ...]:
        """Return all flags of the file, by name."""
        assert isinstance(source, FlagFile), source
        place = Path(source.path)
        flags = _flags(load_file(await self._aside(lambda: _text(place)), place), place)
        return tuple((name, state(_sound(flags[name], Flag(name, source)))) for name in sorted(flags))

    async def _change(self, flag: Flag, change: Callable[[Entry], Entry]) -> FlagState:
        return state(await self._aside(lambda: _changed(flag, change)))

    async def _aside(self, work: Callable[[], T]) -> T:
        """Work beside the event loop, which a slow disk must not hold up; what has begun is not undone by giving up."""
        try:
            return await asyncio.wait_for(asyncio.to_thread(work), self._patience.total_seconds())
        except TimeoutError as error:
            raise FlagsError(f"the file system gave no answer within {self._patience.total_seconds():g} s") from error


def load_file(text: str, place: Path) -> Any:
    """Read a file's text as JSON; raise FlagsError that says where it is none."""
    try:
        return load(text)
    except ValueError as error:
        raise FlagsError(f"{place} is no file of flags: expected JSON in flagd's format; {error}") from error


def _changed(flag: Flag, change: Callable[[Entry], Entry]) -> Entry:
    place = Path(os.path.realpath(_place(flag)))
    with _locked(place):
        stamp = _stamp(place)
        text = _text(place)
        entry = _entry(text, flag)
        wanted = change(entry)
        if not same(entry, wanted):
            start, end = find(text, "flags", flag.name)
            _replace(place, text[:start] + adjusted(text[start:end], wanted) + text[end:], stamp)
            text = _text(place)
            entry = _entry(text, flag)
    if not same(entry, wanted):
        raise FlagsError(f"{_what(flag)} was written and stands otherwise: somebody else changes it")
    if beside := _beside(text, flag):
        raise FlagsError(f"{_what(flag)} was written, but {beside}")
    return entry


def _beside(text: str, flag: Flag) -> str:
    """Say which other flag is defined as no client takes it: they refuse a file as a whole."""
    place = _place(flag)
    for name, entry in _flags(load_file(text, place), place).items():
        if name != flag.name and (wrong := malformed(entry)):
            return f"clients take nothing of the file while flag {name} is defined as it is: {wrong}"
    return ""


def _replace(place: Path, text: str, stamp: tuple[int, ...]) -> None:
    """Put a file in the place of the one that was read, with its mode and owner and a later time of change."""
    before = place.stat()
    beside = place.with_name(f".{place.name}.interlock")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fchmod(descriptor, before.st_mode & 0o7777)
            with suppress(PermissionError):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            # Readers look for a later time, and clocks go back now and then.
            later = max(time.time_ns(), before.st_mtime_ns + _TICK)
            os.utime(descriptor, ns=(later, later))
            os.fsync(descriptor)
        if _stamp(place) != stamp:
            raise FlagsError(f"{place} was not changed: somebody else changed it at this moment")
        beside.replace(place)
        _sync(place.parent)
    except OSError as error:
        raise FlagsError(f"{place} cannot be written: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Keep out every other writer that locks the directory, too."""
    deadline = time.monotonic() + _LOCKED_WITHIN
    with _directory(place.parent) as descriptor:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise FlagsError(
                        f"{place} cannot be written: another program has had {place.parent} locked for "
                        f"{_LOCKED_WITHIN:g} s"
                    ) from error
                time.sleep(0.02)
        yield


@contextmanager
def _directory(place: Path) -> Iterator[int]:
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise FlagsError(f"{place} cannot be opened: {error.strerror}") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _sync(place: Path) -> None:
    with _directory(place) as descriptor:
        os.fsync(descriptor)


def _stamp(place: Path) -> tuple[int, ...]:
    try:
        found = place.stat()
    except OSError as error:
        raise FlagsError(f"{place} cannot be read: {error.strerror}") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _text(place: Path) -> str:
    try:
        return place.read_bytes().decode()
    except OSError as error:
        raise FlagsError(f"{place} cannot be read: {error.strerror}; expected a file of flags there") from error
    except UnicodeDecodeError as error:
        raise FlagsError(f"{place} is no file of flags: expected UTF-8, found byte {error.start} to be none") from error


def _entry(text: str, flag: Flag) -> Entry:
    place = _place(flag)
    flags = _flags(load_file(text, place), place)
    if flag.name not in flags:
        raise Gone(f"{place} has no flag {flag}: add it, or correct the name")
    return _sound(flags[flag.name], flag)


def _flags(content: Any, place: Path) -> Mapping[str, Any]:
    flags = content.get("flags") if isinstance(content, dict) else None
    if not isinstance(flags, dict):
        raise FlagsError(f'{place} is no file of flags: expected {{"flags": {{"NAME": {{…}}}}}}')
    return flags


def _sound(entry: Any, flag: Flag) -> Entry:
    wrong = malformed(entry)
    if wrong:
        raise Unmovable(f"{_what(flag)} is not defined as flagd has it: {wrong}")
    sound: Entry = entry
    return sound


def _place(flag: Flag) -> Path:
    assert isinstance(flag.source, FlagFile), flag.source
    return Path(flag.source.path)


def _what(flag: Flag) -> str:
    return f"flag {flag} in {_place(flag)}"
