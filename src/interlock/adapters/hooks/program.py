"""Does a command of the user's agree, by its exit status? Its last line says why."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.program import CannotRun, bare, run
from interlock.core.gates import Answer
from interlock.core.hooks import Hook, Program, clean, variables
from interlock.core.steps import spell

_LONGEST = 300


class Programs:
    """Runs commands. `secret` returns a secret's value by its fingerprint, `hide` takes such values out of a text."""

    def __init__(self, secret: Callable[[str], str], hide: Callable[[str], str]) -> None:
        self._secret, self._hide = secret, hide

    async def ask(self, hook: Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
        by = hook.by
        assert isinstance(by, Program)
        try:
            token = {"INTERLOCK_TOKEN": self._secret(by.token_secret)} if by.token_secret else {}
        except OSError:
            return Answer(False, "a secret of it is not kept here; plan again where it can be read")
        environment = {**bare(), **variables(facts), **token}
        given = json.dumps(facts, ensure_ascii=False).encode() + b"\n"
        try:
            ended = await run(by.argv, by.directory or "/", environment, within, given)
        except CannotRun as problem:
            return Answer(False, f"cannot be run: {problem}")
        said = clean(self._hide(ended.said), _LONGEST)
        if ended.status == 0:
            return Answer(True, said or "ended with status 0")
        how = f"did not end within {spell(within)}" if ended.status is None else ended.how
        return Answer(False, f"{how}: {said}" if said else how)
