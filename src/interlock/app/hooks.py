"""Do those agree whom the user wants asked before a version is built?"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from datetime import datetime

from interlock.adapters.clock import SystemClock
from interlock.app.outside import surroundings
from interlock.app.secrets import keep
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked, who
from interlock.config.file import File
from interlock.core.hooks import Consent, Hook, When, due, question
from interlock.core.plan import Plan
from interlock.engine.hooks import answered


async def ask_before_build(state: StateDirectory, file: File, version: str) -> tuple[Consent, ...]:
    """Ask the hooks of every environment of the file, once; return their yes. Raises Blocked with why not."""
    hooks = [(one.name, place, hook) for one in file.environments for place, hook in due(one.hooks, When.BUILD)]
    if not hooks:
        return ()
    state.make()
    sealed = [(name, place, _sealed(state, hook)) for name, place, hook in hooks]
    return await _ask(state, file.service, version, sealed)


async def ask_for(state: StateDirectory, plan: Plan) -> tuple[Consent, ...]:
    """Ask those whom a plan has, which was made without asking; raises Blocked."""
    hooks = [(one.environment, place, hook) for one in plan.stages for place, hook in due(one.hooks, When.BUILD)]
    return await _ask(state, plan.service, plan.version, hooks) if hooks else ()


async def _ask(
    state: StateDirectory, service: str, version: str, hooks: Sequence[tuple[str, int, Hook]]
) -> tuple[Consent, ...]:
    at, once = SystemClock().now(), os.urandom(4).hex()
    consents = await asyncio.gather(*(_consent(state, service, version, one, at, once) for one in hooks))
    if no := [why for why in consents if isinstance(why, str)]:
        raise Blocked(f"{version} is not built: {'; '.join(no)}")
    return tuple(one for one in consents if isinstance(one, Consent))


async def _consent(
    state: StateDirectory, service: str, version: str, asked: tuple[str, int, Hook], at: datetime, once: str
) -> Consent | str:
    environment, place, hook = asked
    key = f"{service}-{environment}.{hook.when.value}-{place}.{once}"
    facts = {"service": service, "environment": environment, "version": version, "by": who()}
    answer = await answered(surroundings(state).hooks, hook, {**question(hook, key), **facts}, hook.timeout)
    if answer.open:
        return Consent(environment, str(hook), key, at, answer.reason)
    return f"{hook} for {environment}: {answer.reason}"


def _sealed(state: StateDirectory, hook: Hook) -> Hook:
    return hook.sealed(keep(state.secrets, hook.references()))
