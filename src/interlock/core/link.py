"""How does a link prove to whom it was given, what for, and until when?

Whoever holds it may do that one thing, once, by that person's name. A key that never leaves this machine signs it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime

CHANNEL = "signed link"
"""How what was done by a link is said to have come."""

_VERSION = 1


class LinkError(Exception):
    """The link proves nothing, or nothing any more; the message says why."""


class Expired(LinkError):
    """The link was genuine, and is too old."""


@dataclass(frozen=True, slots=True)
class Link:
    """That `person` may give this `order` to this `rollout`, before it expires."""

    order: str
    rollout: str
    person: str
    expires: datetime

    def token(self, key: bytes) -> str:
        """Return what stands in the link: letters, digits, ``-``, ``_`` and one dot."""
        told = [_VERSION, self.order, self.rollout, self.person, int(self.expires.timestamp())]
        body = _encoded(json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode())
        return f"{body}.{_encoded(_signature(body, key))}"


def read(token: str, key: bytes, now: datetime) -> Link:
    """Return what a token lets its holder do; raise LinkError when it is not ours, was changed, or has expired."""
    body, _, signature = token.strip().partition(".")
    try:
        genuine = hmac.compare_digest(_decoded(signature), _signature(body, key))
    except (binascii.Error, ValueError):
        genuine = False
    if not genuine:
        raise LinkError("this link is not from here, or a part of it is missing: copy it whole")
    version, *told = json.loads(_decoded(body))
    if version != _VERSION:
        raise LinkError("this link was made by another version of Interlock")
    order, rollout, person, seconds = told
    link = Link(order, rollout, person, datetime.fromtimestamp(seconds, UTC))
    if link.expires <= now:
        raise Expired(f"this link held until {link.expires:%Y-%m-%d %H:%M:%S} UTC")
    return link


def once(token: str) -> str:
    """Return the key of the order that a token gives: the same token twice is one order."""
    return f"link-{hashlib.sha256(token.strip().encode()).hexdigest()[:16]}"


def address(base: str, token: str) -> str:
    """Return the whole link, where a server answers under `base`."""
    return f"{base.rstrip('/')}/acknowledge?token={token}"


def _signature(body: str, key: bytes) -> bytes:
    return hmac.new(key, f"interlock link {_VERSION} {body}".encode(), hashlib.sha256).digest()


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.b64decode(f"{text}{'=' * (-len(text) % 4)}", altchars=b"-_", validate=True)
