"""How do we run a command on another machine, and reach a socket there? By the system's own OpenSSH.

Not the whole of the port Host: a process cannot be held by its pidfd from afar, so what starts and signals processes is
on each machine itself (see `host.fleet`). What is needed from here is to run a command, and to have a unix socket there
answer as one here. Keys, hosts and jumps are ssh's own (~/.ssh/config); nothing is ever asked of a person, host keys
must be known, and nothing that is secret is an argument: it goes through standard input.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from signal import SIGTERM

from interlock.ports.host import HostError

CONFIG = "INTERLOCK_SSH_CONFIG"
"""The variable that names another configuration for ssh than the user's own."""

_CONNECTS_WITHIN = timedelta(seconds=10)
_STAYS = timedelta(minutes=1)
_FORWARDS_WITHIN = timedelta(seconds=20)
_LOOKS_AGAIN = timedelta(milliseconds=20)
_OF_SSH = 255
_ADDRESS = re.compile(r"ssh://(?:(?P<user>[^@]+)@)?(?P<host>\[[^\]]+\]|[^:\[]+)(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended on the other machine."""

    status: int
    out: bytes
    err: bytes

    @property
    def last_words(self) -> str:
        """The last line of what it wrote, for people."""
        lines = (self.err or self.out).decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


class Ssh:
    """One machine, by its address ``ssh://[user@]host[:port]``.

    `runtime` is a directory with a short path, for sockets. One connection is shared by all that is asked
    (ControlMaster), and stays for a minute.
    """

    def __init__(self, address: str, runtime: Path) -> None:
        match = _ADDRESS.fullmatch(address)
        if match is None or match["host"].startswith("-") or (match["user"] or "").startswith("-"):
            raise HostError(f"expected a machine such as ssh://deploy@shop-1.example.com, found {address}")
        self.address, self._runtime = address, runtime
        self._user, self._host, self._port = match["user"], match["host"].strip("[]"), match["port"]
        self._forwards: dict[Path, asyncio.subprocess.Process] = {}

    def argv(self, *command: str, terminal: bool = False, options: Sequence[str] = ()) -> tuple[str, ...]:
        """Return what runs a command there: its words reach it as they are, whatever the shell there makes of them."""
        self._runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        named = os.environ.get(CONFIG)
        config = ("-F", named) if named else ()
        port = ("-p", self._port) if self._port else ()
        user = ("-l", self._user) if self._user else ()
        kept = _options(
            BatchMode="yes",
            StrictHostKeyChecking="yes",
            ConnectTimeout=round(_CONNECTS_WITHIN.total_seconds()),
            ServerAliveInterval=5,
            ServerAliveCountMax=3,
            ControlMaster="auto",
            # Not %C: with what ssh adds while it makes it, that is too long for a socket below a usual TMPDIR.
            ControlPath=f"{self._runtime}/ssh-{hashlib.sha256(self.address.encode()).hexdigest()[:8]}",
            ControlPersist=round(_STAYS.total_seconds()),
        )
        shown = ("-t",) if terminal else ("-T",)
        return ("ssh", *config, *kept, *shown, *port, *user, *options, self._host, "--", shlex.join(command))

    def plain(self, *command: str) -> tuple[str, ...]:
        """Return what runs a command there from another machine, by that one's own ssh and nothing of ours."""
        port = ("-p", self._port) if self._port else ()
        user = ("-l", self._user) if self._user else ()
        kept = _options(BatchMode="yes", StrictHostKeyChecking="yes", ConnectTimeout=10)
        return ("ssh", *kept, "-T", *port, *user, self._host, "--", shlex.join(command))

    async def run(self, *command: str, given: bytes = b"", within: timedelta, far: bool = False) -> Ran:
        """Run a command there with `given` on its standard input; raise HostError when it is not begun, or late.

        A command that runs ssh itself ends with the status of one that was not begun: `far` says that it was.
        """
        child = await self._spawn(self.argv(*command))
        try:
            async with asyncio.timeout(within.total_seconds()):
                out, err = await child.communicate(given)
        except TimeoutError as late:
            what = f"{command[0]} has not ended after {within.total_seconds():g} s"
            raise HostError(f"{self.address}: {what}; is the machine reachable, and not overloaded?") from late
        finally:
            _end(child)
        ran = Ran(child.returncode or 0, out, err)
        return ran if far else self._ended(ran)

    async def send(self, file: Path, *command: str, within: timedelta) -> Ran:
        """Run a command there with a file on its standard input; raise HostError like `run`."""
        with file.open("rb") as source:
            child = await self._spawn(self.argv(*command), source.fileno())
        try:
            async with asyncio.timeout(within.total_seconds()):
                out, err = await child.communicate()
        except TimeoutError as late:
            raise HostError(f"{self.address}: {file.name} was not taken within {within.total_seconds():g} s") from late
        finally:
            _end(child)
        return self._ended(Ran(child.returncode or 0, out, err))

    def _ended(self, ran: Ran) -> Ran:
        if ran.status == _OF_SSH:
            raise HostError(f"{self.address} cannot be reached: {_advice(ran.last_words)}")
        return ran

    async def forward(self, here: Path, there: str) -> None:
        """Have a unix socket there answer at a path here; when it does already, nothing happens. Raises HostError.

        The connection is one of its own: whoever closes the shared one does not close this.
        """
        known = self._forwards.get(here)
        if known is not None and known.returncode is None and here.exists():
            return
        if known is not None:
            _end(known)
        here.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        here.unlink(missing_ok=True)
        alone = _options(ControlMaster="no", ControlPath="none", ExitOnForwardFailure="yes")
        argv = self.argv(options=("-N", "-L", f"{here}:{there}"))
        argv = (argv[0], *alone, *argv[1:-2])  # what comes first counts; and there is no command
        child = await self._spawn(argv)
        self._forwards[here] = child
        await self._listening(child, here, there)

    async def _listening(self, child: asyncio.subprocess.Process, here: Path, there: str) -> None:
        try:
            async with asyncio.timeout(_FORWARDS_WITHIN.total_seconds()):
                while not here.exists():
                    if child.returncode is not None:
                        said = (await child.stderr.read()).decode(errors="replace").strip() if child.stderr else ""
                        why = _advice(said.splitlines()[-1] if said else "it said nothing")
                        raise HostError(f"{self.address}: the socket {there} cannot be forwarded: {why}")
                    await asyncio.sleep(_LOOKS_AGAIN.total_seconds())
        except TimeoutError as late:
            _end(child)
            raise HostError(f"{self.address} cannot be reached: no connection in {_FORWARDS_WITHIN}") from late

    async def close(self) -> None:
        """End what is forwarded, and the shared connection."""
        for child in self._forwards.values():
            _end(child)
            with suppress(ProcessLookupError):
                await child.wait()
        self._forwards.clear()
        with suppress(HostError):
            child = await self._spawn((*self.argv(options=("-O", "exit"))[:-2],))
            await child.wait()

    async def _spawn(self, argv: Sequence[str], given: int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *argv, stdin=given, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
            )
        except OSError as problem:
            raise HostError(f"ssh cannot be run here: {problem.strerror}; install openssh-client") from problem


def _options(**options: str | int) -> tuple[str, ...]:
    return tuple(word for name, value in options.items() for word in ("-o", f"{name}={value}"))


def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        with suppress(ProcessLookupError):
            child.send_signal(SIGTERM)


def _advice(said: str) -> str:
    """Add what to do to what ssh says."""
    for part, advice in _ADVICE.items():
        if part in said:
            return f"{said.rstrip('.')}: {advice}"
    return said


_ADVICE = {
    "Permission denied": "put a key there (ssh-copy-id), and have it in the agent or in ~/.ssh without a passphrase",
    "Host key verification failed": "see its key once and keep it: ssh-keyscan HOST, compare, into ~/.ssh/known_hosts",
    "REMOTE HOST IDENTIFICATION HAS CHANGED": "its key is another one than before: find out why before you go on",
    "Connection refused": "does sshd run there, at this port?",
    "timed out": "is it up, and does a firewall let you through?",
    "Could not resolve hostname": "is its name right, or in ~/.ssh/config?",
}
