"""What stands in somebody's iCalendar feed, and what when it cannot be had?

A feed is asked for once a minute at most. One that cannot be had or read is replaced by the last good copy for ten
minutes; then it is not known what it has. Reading is optional: ``pip install 'interlock[calendar]'``.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from interlock.adapters.child import ChildError, answer
from interlock.adapters.web import WebError, ask, shown

FRESH = timedelta(seconds=60)
AGAIN = timedelta(seconds=10)
"""How long after one that failed it is asked for again."""

COPY_LASTS = timedelta(minutes=10)
LARGEST = 2 * 1024 * 1024
AHEAD = timedelta(days=61)
READ_AGAIN = timedelta(hours=1)
"""How long what was worked out of the same content is used: after that the span is another one."""

_SCHEMES = ("https://", "http://", "webcal://")

MISSING = "calendars and holidays cannot be read: pip install 'interlock[calendar]'"

Events = tuple[dict[str, Any], ...]


class FeedError(Exception):
    """It is not known what the feed has; the message says which one and why."""


@dataclass(frozen=True, slots=True)
class Copy:
    """What a feed had; `note` says so when it could not be had since."""

    events: Events
    note: str = ""


@dataclass(slots=True)
class _Shelf:
    """What is kept of one feed. `had` and `tried` are on the monotonic clock."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    digest: bytes = b""
    events: Events = ()
    read_at: datetime | None = None
    had: float | None = None
    had_at: datetime | None = None
    tried: float = 0.0
    trouble: str = ""


class Feed:
    """All feeds that are asked for here, each kept once. `secret` returns an address that is one by its fingerprint."""

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, secret: Callable[[str], str] = lambda _: ""
    ) -> None:
        self._monotonic, self._secret = monotonic, secret
        self._shelves: dict[tuple[str, str], _Shelf] = {}

    async def events(self, address: str, zone: str, at: datetime, within: timedelta, *, secret: str = "") -> Copy:
        """Return the events that touch the two months from this moment on; raise FeedError.

        `zone` is whose days the whole-day events are, `secret` what holds the address where that is no `address`.
        """
        shelf = self._shelves.setdefault((secret or address, zone), _Shelf())
        async with shelf.lock:
            now = self._monotonic()
            if not _recent(shelf, now):
                await self._renew(shelf, lambda: self._address(secret) if secret else address, zone, at, within)
            return self._copy(shelf, "whose address is a secret" if secret else named(address))

    def _address(self, secret: str) -> str:
        try:
            found = self._secret(secret)
        except OSError as error:
            raise FeedError(f"its address cannot be read: {error.strerror}") from error
        if not found.startswith(_SCHEMES):
            raise FeedError("its address is none: expected one that begins with https://")
        return found

    async def _renew(
        self, shelf: _Shelf, address: Callable[[], str], zone: str, at: datetime, within: timedelta
    ) -> None:
        try:
            async with asyncio.timeout(within.total_seconds()):
                content = await _content(address(), within)
                await _read(shelf, content, zone, at, within)
        except TimeoutError:
            shelf.trouble = f"no answer within {within.total_seconds():g} s"
        except (FeedError, ChildError) as error:
            shelf.trouble = str(error)
        else:
            shelf.trouble, shelf.had, shelf.had_at = "", self._monotonic(), at
        shelf.tried = self._monotonic()

    def _copy(self, shelf: _Shelf, called: str) -> Copy:
        if not shelf.trouble:
            return Copy(shelf.events)
        said = f"the calendar {called}: {shelf.trouble}"
        if shelf.had is None or shelf.had_at is None:
            raise FeedError(said)
        if self._monotonic() - shelf.had > COPY_LASTS.total_seconds():
            minutes = COPY_LASTS.total_seconds() / 60
            raise FeedError(f"{said}; the last copy, of {_clock(shelf.had_at)}, is older than {minutes:g} min")
        return Copy(shelf.events, f"by a copy of {_clock(shelf.had_at)}, as {said}")


def installed() -> bool:
    """Say whether calendars and holidays can be read here."""
    return all(find_spec(name) is not None for name in ("icalendar", "recurring_ical_events", "holidays"))


def named(address: str) -> str:
    """Return a feed's address as it may be written down: what is in the middle of private ones is their password."""
    if "://" not in address:
        return address
    parts = urlsplit(shown(address))
    *middle, last = parts.path.split("/")
    return f"{parts.scheme}://{parts.netloc}/{'…/' if any(middle) else ''}{last}"


def _recent(shelf: _Shelf, now: float) -> bool:
    """Whether it need not be asked for again."""
    if shelf.trouble:
        return now - shelf.tried < AGAIN.total_seconds()
    return shelf.had is not None and now - shelf.had < FRESH.total_seconds()


async def _content(address: str, within: timedelta) -> bytes:
    if "://" not in address:
        return await asyncio.to_thread(_file, Path(address))
    try:
        url = f"https://{address.removeprefix('webcal://')}" if address.startswith("webcal://") else address
        got = await ask("GET", url, headers={"Accept": "text/calendar"}, timeout=within, largest=LARGEST)
        return got.good().body
    except WebError as error:
        raise FeedError(str(error).replace(shown(url), "its server")) from None


def _file(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise FeedError(f"cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise FeedError(f"is larger than {LARGEST} bytes")
    return content


async def _read(shelf: _Shelf, content: bytes, zone: str, at: datetime, within: timedelta) -> None:
    """Work out the events, unless the same content was worked out not long ago."""
    digest = hashlib.sha256(content).digest()
    read_at = shelf.read_at
    if digest == shelf.digest and read_at is not None and read_at <= at < read_at + READ_AGAIN:
        return
    if not installed():
        raise FeedError(MISSING)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FeedError("is no iCalendar feed: it is not UTF-8") from error
    task = {"text": text, "zone": zone, "since": at.isoformat(), "until": (at + AHEAD).isoformat()}
    found = await answer("ical", task, within)
    events = tuple(_moments(one) for one in found)
    shelf.digest, shelf.events, shelf.read_at = digest, events, at


def _moments(one: dict[str, Any]) -> dict[str, Any]:
    return {**one, "start": datetime.fromisoformat(one["start"]), "end": datetime.fromisoformat(one["end"])}


def _clock(at: datetime) -> str:
    return f"{at.astimezone(UTC):%H:%M:%S} UTC"
