"""What does Interlock do, shown on this machine: a good release goes out under traffic, a bad one is taken back?

Everything is real: processes, Envoy, the keeper, a request from a user every few milliseconds. Releases are made by the
same commands as everywhere, each as a process of its own; only what they left on record is read here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.core.steps import spell
from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

if TYPE_CHECKING:
    from interlock.app.verbs import App
    from interlock.app.view import View
    from interlock.core.account import Account

RATE, LEAST_RATE = 600, 300
FILES = Path(__file__).parent / "demo_files"
VERSIONS = {"v1": 0.0, "v2": 0.0, "v3": 0.2}
"""The share of orders that each version fails."""

ENOUGH = timedelta(seconds=2)
"""How long users are watched before the first release under traffic, and after the last."""

DEPLOY_WITHIN = timedelta(minutes=3)


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep", metavar="DIR", help="leave the project, its records and both reports in this new directory"
    )


async def run(call: Call) -> Exit:
    call.goes_on = "interrupted: the demo has stopped everything that it had started"
    this = asyncio.current_task()
    assert this is not None
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, this.cancel)
    try:
        return await demo(call, call.options.keep)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def demo(call: Call, keep: str | None = None) -> Exit:
    """Show a first release, a good one and a bad one under traffic; return ERROR when that did not go as promised."""
    async with _stage(call, keep) as stage:
        call.say(INTRODUCTION.format(rate=RATE, state=stage.place))
        await stage.deploy("v1", "--first", expected=Exit.OK)
        async with stage.users():
            await asyncio.sleep(ENOUGH.total_seconds())
            good = await stage.deploy("v2", expected=Exit.OK)
            call.say(f"\nSo far: {await stage.so_far()}")
            bad = await stage.deploy("v3", expected=Exit.ROLLED_BACK)
            await asyncio.sleep(ENOUGH.total_seconds())
        await stage.report(good, incident=False)
        await stage.report(bad, incident=True)
        return stage.close(await stage.app.view(good), await stage.app.view(bad))


INTRODUCTION = """\
A shop goes from v1 to v2 under the orders of its users, and then to v3, in which one order in five fails.

Its own are the times (watches of at least 5 s at the first weight, 4 s at the second, 5 s at the end, a look every
second), the weights (10, 50, 100 %) and the traffic ({rate} requests a second). All limits, error probabilities and
policies are the defaults: each step forward is one that the judge has proven, and a watch lasts until it has.

Everything is in {state} and stops with the demo."""


@dataclass(slots=True)
class _Counts:
    """What came of the users' requests."""

    answered: Mapping[str, int] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    failures: list[tuple[float, str, str]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def requests(self) -> int:
        return sum(self.answered.values()) + len(self.failures)

    @property
    def by_release(self) -> list[tuple[float, str, str]]:
        """The failures that the bad release itself answered: nothing else could have answered them better."""
        return [one for one in self.failures if one[1] == "v3" and one[2] == "500"]

    @property
    def by_moving(self) -> list[tuple[float, str, str]]:
        """All others: answered by the proxy or by a good version, broken off, refused, or never answered."""
        own = self.by_release
        return [one for one in self.failures if one not in own]


class _Stage:
    """The shop's project in a directory of its own, its users, and what is said about both."""

    def __init__(self, call: Call, place: Path, app: App) -> None:
        self._call, self.place, self.app = call, place, app
        self._ports: dict[str, int] = {}
        self._users: asyncio.subprocess.Process | None = None
        self._command: asyncio.subprocess.Process | None = None
        self._counts = _Counts()
        self._since = time.monotonic()

    async def build(self) -> None:
        """Write the project: three versions of the service, and its interlock.yaml."""
        from interlock.adapters.host.local import LocalHost

        self._ports = {name: await LocalHost().free_port() for name in ("STAGING", "PRODUCTION")}
        service, file = (FILES / "service.py").read_text(), (FILES / "interlock.yaml").read_text()
        for name, value in {**self._ports, "PYTHON": json.dumps(sys.executable)}.items():
            file = file.replace(name, str(value))
        (self.place / "interlock.yaml").write_text(file)
        for version, broken in VERSIONS.items():
            (self.place / version).mkdir()
            text = service.replace('VERSION = "v1"', f'VERSION = "{version}"').replace("= 0.0 ", f"= {broken} ")
            (self.place / version / "service.py").write_text(text)

    async def deploy(self, version: str, *options: str, expected: Exit) -> str:
        """Deploy by the command that everybody has, shown as it runs; return the run's name."""
        self._call.say(f"\n$ interlock deploy {' '.join((version, *options))}")
        argv = ("-m", "interlock", "--state", str(self.app.state.path), *self._colour(), "deploy", version, *options)
        self._command = await asyncio.create_subprocess_exec(sys.executable, *argv, cwd=self.place)
        try:
            async with asyncio.timeout(DEPLOY_WITHIN.total_seconds()):
                status = await self._command.wait()
        except TimeoutError:
            raise DemoError(f"deploying {version} has not ended within {spell(DEPLOY_WITHIN)}") from None
        if status != expected:
            raise DemoError(f"deploying {version} ended with status {status}, expected {expected.value}")
        return (await self.app.view()).run

    def _colour(self) -> tuple[str, ...]:
        return ("--no-color",) if self._call.options.no_color else ()

    # --- users

    @asynccontextmanager
    async def users(self) -> AsyncIterator[None]:
        """Have users while this lasts; their last answers are waited for."""
        pipe = asyncio.subprocess.PIPE
        argv = (sys.executable, "-I", "-S", str(FILES / "users.py"), str(self._ports["PRODUCTION"]), str(RATE))
        self._users = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, limit=1 << 26)
        began = time.monotonic()
        self._call.say(f"\nUsers come: {RATE} requests a second, half of them on new connections.")
        yield
        assert self._users.stdin is not None
        self._users.stdin.write_eof()
        await self._read(time.monotonic() - began)
        await self._users.wait()

    async def so_far(self) -> str:
        """Say what came of the requests until now."""
        assert self._users is not None and self._users.stdin is not None
        self._users.stdin.write(b"look\n")
        await self._read(0.0)
        return f"{self._counts.requests:,} requests, {len(self._counts.failures)} failed."

    async def _read(self, seconds: float) -> None:
        assert self._users is not None and self._users.stdout is not None
        line = await self._users.stdout.readline()
        if not line:
            raise DemoError("the users' program has ended by itself")
        read = json.loads(line)
        failures = [(at, side, status) for at, side, status in read["failures"]]
        self._counts = _Counts(read["answered"], read["last"], failures, seconds)

    # --- telling

    async def report(self, run: str, *, incident: bool) -> None:
        """Show a report, and leave it beside the project."""
        text = await self.app.report(run, incident=incident)
        (self.place / ("incident.md" if incident else "deployment.md")).write_text(text)
        self._call.say(f"\n$ interlock report {run}{' --incident' if incident else ''}\n{text.rstrip()}")

    def close(self, good: View, bad: View) -> Exit:
        """Say what came of it in numbers, and whether that is what was promised."""
        from interlock.core.account import Account

        last = bad.current
        account = Account.of(last, bad.entries[last.id], bad.checkpoints.get(last.id))
        wrong = _broken_promises(self._counts, good, bad)
        self._call.say("\n" + "\n".join(_summary(self._counts, account, time.monotonic() - self._since)))
        for what in wrong:
            self._call.warn(f"error: {what}")
        return Exit.ERROR if wrong else Exit.OK

    async def clear(self) -> None:
        """Stop all that was started, however far it got."""
        for process in (self._command, self._users):
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        try:
            await self.app.down()
        finally:
            await self._kill_rest()
            shutil.rmtree(self.app.state.runtime, ignore_errors=True)

    async def _kill_rest(self) -> None:
        """Kill what is left when the keeper could not stop it: nothing of a demo may stay."""
        from interlock.adapters.host.local import LocalHost

        host = LocalHost()
        for process in await host.find(self.app.state.label):
            await host.signal(process, signal.SIGKILL, group=True)
            await host.gone(process, timedelta(seconds=5))


class DemoError(Exception):
    """The demo could not go on; the message says what was expected and what came."""


@asynccontextmanager
async def _stage(call: Call, keep: str | None) -> AsyncIterator[_Stage]:
    from interlock.app.state import StateDirectory
    from interlock.app.verbs import App

    place = _new_directory(keep)
    stage = _Stage(call, place, App(StateDirectory(place / "state")))
    try:
        await stage.build()
        yield stage
    finally:
        await stage.clear()
        if keep is None:
            _remove(place)
        call.say(f"\nEverything is stopped. {f'The records are in {place}' if keep else f'{place} is removed'}.")


def _new_directory(keep: str | None) -> Path:
    if keep is None:
        return Path(tempfile.mkdtemp(prefix="interlock-demo-"))
    place = Path(keep).expanduser().absolute()
    place.mkdir(parents=True)
    return place


def _remove(place: Path) -> None:
    """Remove a directory; packed artefacts are read-only, and so are their directories."""
    for directory, _, _ in os.walk(place):
        Path(directory).chmod(0o700)
    shutil.rmtree(place)


def _broken_promises(counts: _Counts, good: View, bad: View) -> list[str]:
    from interlock.core.phase import Phase

    wrong = [f"{len(counts.by_moving)} requests were lost by the moving: {_kinds(counts.by_moving)}"]
    wrong = wrong if counts.by_moving else []
    wrong += [
        f"a step of {good.plan.version} went on unproven: {said}" for one in good.rollouts for said in one.unproven
    ]
    if bad.current.phase is not Phase.ROLLED_BACK or not bad.current.quarantine:
        wrong.append(f"{bad.plan.version} was not taken back by the judge: it is {bad.current.phase.value}")
    if counts.requests < LEAST_RATE * counts.seconds:
        wrong.append(
            f"only {counts.requests / counts.seconds:.0f} requests a second came, of {RATE}: too slow a machine"
        )
    return wrong


def _summary(counts: _Counts, account: Account, seconds: float) -> list[str]:
    lost, own = counts.by_moving, counts.by_release
    rate = counts.requests / counts.seconds
    answered = ", ".join(f"{version} {number:,}" for version, number in sorted(counts.answered.items()))
    return [
        f"Requests sent       {counts.requests:,} in {counts.seconds:.0f} s, {rate:.0f} a second",
        f"Answered well       {answered}",
        f"Lost by the moving  {len(lost)}{f': {_kinds(lost)}' if lost else ''}",
        f"Failed by v3        {len(own)}, {100 * len(own) / max(1, counts.requests):.2f} % of all, each answered by v3",
        *_times(counts, account),
        f"The whole demo      {seconds:.0f} s",
    ]


def _times(counts: _Counts, account: Account) -> list[str]:
    """Say how long after v3's first bad answer what came: times of users and of records are of one clock."""
    turned, zero = account.turned, account.moved(back=True)
    if turned is None or not zero or not counts.by_release:
        return ["From the first bad answer to the verdict: not measured"]
    first = datetime.fromtimestamp(counts.by_release[0][0], turned.at.tzinfo)
    last = datetime.fromtimestamp(counts.last["v3"], turned.at.tzinfo)
    return [
        f"First bad answer    {_seconds(turned.at - first)} before the verdict",
        f"Weight 0, observed  {_seconds(zero[0].at - turned.at)} after the verdict",
        f"v3's last answer    {_relative(last - turned.at)} the verdict",
    ]


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.2f} s"


def _relative(duration: timedelta) -> str:
    return f"{_seconds(abs(duration))} {'before' if duration < timedelta(0) else 'after'}"


def _kinds(failures: list[tuple[float, str, str]]) -> str:
    kinds = sorted({(side or "the proxy", status) for _, side, status in failures})
    return ", ".join(f"{status} by {side}" for side, status in kinds)
