"""How may we tell people, wherever they are?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol


class Undelivered(Exception):
    """Nobody took it now; it is to be tried again. The message says who did not and why, and holds no secret."""


class Unwanted(Exception):
    """The receiver will never take this one, whatever we do: it is not to be tried again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One message, without any secret. The same `key` is the same message, however often it is sent.

    `thread` names the conversation that it belongs to, which `first` begins; `subject` is what that is called. `event`
    is the same as a CloudEvent, for programs.
    """

    key: str
    thread: str
    first: bool
    at: datetime
    subject: str
    title: str
    text: str
    event: Mapping[str, Any]


class Outlet(Protocol):
    """One way to people."""

    async def send(self, letter: Letter) -> None:
        """Return once the receiver has taken the message; raise Undelivered or Unwanted. May be cancelled."""
