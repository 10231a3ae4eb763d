"""What must a program show that speaks to our HTTP API?"""

from __future__ import annotations

import hmac
import secrets
import stat

from interlock.app.secrets import write_once
from interlock.app.state import StateDirectory


class TokenError(Exception):
    """The token cannot be used; the message says why and what to do, and never what it is."""


def token(state: StateDirectory) -> str:
    """Return this state directory's token, made when there is none yet; raise TokenError when others may read it."""
    state.make()
    path = state.api_token
    try:
        if not path.exists():
            write_once(path, f"{secrets.token_urlsafe(32)}\n".encode())
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise TokenError(f"others may read {path}: make a new token with interlock serve --new-token")
        found = path.read_text().strip()
    except OSError as error:
        raise TokenError(f"{path} cannot be used: {error.strerror}") from error
    if len(found) < 32 or not found.isascii():
        raise TokenError(f"{path} holds no token: make a new one with interlock serve --new-token")
    return found


def renew(state: StateDirectory) -> str:
    """Make another token, after which the old one opens nothing, also where a server runs; return it."""
    state.make()
    state.api_token.unlink(missing_ok=True)
    return token(state)


def shown(state: StateDirectory, given: str) -> bool:
    """Whether what was shown is the token, as it is now."""
    return hmac.compare_digest(given.encode(), token(state).encode())
