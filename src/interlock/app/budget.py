"""How much of it may agents still do in this hour? The audit is what counts: it is only ever added to.

So no restart gives anything back, and two servers beside one another share one budget.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

from interlock.adapters.store.sqlite import SQLite
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.core.agents import AGENTS, Verb
from interlock.core.audit import Act

HOUR = timedelta(hours=1)
KIND = "budget"
_PAGE = 500
_LOCKED_WITHIN = 10.0


class Budget:
    """What agents may spend of one state directory, and what they have spent."""

    def __init__(self, state: StateDirectory, store: SQLite) -> None:
        self._state, self._store = state, store

    async def spent(self, verb: Verb, now: datetime) -> int:
        """Return how many times agents have done this within the hour before `now`."""
        after, total = max(0, (await self._store.head()).number - _PAGE), 0
        known: set[int] = set()
        while True:
            rows = [row for row in await self._store.audit(after, _PAGE) if row.number not in known]
            known.update(row.number for row in rows)
            acts = [row.act for row in rows]
            total += sum(int(act.data["count"]) for act in acts if _counts(act, verb, now))
            if after == 0 or not acts or acts[0].at < now - HOUR:
                return max(0, total)
            after = max(0, after - _PAGE)

    @contextlib.asynccontextmanager
    async def spend(self, verb: Verb, most: int, by: str, subject: str, now: datetime) -> AsyncIterator[None]:
        """Spend one while the block lasts, and give it back when that did not come about; raise Blocked at `most`."""
        async with self._alone():
            if (spent := await self.spent(verb, now)) >= most:
                raise Blocked(
                    f"agents have done {spent} of {most} {_WORDS[verb]} that they may within an hour: wait, or have a "
                    "person do it"
                )
            await self._store.act(_act(verb, 1, by, subject, now))
        try:
            yield
        except BaseException:
            await self._store.act(_act(verb, -1, by, subject, now))
            raise

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Let nobody else count and spend meanwhile, in whatever process."""
        with (self._state.path / "agents.lock").open("a") as file:
            async with asyncio.timeout(_LOCKED_WITHIN):
                while not _locked(file.fileno()):
                    await asyncio.sleep(0.01)
            yield


_WORDS = {Verb.START: "starts", Verb.FLAG: "changes of flags"}


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _counts(act: Act, verb: Verb, now: datetime) -> bool:
    """What seems to come from the future, as a clock was set back, counts too."""
    return act.kind == KIND and act.data.get("verb") == verb.value and act.at > now - HOUR


def _act(verb: Verb, count: int, by: str, subject: str, now: datetime) -> Act:
    how = "one of" if count > 0 else "one given back of"
    text = f"{how} the {_WORDS[verb]} that agents may do within an hour"
    return Act(now, KIND, subject, text, by, AGENTS, {"verb": verb.value, "count": count})
