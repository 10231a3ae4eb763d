"""Who stays when the command has ended? The resident process of one state directory.

It runs the engine's loops, keeps the instances and Envoy alive, and answers commands. It alone holds the state
directory: nobody else writes the proxy's files. It and its twin start each other again (see `twin`).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.adapters.host.local import clear_torn
from interlock.adapters.line import serve
from interlock.adapters.workload.slots.log import limit
from interlock.app.forget import forget, needed_images
from interlock.app.hand import Hand
from interlock.app.parts import Parts, assemble
from interlock.app.state import StateDirectory
from interlock.core.events import LOCAL, Order
from interlock.core.lock import Lock
from interlock.core.plan import Plan
from interlock.core.record import plain, restore
from interlock.core.toggle import Toggle
from interlock.engine.engine import Engine
from interlock.engine.journal import resolved
from interlock.engine.toggle import toggle
from interlock.ports.store import StoreError
from interlock.ports.workload import WorkloadError
from interlock.twin import Refused, Watch

log = logging.getLogger("interlock.keeper")

MIND_EVERY = timedelta(milliseconds=500)
LIMIT_LOG_EVERY = timedelta(minutes=1)
FORGET_EVERY = timedelta(hours=1)


class Keeper:
    """Runs everything that must not end with a command."""

    def __init__(self, state: StateDirectory, parts: Parts, watch: Watch) -> None:
        self._state, self._parts, self._watch = state, parts, watch
        self._engine = Engine(parts.ports, f"keeper-{os.getpid()}")
        self._hand = None if parts.fleet is None else Hand(state, parts.fleet.own)
        self._down = asyncio.Event()

    async def run(self) -> None:
        """Keep until told to go down, or terminated; rollouts and whatever serves stay as they are."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._down.set)
        tasks = [asyncio.create_task(self._for_ever(name, loop)) for name, loop in self._loops()]
        await self._engine.resume()
        await self._down.wait()
        await self._engine.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _loops(self) -> tuple[tuple[str, Callable[[], Coroutine[Any, Any, None]]], ...]:
        return (
            ("mind the twin", self._mind),
            ("listen", self._listen),
            ("instances", self._parts.instances.supervise),
            ("envoy", self._parts.envoy.supervise),
            ("tend", self._tend),
            ("keep the log small", self._limit_log),
            ("forget", self._forget),
            ("tell people", self._parts.courier.run),
        )

    async def _for_ever(self, name: str, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a loop again when it breaks: none of them may end while the keeper lives."""
        while not self._down.is_set():
            try:
                await loop()
            except Exception:
                log.exception("%s: broke, and starts again in a second", name)
            await asyncio.sleep(1)

    async def _mind(self) -> None:
        while self._watch.mind():
            await asyncio.sleep(MIND_EVERY.total_seconds())
        self._down.set()

    async def _listen(self) -> None:
        """Answer commands; when somebody has cleaned the socket away, listen on a new one."""
        self._state.make()
        async with serve(self._state.socket, self._answer):
            while self._state.socket.exists():
                await asyncio.sleep(MIND_EVERY.total_seconds())

    async def _tend(self) -> None:
        """Tend what runs here, unless another machine leads this one: then it does."""
        while self._hand is not None and self._hand.leader() is not None:
            await asyncio.sleep(MIND_EVERY.total_seconds())
        tending = asyncio.create_task(self._engine.tend())
        try:
            while not tending.done():
                if self._hand is not None and self._hand.leader() is not None:
                    return
                await asyncio.wait({tending}, timeout=MIND_EVERY.total_seconds())
            tending.result()
        finally:
            tending.cancel()

    async def _limit_log(self) -> None:
        """Trouble that lasts is written again and again, by the twin too."""
        while True:
            limit(self._state.keeper_log)
            await asyncio.sleep(LIMIT_LOG_EVERY.total_seconds())

    async def _forget(self) -> None:
        """Forget what nobody needs, while no rollout is under way."""
        while True:
            await asyncio.sleep(FORGET_EVERY.total_seconds())
            if self._engine.live() or self._down.is_set():
                continue
            ports = self._parts.ports
            with contextlib.suppress(StoreError):  # tried again in an hour
                for gone in await forget(self._state, ports.store, ports.clock.now()):
                    log.info("forgotten, as nobody needs it any more: %s", gone)
            with contextlib.suppress(StoreError, OSError):
                for gone in await self._parts.prune_migrations():
                    log.info("forgotten, as its rollout is: %s", gone)
            with contextlib.suppress(StoreError, WorkloadError):
                await self._prune_images()

    async def _prune_images(self) -> None:
        """Remove images that nobody needs. A machine that another one leads knows of what runs alone, and keeps all."""
        if self._hand is not None and self._hand.leader() is not None:
            return
        for gone in await self._parts.prune_images(await needed_images(self._state, self._parts.ports.store)):
            log.info("removed, as nobody needs it any more: image %s", gone)

    async def _answer(self, verb: str, arguments: dict[str, Any]) -> Any:
        verbs: dict[str, Callable[..., Awaitable[Any]]] = {
            "ping": self._ping,
            "start": self._start,
            "bring back": self._bring_back,
            "order": self._order,
            "release": self._release,
            "close incident": self._close_incident,
            "lock": self._lock,
            "unlock": self._unlock,
            "toggle flag": self._toggle_flag,
            "live": self._live,
            "stop": self._stop_all,
        }
        if self._hand is not None:
            verbs |= {"lead": self._hand.lead, "call": self._hand.call, "provide": self._hand.provide}
        return await verbs[verb](**arguments)

    async def _ping(self) -> dict[str, Any]:
        return {"pid": os.getpid(), "twin": self._watch.twin_alive(), "rollouts": list(self._engine.live())}

    async def _start(self, plan: dict[str, Any], by: str, supersede: bool, key: str = "", channel: str = LOCAL) -> str:
        if self._hand is not None and (leader := self._hand.leader()) is not None and leader.driver:
            raise Refused(f"this machine is led by {leader.said}: start it there")
        return await self._engine.start(restore(Plan, plan), by, supersede=supersede, key=key, channel=channel)

    async def _bring_back(self, plan: dict[str, Any]) -> list[str]:
        return await self._engine.bring_back(restore(Plan, plan))

    async def _order(self, run: str, order: dict[str, Any]) -> Any:
        return plain(await self._engine.order(run, restore(Order, order)))

    async def _release(self, service: str, identity: str, by: str, reason: str, channel: str = LOCAL) -> bool:
        ports = self._parts.ports
        return await ports.store.release(service, identity, by, reason, ports.clock.now(), channel)

    async def _close_incident(self, rollout: str, cause: str, by: str, channel: str) -> None:
        ports = self._parts.ports
        await ports.store.note(rollout, (resolved(ports.clock.now(), cause, by, channel),))

    async def _lock(self, lock: dict[str, Any], channel: str) -> None:
        await self._parts.ports.store.lock(restore(Lock, lock), channel)

    async def _unlock(self, service: str, by: str, channel: str) -> Any:
        ports = self._parts.ports
        lock = await ports.store.unlock(service, by, ports.clock.now(), channel)
        return None if lock is None else plain(lock)

    async def _toggle_flag(self, wanted: dict[str, Any]) -> Any:
        return plain(await toggle(self._parts.ports, restore(Toggle, wanted), self._engine.turned_off))

    async def _live(self) -> Any:
        untold = {name: plain(trouble) for name, trouble in self._parts.courier.troubles().items()}
        return {"rollouts": self._engine.live(), "stuck": self._engine.stuck(), "untold": untold}

    async def _stop_all(self) -> list[str]:
        """Stop every instance and Envoy: the first half of `interlock down`. What is left is looked after again."""
        await self._engine.stop()
        try:
            return await self._parts.stop_all()
        except BaseException:
            await self._engine.resume()
            raise


def main() -> int:
    """Run the keeper of the state directory named in the first argument."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    state = StateDirectory(Path(sys.argv[1]))
    state.make()
    command = (sys.executable, "-m", "interlock.keeper", str(state.path))
    watch = Watch(state.runtime, command, str(state.keeper_log), state.label)
    try:
        with alone(state):
            watch.take()
            for place in (state.envoy, state.instances, state.runtime):
                clear_torn(place)
            asyncio.run(Keeper(state, assemble(state), watch).run())
    except Refused as refused:
        log.info("%s", refused)
        return 1
    return 0


@contextlib.contextmanager
def alone(state: StateDirectory) -> Iterator[None]:
    """Hold the state directory; raise Refused when another keeper does, wherever its pulse is by now."""
    with (state.path / "keeper.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"another keeper holds {state.path}") from None
        yield


if __name__ == "__main__":
    sys.exit(main())
