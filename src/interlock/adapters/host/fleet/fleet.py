"""Which machines does an environment run on, and which instances of theirs are one to the engine?

To the engine there is one machine. Its instance number two is the instance number two of every machine, taken together:
it is ready when each of them is. So each machine for itself has as many ready instances as its weight asks for, and the
rules that the engine keeps hold on every one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from interlock.adapters.host.fleet.member import Member
from interlock.ports.host import Host

T = TypeVar("T")
_AND, _AT = " + ", " at "


class Fleet:
    """The machines of every environment. What was opened where is in one file, for whoever comes after us.

    `own` is this machine, whose address `here` says (it may come to be known later); `far` makes another one of its
    address.
    """

    def __init__(
        self, host: Host, file: Path, own: Member, here: Callable[[], str], far: Callable[[str], Member]
    ) -> None:
        self._host, self._file, self._own, self._here, self._far = host, file, own, here, far
        self._members: dict[str, Member] = {}
        self._opened: dict[str, tuple[str, ...]] | None = None
        self._homes: dict[str, str] = {}
        self._stable: dict[str, str] = {}

    @property
    def own(self) -> Member:
        """This machine."""
        name = self._here() or self._own.name  # once known it stays known: this machine must never seem another
        if self._own.name != name:
            self._own = replace(self._own, name=name)
        return self._own

    def opened(self) -> dict[str, tuple[str, ...]]:
        """Return the environments that run on machines named in the file, with those."""
        if self._opened is None:
            content = self._host.read(self._file)
            known = json.loads(content) if content else {}
            self._opened = {name: tuple(hosts) for name, hosts in known.get("environments", {}).items()}
            self._homes = dict(known.get("revisions", {}))
            self._stable = dict(known.get("stable", {}))
        return self._opened

    def settle(self, environment: str, hosts: tuple[str, ...]) -> None:
        """Remember on which machines an environment runs."""
        if self.opened().get(environment, ()) != hosts:
            self._opened = {**self.opened(), environment: hosts}
            self._keep()

    def lodge(self, revision: str, environment: str) -> None:
        """Remember in which environment a revision runs."""
        if self.opened().get(environment) and self._homes.get(revision) != environment:
            self._homes[revision] = environment
            self._keep()

    def goes_back_to(self, environment: str, stable: str | None) -> None:
        """Remember which revision is stable: what the way back leads to."""
        if self.opened().get(environment) and stable and self._stable.get(environment) != stable:
            self._stable[environment] = stable
            self._keep()

    def leave(self, revision: str) -> None:
        """Forget a revision."""
        if self.opened() and self._homes.pop(revision, None) is not None:
            self._stable = {name: one for name, one in self._stable.items() if one != revision}
            self._keep()

    def of(self, environment: str) -> tuple[Member, ...]:
        """Return the machines of an environment."""
        return tuple(map(self.member, self.opened().get(environment, ()))) or (self.own,)

    def of_revision(self, revision: str) -> tuple[Member, ...]:
        """Return the machines of a revision. For the stable one these are those that answer.

        A machine that is lost must not keep the others from going back: their old side is what it is on them. For every
        other revision it counts, so that nothing goes forward without it.
        """
        self.opened()
        home = self._homes.get(revision)
        if home is None:
            return (self.own,)
        members = self.of(home)
        return self.present(members) if self._stable.get(home) == revision else members

    def alone(self, revision: str) -> bool:
        """Say whether a revision runs on this machine and on no other."""
        self.opened()
        home = self._homes.get(revision)
        return home is None or self.of(home) == (self.own,)

    def present(self, members: tuple[Member, ...]) -> tuple[Member, ...]:
        """Return the machines that answer; all of them when none does."""
        return tuple(one for one in members if not one.lost) or members

    async def each(
        self, revision: str, ask: Callable[[Member], Awaitable[T]], error: type[Exception]
    ) -> tuple[tuple[Member, ...], tuple[T, ...]]:
        """Ask every machine of a revision; return the machines and what they said.

        When one was lost in the middle of it, and may be, the others are asked once more: every verb names a state.
        """
        members = self.of_revision(revision)
        try:
            return members, await everywhere(members, ask, error)
        except error:
            left = self.of_revision(revision)
            if left == members:
                raise
            return left, await everywhere(left, ask, error)

    def all(self) -> tuple[Member, ...]:
        """Return every machine of every environment, this one first."""
        names = dict.fromkeys(name for hosts in self.opened().values() for name in hosts if name != self.own.name)
        return (self.own, *map(self.member, names))

    def member(self, name: str) -> Member:
        """Return a machine by its address."""
        if name == self.own.name:
            return self.own
        if name not in self._members:
            self._members[name] = self._far(name)
        return self._members[name]

    def _keep(self) -> None:
        content = {"environments": self._opened, "revisions": self._homes, "stable": self._stable}
        self._host.write(self._file, json.dumps(content, indent=1).encode(), mode=0o600, durable=True)


async def everywhere(
    members: Sequence[Member], ask: Callable[[Member], Awaitable[T]], error: type[Exception]
) -> tuple[T, ...]:
    """Ask all machines at once and wait for each, whatever the others say; raise one error with all that went wrong."""
    if len(members) == 1:
        return (await ask(members[0]),)
    done = await asyncio.gather(*(ask(member) for member in members), return_exceptions=True)
    wrong = [
        (member, result) for member, result in zip(members, done, strict=True) if isinstance(result, BaseException)
    ]
    for _, problem in wrong:
        if not isinstance(problem, Exception):
            raise problem
    if wrong:
        raise error("; ".join(_said(member, problem) for member, problem in wrong))
    return tuple(result for result in done if not isinstance(result, BaseException))


def _said(member: Member, problem: BaseException) -> str:
    text = str(problem) or type(problem).__name__
    return text if text.startswith(member.name) else f"{member.name}: {text}"


def joined(parts: Sequence[tuple[str, str]]) -> str:
    """Return the address of instances that are one: (machine, address on it). On one machine it is the address."""
    return _AND.join(f"{address}{_AT}{name}" for name, address in parts)


def parted(address: str, name: str) -> str | None:
    """Return the address that one of these instances has on a machine, None when it has none there."""
    for part in address.split(_AND):
        plain, _, machine = part.partition(_AT)
        if machine == name:
            return plain
    return None
