"""What can a person or a program do? The verbs that every surface offers, each of them once."""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import sys
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interlock import twin
from interlock.adapters.clock import SystemClock
from interlock.adapters.inquiry import Rejected, Unreachable
from interlock.adapters.line import ask
from interlock.adapters.secrets import kept
from interlock.adapters.store.place import refuse_network_file_system
from interlock.adapters.store.sqlite import SQLite
from interlock.app import view as look
from interlock.app.state import StateDirectory
from interlock.app.view import View
from interlock.core.events import LOCAL, Order, OrderKind
from interlock.core.lock import Lock
from interlock.core.plan import Plan
from interlock.core.record import plain, restore
from interlock.core.rollout import Rollout
from interlock.core.transitions import advance
from interlock.ports.flags import FlagsError
from interlock.ports.store import Quarantined, StoreError

if TYPE_CHECKING:  # imported late, where it is needed: to look must be quick
    from interlock.core.link import Link
    from interlock.core.suspects import Found
    from interlock.core.toggle import Toggle, Toggled

KEEPER_STARTS_WITHIN = timedelta(seconds=15)
ANSWERS_WITHIN = timedelta(seconds=30)
GOES_BACK_WITHIN = timedelta(minutes=20)


class KeeperError(Exception):
    """The keeper cannot be started, or does not answer."""


class LeftRunning(Exception):
    """Not everything could be stopped; the message says what, why, what was, and that the keeper goes on."""


class Blocked(Exception):
    """A gate or an interlock forbids it; the message says which and what to do."""


class App:
    """The verbs over one state directory. Reading asks the records, changing asks the keeper."""

    def __init__(self, state: StateDirectory, channel: str = LOCAL, by: str = "") -> None:
        self.state = state
        self.channel = channel
        self._by = by
        self._clock = SystemClock()

    # --- looking

    @cached_property
    def records(self) -> SQLite:
        """The records, read only; raises StoreError when nothing has been deployed from here yet."""
        return SQLite(self.state.database, read_only=True)

    async def view(self, run: str | None = None) -> View:
        """Return one run, the newest when none is named; accepts a rollout's id too."""
        try:  # first: what is live must not be newer than what the journal says
            told = await self._ask(look.LIVE, within=look.ANSWERS_WITHIN)
        except Unreachable:
            told = None
        return await asyncio.to_thread(look.view, self.state, run, told)

    async def history(self, limit: int = 20) -> tuple[Rollout, ...]:
        """Return the newest rollouts, newest first."""
        return await self.records.rollouts(limit)

    async def quarantine(self, service: str) -> tuple[Quarantined, ...]:
        """Return the releases that failed a verdict and were not released since."""
        return await self.records.quarantine(service)

    async def _run(self, name: str | None) -> tuple[Rollout, ...]:
        return await asyncio.to_thread(look.rollouts, self.state, name)

    async def report(self, run: str | None = None, *, incident: bool = False, repository: Path | None = None) -> str:
        """Return a run's deployment report in Markdown, or its incident report; raise NoIncident without one.

        `repository` is where an incident's report looks for the commits between the releases.
        """
        from interlock.app.report import recorded, report  # imported late: it needs the judge

        view, found = await self._with_suspects(run, repository, incident=incident)
        head, now = await self.audit_head(), self._clock.now()
        curves = None if incident else await asyncio.to_thread(recorded, view, self.state.recordings)
        return report(view, self.state.secrets, now, incident=incident, found=found, head=head, curves=curves)

    async def report_document(
        self, run: str | None = None, *, incident: bool = False, repository: Path | None = None
    ) -> dict[str, Any]:
        """Return the same for programs."""
        from interlock.app.report import document

        view, found = await self._with_suspects(run, repository, incident=incident)
        head = await self.audit_head()
        return document(view, self.state.secrets, self._clock.now(), incident=incident, found=found, head=head)

    async def page(self, run: str | None = None, *, incident: bool = False, repository: Path | None = None) -> str:
        """Return the same as one page of HTML, with charts."""
        from interlock.app.html import page

        view, found = await self._with_suspects(run, repository, incident=incident)
        head = await self.audit_head()
        return page(view, self.state, self._clock.now(), head, incident=incident, found=found)

    async def audit_head(self) -> str:
        """Return the audit's head as it is published: with every report, and with whatever is told to people."""
        return str(await self.records.head())

    async def _with_suspects(
        self, run: str | None, repository: Path | None, *, incident: bool
    ) -> tuple[View, Found | None]:
        from interlock.app.incident import seek

        view = await self.view(run)
        return view, await seek(self.state, view, repository) if incident else None

    # --- changing

    @property
    def by(self) -> str:
        """Who wants what is done here: the local user, or who acts for them."""
        return self._by or who()

    async def start(self, plan: Plan, *, supersede: bool = False, key: str = "") -> str:
        """Give the plan to the keeper; return the run's id. Raises Blocked when one is under way or the world moved.

        With a `key` twice is once, also after keeper and caller were started again.
        """
        await self.ensure_keeper()
        within = GOES_BACK_WITHIN if supersede else ANSWERS_WITHIN
        arguments = {"plan": plain(plan), "by": self.by, "supersede": supersede, "channel": self.channel}
        run: str = await self._change("start", self._by_channel(arguments | ({"key": key} if key else {})), within)
        return run

    async def bring_back(self, plan: Plan) -> list[str]:
        """Have what is stable serve again where it was stopped; return those environments."""
        await self.ensure_keeper()
        brought: list[str] = await self._change("bring back", {"plan": plain(plan)}, timedelta(minutes=5))
        return brought

    async def order(
        self,
        run: str | None,
        kind: OrderKind,
        reason: str = "",
        key: str = "",
        seen: Rollout | None = None,
        signed: tuple[str, str] = ("", ""),
        claims: str = "",
        channel: str = "",
    ) -> Rollout:
        """Give an order to a run (the newest when none is named); return its rollout after it.

        Raises Blocked, or Refused when the run is over: that needs no keeper to be known. Who approves is a name that
        this machine claims and nothing proves, and is recorded so, unless `signed` (text, signature) proves it.
        `claims` is the name under which somebody acknowledges, `channel` how they do where that is no surface of ours.
        """
        rollouts = await self._run(run)
        order = Order(
            self._clock.now(),
            kind,
            f"{self.by} (unproven)" if kind is OrderKind.APPROVE else self.by,
            key or os.urandom(8).hex(),
            self.without_secrets(reason),
            None if seen is None else seen.index,
            None if seen is None else seen.phase,
            channel or self.channel,
            *signed,
            claims=claims,
        )
        if rollouts[-1].over:
            advance(rollouts[-1], order)
        await self.ensure_keeper()
        arguments = {"run": rollouts[0].run, "order": _understood(plain(order))}
        return restore(Rollout, await self._change("order", arguments, ANSWERS_WITHIN))

    async def acknowledge(self, run: str | None, name: str = "", token: str = "", reason: str = "") -> Rollout:
        """Say that somebody on call knows of a run: the local user, or `name`; with a `token` whoever it was given to.

        Raises LinkError for a token that proves nothing, Blocked when that is nobody who is on call.
        """
        kind = OrderKind.ACKNOWLEDGE
        if not token:
            return await self.order(run, kind, reason, claims=name)
        from interlock.core import link  # imported late: to look must be quick

        given, _ = await self.asked(token, run)
        key, person = link.once(token), given.person
        return await self.order(given.rollout, kind, reason, key, claims=person, channel=link.CHANNEL)

    async def asked(self, token: str, run: str | None = None) -> tuple[Link, Rollout]:
        """Return what a link is for, and its rollout; change nothing. Raises LinkError for one that proves nothing."""
        from interlock.app.secrets import key_for
        from interlock.core import link

        given = link.read(token, key_for(self.state.secrets, link.CHANNEL), self._clock.now())
        if given.order != OrderKind.ACKNOWLEDGE.value:
            raise link.LinkError(f"this link is to {given.order}, not to {OrderKind.ACKNOWLEDGE.value}")
        rollouts = await self._run(run or given.rollout)
        if rollouts[-1].id != given.rollout:
            raise link.LinkError(f"this link is for {given.rollout}, and this is {rollouts[-1].id}")
        return given, rollouts[-1]

    async def standing(self, id: str) -> Rollout:
        """Return the rollout of this id, at which its run stands; raise NoSuchRollout, or Blocked when it does not."""
        newest = (await self._run(id))[-1]
        if newest.id != id:
            raise Blocked(f"{newest.run} stands at {newest.id}, and not at {id}: give orders to the former")
        return newest

    async def release(self, service: str, identity: str, reason: str) -> bool:
        """Let a release out of quarantine, on record; say whether it was there."""
        await self.ensure_keeper()
        said = {"reason": self.without_secrets(reason), "channel": self.channel}
        arguments = {"service": service, "identity": identity, "by": self.by, **said}
        return bool(await self._change("release", self._by_channel(arguments), ANSWERS_WITHIN))

    def _by_channel(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Say by which surface it comes; a keeper started before there were others takes it to come from this one."""
        rest = {name: value for name, value in arguments.items() if name != "channel"}
        return rest if self.channel == LOCAL else arguments

    async def close_incident(self, id: str, cause: str) -> Rollout:
        """Write an incident's cause, on record; return its rollout. Raises NoSuchRollout when it is none."""
        from interlock.app.incident import find  # imported late: to look must be quick

        rollout = find(await self._run(id), id)
        await self.ensure_keeper()
        said = {"cause": self.without_secrets(cause), "by": self.by, "channel": self.channel}
        await self._change("close incident", {"rollout": rollout.id, **said}, ANSWERS_WITHIN)
        return rollout

    async def locked(self, service: str) -> Lock | None:
        """Return the service's lock, if one holds."""
        lock = await self.records.locked(service)
        return lock if lock is not None and lock.holds(self._clock.now()) else None

    async def lock(self, service: str, reason: str, within: timedelta | None) -> Lock:
        """Let no deploy of the service start, for so long or until it is unlocked; on record."""
        now = self._clock.now()
        lock = Lock(service, self.by, now, self.without_secrets(reason), None if within is None else now + within)
        await self.ensure_keeper()
        await self._change("lock", {"lock": plain(lock), "channel": self.channel}, ANSWERS_WITHIN)
        return lock

    async def unlock(self, service: str) -> Lock | None:
        """Take the service's lock away, on record; return it, None when there was none."""
        await self.ensure_keeper()
        arguments = {"service": service, "by": self.by, "channel": self.channel}
        lock = await self._change("unlock", arguments, ANSWERS_WITHIN)
        return None if lock is None else restore(Lock, lock)

    async def toggle(self, wanted: Toggle, within: timedelta) -> Toggled:
        """Move one flag, on record. Raises Blocked when a rollout has it or a gate is closed, FlagsError."""
        from interlock.core.toggle import Toggled

        await self.ensure_keeper()
        return restore(Toggled, await self._change("toggle flag", {"wanted": plain(wanted)}, within))

    def without_secrets(self, said: str) -> str:
        """Hide what must not come into the records, whoever says it."""
        from interlock.core.secrecy import hidden  # imported late: to look must be quick

        return hidden(said, kept(self.state.secrets)) if said else said

    async def down(self) -> list[str]:
        """Stop everything that this project runs; return what was stopped. Raises LeftRunning with what was not."""
        if not self.state.path.exists():
            return []
        await self.ensure_keeper()
        stopped: list[str] = await self._change("stop", {}, timedelta(minutes=2))
        await asyncio.to_thread(twin.down, self.state.runtime)
        await self._record_down(stopped)
        return stopped

    async def _record_down(self, stopped: list[str]) -> None:
        """Add it to the audit; nobody else writes any more. A full disk costs only that."""
        from interlock.core.audit import stopped as act

        with contextlib.suppress(StoreError):
            store = SQLite(self.state.database)
            newest = await store.rollouts(1)
            service = newest[0].stage.revision.release.service if newest else ""
            await store.act(act(service, stopped, who(), self._clock.now(), self.channel))
            store.close()

    async def ensure_keeper(self) -> None:
        """Have a keeper that answers; start one when there is none. Raises KeeperError with the end of its log."""
        self.state.make()
        refuse_network_file_system(self.state.path)
        SQLite(self.state.database).close()
        deadline = self._clock.monotonic() + KEEPER_STARTS_WITHIN.total_seconds()
        started = False
        while self._clock.monotonic() < deadline:
            try:
                await ask(self.state.socket, "ping", {}, timedelta(seconds=2))
                return
            except Unreachable:
                if not started:
                    started = True
                    await start_keeper(self.state)
                await asyncio.sleep(0.05)
        raise KeeperError(
            f"the keeper did not start; the end of {self.state.keeper_log}:\n{_tail(self.state.keeper_log)}"
        )

    async def _change(self, verb: str, arguments: dict[str, Any], within: timedelta) -> Any:
        try:
            return await self._ask(verb, arguments, within)
        except Rejected as no:
            if no.kind in ("Busy", "Stale", "Refused", "Locked", "FlagHeld"):
                raise Blocked(str(no)) from no
            if no.kind in ("FlagsError", "Unmovable"):
                raise FlagsError(str(no)) from no
            if no.kind == "LeftRunning":
                raise LeftRunning(str(no)) from no
            if no.kind == "StoreError":
                raise StoreError(str(no)) from no
            raise KeeperError(f"{verb}: {no.kind}: {no}") from no
        except Unreachable as error:
            raise KeeperError(f"{error}. What it wrote: {self.state.keeper_log}") from error

    async def _ask(self, verb: str, arguments: dict[str, Any] | None = None, within: timedelta = ANSWERS_WITHIN) -> Any:
        return await ask(self.state.socket, verb, arguments or {}, within)


def _understood(order: dict[str, Any]) -> dict[str, Any]:
    """Return an order without what a keeper of an earlier version does not know, where that says nothing."""
    return {name: value for name, value in order.items() if (name, value) not in (("channel", LOCAL), ("claims", ""))}


async def start_keeper(state: StateDirectory) -> None:
    """Start the resident process in a session of its own."""
    from interlock.adapters.host.local import LocalHost  # imported late: to look starts nothing, and must be quick
    from interlock.ports.host import Command

    argv = (sys.executable, "-m", "interlock.keeper", str(state.path))
    command = Command(f"{state.label}/keeper", argv, Path("/"), state.keeper_log, dict(os.environ))
    await LocalHost().start(command)


def who() -> str:
    """Return the local user's name, or that of whoever sent a command from another machine: claimed, not proven."""
    if sender := os.environ.get("INTERLOCK_BY"):
        return sender
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _tail(path: Path, lines: int = 10) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
