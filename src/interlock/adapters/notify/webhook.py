"""How does a program get signed CloudEvents by POST, and know that they are ours?

Headers and signature are those of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), which has
ready verifiers in many languages: HMAC-SHA256 over ``id.timestamp.body``, in base64, behind ``v1,``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from urllib.parse import urlsplit

from interlock.adapters.web import WebError, ask, shown
from interlock.ports.clock import Clock
from interlock.ports.notify import Letter, Undelivered, Unwanted

WITHIN = timedelta(seconds=20)
LARGEST_ANSWER = 64 * 1024
TYPE = "application/cloudevents+json; charset=utf-8"

# What a receiver means for good: this message is not for it. Everything else may be mended (401: by a new token).
_NEVER = frozenset({400, 413, 415, 422})


class WebhookOutlet:
    """One receiver. `url` and `key` are asked for at each message, so that a mended secret counts at once."""

    def __init__(
        self, clock: Clock, url: Callable[[], str], key: Callable[[], bytes | None], *, within: timedelta = WITHIN
    ) -> None:
        self._clock, self._url, self._key, self._within = clock, url, key, within

    async def send(self, letter: Letter) -> None:
        url, key = self._url(), self._key()
        body = json.dumps(letter.event, ensure_ascii=False, separators=(",", ":")).encode()
        at = int(self._clock.now().timestamp())
        headers = {"Content-Type": TYPE, "webhook-id": letter.key, "webhook-timestamp": str(at)}
        if key is not None:
            headers["webhook-signature"] = signature(key, letter.key, at, body)
        try:
            answer = await ask("POST", url, headers=headers, body=body, timeout=self._within, largest=LARGEST_ANSWER)
        except WebError as error:
            raise Undelivered(_without_path(str(error), url)) from None
        if answer.status in _NEVER:
            raise Unwanted(f"{host(url)} answered {answer.status}")
        if not 200 <= answer.status < 300:
            raise Undelivered(f"{host(url)} answered {answer.status}")


def signature(key: bytes, id: str, at: int, body: bytes) -> str:
    """Return the signature of one message, sent at this second."""
    signed = b".".join((id.encode(), str(at).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def key_of(secret: str) -> bytes:
    """Return the key that a secret stands for: ``whsec_`` and base64, or just its characters."""
    if secret.startswith("whsec_"):
        try:
            return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except binascii.Error:
            pass
    return secret.encode()


def host(url: str) -> str:
    """Return what may be said of the address of a receiver: many have a token in their path."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}" + (f":{parts.port}" if parts.port else "")


def _without_path(text: str, url: str) -> str:
    return text.replace(shown(url), host(url)).replace(url, host(url))
