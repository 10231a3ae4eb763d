"""Does a server of the user's agree, by POST?

Status 2xx is yes, every other one no; a JSON answer may say why in ``reason``. The key is the `Idempotency-Key` too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.web import WebError, ask, shown
from interlock.core.gates import Answer
from interlock.core.hooks import Hook, Post, clean

LARGEST_ANSWER = 64 * 1024
_LONGEST = 300
_SECRET_ADDRESS = "the address that is kept as a secret"

# What a server means for good: this is not for it. Everything else may be mended.
_NEVER = frozenset({400, 410, 413, 415, 422})


class Posts:
    """Asks servers. `secret` returns a secret's value by its fingerprint, `hide` takes such values out of a text."""

    def __init__(self, secret: Callable[[str], str], hide: Callable[[str], str]) -> None:
        self._secret, self._hide = secret, hide

    async def ask(self, hook: Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
        by = hook.by
        assert isinstance(by, Post)
        try:
            url = self._secret(by.url_secret) if by.url_secret else by.url
            headers = {"Content-Type": "application/json", "Idempotency-Key": str(facts["key"])}
            if by.token_secret:
                headers["Authorization"] = f"Bearer {self._secret(by.token_secret)}"
        except OSError:
            return Answer(False, "a secret of it is not kept here; plan again where it can be read")
        where = _SECRET_ADDRESS if by.url_secret else shown(url)
        body = json.dumps(facts, ensure_ascii=False).encode()
        try:
            answer = await ask("POST", url, headers=headers, body=body, timeout=within, largest=LARGEST_ANSWER)
        except WebError as error:
            return Answer(False, self._shown(str(error).replace(shown(url), where).replace(url, where)))
        said = self._shown(_reason(answer.body))
        if 200 <= answer.status < 300:
            return Answer(True, said or f"answered {answer.status}")
        told = f"answered {answer.status}" + (f": {said}" if said else "")
        return Answer(False, told, final=answer.status in _NEVER)

    def _shown(self, text: str) -> str:
        return clean(self._hide(text), _LONGEST)


def _reason(body: bytes) -> str:
    """Return what a JSON answer says in `reason`; "" for every other one."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    reason = said.get("reason") if isinstance(said, dict) else None
    return reason if isinstance(reason, str) else ""
