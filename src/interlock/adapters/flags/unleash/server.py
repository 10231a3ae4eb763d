"""How is one question put to Unleash's Admin API, and what does its answer mean?

Every question has a time-out: with its database down the server says that it is well, and answers nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from interlock.adapters.web import Answer, Kept, WebError, shown
from interlock.core.flag import Unleash
from interlock.ports.flags import FlagsError, Unmovable

_LONGEST = 200
_LISTING = 32 * 1024 * 1024


class Server:
    """Asks Unleash servers. `secret` returns a token by its fingerprint; `patience` is how long one answer may take."""

    def __init__(self, secret: Callable[[str], str], patience: timedelta) -> None:
        self._secret = secret
        self._patience = patience
        self._web = Kept()

    async def close(self) -> None:
        """Close the connections that are open."""
        await self._web.close()

    async def ask(self, source: Unleash, method: str, path: str, body: Any = None, *, again: bool = True) -> Any:
        """Return what is answered, as JSON; None when nothing is. Raises FlagsError, Unmovable when refused."""
        answer = await self.answer(source, method, path, body, again=again)
        if not 200 <= answer.status < 300:
            raise self.refusal(source, answer)
        return content(answer) if answer.body else None

    def refusal(self, source: Unleash, answer: Answer) -> FlagsError:
        """Return the error that an answer is: Unmovable, unless it is the server that is unwell."""
        return _refusal(answer, self._token(source))

    async def answer(self, source: Unleash, method: str, path: str, body: Any = None, *, again: bool = True) -> Answer:
        """Return the answer, whatever its status. `again`: asked twice at once when the connection breaks."""
        address = f"{_base(source)}/api/admin/{path}"
        headers = {"Content-Type": "application/json"}
        if token := self._token(source):
            headers["Authorization"] = token
        sent = b"" if body is None else json.dumps(body).encode()
        try:
            return await self._web.ask(
                method, address, headers=headers, body=sent, timeout=self._patience, largest=_LISTING, again=again
            )
        except WebError as error:
            raise FlagsError(f"Unleash: {error}") from error

    def _token(self, source: Unleash) -> str:
        if not source.token_secret:
            return ""
        try:
            return self._secret(source.token_secret)
        except OSError as error:
            raise FlagsError(f"the token for Unleash at {_base(source)} cannot be read: {error.strerror}") from error


def said(answer: Answer, token: str = "") -> str:
    """Return what Unleash says of itself in an answer, on one line, without the token should it be in there."""
    found = content(answer)
    text = str(found.get("message", "")) if isinstance(found, dict) else ""
    line = " ".join(text.split())
    return (line.replace(token, "***") if token else line)[:_LONGEST]


def path(*parts: str) -> str:
    """Join parts of a path, each quoted as a whole."""
    return "/".join(quote(part, safe="") for part in parts)


def _base(source: Unleash) -> str:
    """Return the server's address; what clients are given ends in /api."""
    return source.url.rstrip("/").removesuffix("/api")


def content(answer: Answer) -> Any:
    """Return the JSON of an answer; raise FlagsError when it is none."""
    try:
        return answer.json()
    except WebError as error:
        raise FlagsError(f"Unleash: {error}; is that the address of an Unleash server?") from error


def _refusal(answer: Answer, token: str) -> FlagsError:
    where, status = shown(answer.url), answer.status
    if status >= 500 or status == 429:
        return FlagsError(f"Unleash: {where} answered {status}{_because(answer, token)}")
    text = f"Unleash refuses: {where} answered {status}{_because(answer, token)}"
    if status in (401, 403):
        return Unmovable(f"{text}; is the token right, is it one for the Admin API, and may it change flags here?")
    return Unmovable(text)


def _because(answer: Answer, token: str) -> str:
    try:
        text = said(answer, token)
    except FlagsError:
        return ""
    return f": {text}" if text else ""
