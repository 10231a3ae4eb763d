"""What can an agent do here? The verbs of every surface, within what the file leaves to it, and never as a person.

What only a person can do is answered with the command that they type. The rules are kept again where they are carried
out: see `core.agents`, which the engine asks.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.adapters.clock import SystemClock
from interlock.adapters.store.sqlite import SQLite
from interlock.app import plans
from interlock.app.back import Way, way_back
from interlock.app.budget import Budget
from interlock.app.calls import Calls
from interlock.app.glance import Glance
from interlock.app.state import StateDirectory
from interlock.app.verbs import App, Blocked
from interlock.app.view import View
from interlock.core.agents import AGENTS, Agent, Limits, Verb, is_agent, order_refused
from interlock.core.events import Order, OrderKind
from interlock.core.flag import OFF
from interlock.core.phase import Phase
from interlock.core.plan import Plan
from interlock.core.rollout import Rollout
from interlock.core.steps import GateName, Until, Watch

if TYPE_CHECKING:  # read when the file is first asked for: a server must be there at once
    from interlock.config import File
    from interlock.core.image import BuildResult
    from interlock.core.toggle import Toggled

LOWERS_RISK = frozenset({Verb.ABORT, Verb.ROLLBACK, Verb.PAUSE})
"""What is done also where it cannot be known what is left to agents by now."""


class NeedsPerson(Exception):
    """Only a person can do it: `command` is what they type."""

    def __init__(self, why: str, command: str) -> None:
        self.command = command
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that was started: `again` when it had been before, by the same key; `run` is "" where nothing was done."""

    plan: Plan
    run: str
    again: bool = False


@dataclass(frozen=True, slots=True)
class Went:
    """How it is gone back: `turned` is what was under way and turns round, `run` the one that brings a release back."""

    way: Way
    turned: str = ""
    run: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """An image that is to be built; `context` is a directory seen from the project's."""

    image: str
    tag: str = ""
    context: str = "."
    dockerfile: str = ""
    build_args: Mapping[str, str] = field(default_factory=dict)
    platforms: Sequence[str] = ()
    push: bool = True


class Project:
    """One project as agents find it: its state directory, its file, and what the file left to them at the start.

    A file that leaves them something else by now, or holds them less, is a reason to do nothing: whoever may change
    it may be the agent. What holds them is `app.held`.
    """

    def __init__(self, state: StateDirectory, path: Callable[[], Path]) -> None:
        self.state, self._path = state, path
        self._read: tuple[object, File] | None = None
        self._left: Limits | None = None
        self._held: dict[str, object] = {}
        self._began: bytes | None = None
        with contextlib.suppress(Exception):  # where there is no file now, nothing is left to agents until there is
            self._began = path().read_bytes()

    @cached_property
    def store(self) -> SQLite:
        """The records, to be written too."""
        self.state.make()
        return SQLite(self.state.database)

    @cached_property
    def calls(self) -> Calls:
        """The record of what agents ask for."""
        return Calls(self.store)

    @cached_property
    def glance(self) -> Glance:
        """How runs stand."""
        return Glance(self.state)

    @cached_property
    def budget(self) -> Budget:
        """What they may spend."""
        return Budget(self.state, self.store)

    @property
    def file(self) -> File:
        """The file as it is now; raises FileError with everything that is wrong in it."""
        from interlock.config import load  # imported late: to look needs no file, and a server must be there at once

        path = self._path()
        with contextlib.suppress(OSError):
            seen = (path, path.stat().st_mtime_ns, path.stat().st_size)
            if self._read is not None and self._read[0] == seen:
                return self._read[1]
            self._read = (seen, load(path))
            return self._read[1]
        return load(path)

    @property
    def limits(self) -> Limits:
        """What is left to agents; raises Blocked when that, or what holds them, is not as when the server began."""
        from interlock.app.held import held, moved

        file, left = self.file, self._beginning()
        if changed := moved(self._held, held(file)):
            raise Blocked(
                f"{', '.join(changed)} in {file.path.name} was changed since this server began, so nothing is changed "
                "for agents until a person has looked at it and started the server anew"
            )
        return left

    @property
    def known(self) -> Limits:
        """The same for what lowers risk: a file that is broken, or was changed, is no reason not to go back."""
        try:
            return self.limits
        except Exception:
            return self._left or Limits()

    def _beginning(self) -> Limits:
        """Return what the file left to agents when the server began, whatever it says by now; note what held them."""
        from interlock.app.held import held
        from interlock.config.document import FileError, parse
        from interlock.config.load import understand

        if self._left is None:
            path = self._path()
            if self._began is None:
                raise Blocked(f"there was no {path.name} when this server began: have a person look and start it anew")
            try:
                file = understand(parse(self._began.decode("utf-8-sig"), path.name), path)
            except (FileError, UnicodeDecodeError) as error:
                raise Blocked(
                    f"{path.name} could not be read when this server began, so it is not known what it leaves to "
                    "agents: have a person look and start it anew"
                ) from error
            self._held, self._left = held(file), file.agents
        return self._left

    async def close(self) -> None:
        """Write what waits, and let go of the records."""
        if "calls" in self.__dict__:
            await self.calls.close()
        if "store" in self.__dict__:
            self.store.close()
        if "glance" in self.__dict__:
            self.glance.close()


class Desk:
    """The verbs for one agent."""

    def __init__(self, project: Project, agent: Agent) -> None:
        self.project, self.agent = project, agent
        self.app = App(project.state, AGENTS, str(agent))
        self._clock = SystemClock()

    # --- starting

    async def plan(self, version: str, until: str = "") -> tuple[Plan, bool]:
        """Plan a version up to an environment, the last that is left to agents when none is named; keep the plan.

        Also return whether all of it runs already. Raises NeedsPerson for an environment that is a person's.
        """
        from interlock.app.planner import AlreadyRunning, NothingYet, Planner

        file = self.project.file
        if not version.isprintable():
            raise Blocked(
                "expected a git ref, a digest or a directory of the project as version, found signs of control"
            )
        wanted = self._up_to(file, version, until)
        self._inside(file, version)
        if file.image is not None and ":" not in version and self._may(Verb.BUILD).dry_run:
            raise Blocked("in a dry run no image is built: plan one that is there, by its tag or digest")
        first = file.production.name not in wanted
        try:
            found = await Planner(self.project.state, file).plan(version, first=first)
        except NothingYet as nothing:
            said = str(nothing).partition(" If that is meant")[0]
            raise NeedsPerson(f"{said} A person says that it is meant", f"interlock deploy {version} --first") from None
        whole = found.plan if isinstance(found, AlreadyRunning) else found
        stages = tuple(stage for stage in whole.stages if stage.environment in wanted)
        plan = replace(whole, stages=stages, by=str(self.agent))
        if isinstance(found, AlreadyRunning) or not stages:
            return plan, True
        plans.keep(self.project.state.plans, plan)
        return plan, False

    async def start(self, hash: str, key: str = "") -> Begun:
        """Start a plan that was kept; with the same key (by default the plan's hash) always the same run."""
        from interlock.app.hooks import ask_for

        limits, plan = self._may(Verb.START), plans.kept(self.project.state.plans, hash)
        command = f"interlock deploy --plan {self.project.state.plans / hash}.json"
        self._left(limits, [stage.environment for stage in plan.stages], command)
        key = f"start {key or hash}"
        begun = await self.project.store.heard(key)
        if begun is not None and begun.plan == plan.hash:
            return Begun(plan, begun.run, again=True)
        if limits.dry_run:
            return Begun(plan, "")
        async with self._spent(Verb.START, limits.starts_per_hour, plan.hash):
            asked = replace(plan, consents=await ask_for(self.project.state, plan))
            return Begun(plan, await self.app.start(asked, key=key))

    async def build(self, wanted: Build, told: Callable[[str], None]) -> BuildResult | None:
        """Build and push an image of the project; None in a dry run. Raises Blocked for what is not its own."""
        from interlock.app.build import Builds

        limits, file = self._may(Verb.BUILD), self.project.file
        self._image(file, wanted.image, limits)
        if not (wanted.context.isprintable() and wanted.dockerfile.isprintable()):
            raise Blocked("expected paths in the project as context and dockerfile, found signs of control")
        place = (file.path.parent / wanted.context).resolve()
        if not place.is_relative_to(file.path.parent.resolve()):
            raise Blocked(f"{wanted.context} is outside of {file.path.parent}: an agent builds what is in the project")
        if limits.dry_run:
            return None
        builds = Builds(self.project.state, file.image, told=told, channel=AGENTS, by=str(self.agent))
        return await builds.docker_build_push(
            wanted.image,
            wanted.tag or None,
            str(place),
            wanted.dockerfile or None,
            wanted.build_args,
            wanted.platforms or None,
            wanted.push,
        )

    async def flag(self, name: str, action: str, environment: str, percentage: int | None) -> Toggled | None:
        """Move a feature flag; None in a dry run.

        To turn one off is left to agents in every environment, as it leads to safety, and costs nothing of what may be
        changed in an hour.
        """
        from interlock.app.flags import known, toggle_feature_flag
        from interlock.core.toggle import sane, understood

        limits, file = self._may(Verb.FLAG), self.project.file
        _, exposure = understood(action, percentage)
        name, _ = sane(name), known(file, environment)
        if exposure != OFF:
            to = "--on" if percentage is None else f"--percentage {percentage}"
            self._left(limits, [environment], f"interlock flag set {name} --environment {environment} {to}")
        if limits.dry_run:
            return None
        if exposure == OFF:
            return await toggle_feature_flag(self.app, file, name, action, environment, percentage)
        async with self._spent(Verb.FLAG, limits.flag_changes_per_hour, name):
            return await toggle_feature_flag(self.app, file, name, action, environment, percentage)

    # --- moving

    async def order(self, kind: OrderKind, run: str | None, reason: str) -> tuple[View, Rollout]:
        """Give an order; return the run as it was, and its rollout after the order: the same one in a dry run."""
        limits = self._may(Verb(kind.value))
        view = await self.app.view(run)
        self._no_persons(kind, view)
        if limits.dry_run:
            return view, view.current
        seen = view.current if kind is OrderKind.PROMOTE else None
        return view, await self.app.order(view.run, kind, reason, seen=seen)

    async def rollback(self, version: str | None, reason: str, key: str = "") -> Went:
        """Go back: turn what is under way, or bring a release back that was proven earlier."""
        from interlock.app.flags import flags_first
        from interlock.app.planner import Planner

        limits, project = self._may(Verb.ROLLBACK), self.project
        if key and (begun := await self.project.store.heard(f"rollback {key}")) is not None:
            return Went(Way.PLAN, run=begun.run, version=begun.stage.revision.release.version)
        running = (await self.app.view()).current
        way = way_back(running, version, lambda: project.file.production.name)
        if way in (Way.TURN, Way.ALSO) and not limits.dry_run:
            await self.app.order(running.run, OrderKind.ABORT, reason or "rollback")
        turned = "" if way is Way.PLAN else running.id
        if way is Way.TURN:
            return Went(way, turned)
        plan = await Planner(project.state, project.file).rollback(version)
        if limits.dry_run:
            return Went(way, turned, "", plan.version)
        await flags_first(self.app, project.file)
        named = f"rollback {key}" if key else ""
        run = await self.app.start(plan, supersede=way is Way.FIRST, key=named)
        return Went(way, turned, run, plan.version)

    async def known(self, run: str | None, comment: str) -> tuple[View, str]:
        """Write down that the agent knows of a run; return it, and the command for somebody on call, if one is needed.

        That is no acknowledgement: nobody on call is asked less because an agent knows.
        """
        view = await self.app.view(run)
        rollout, declared = view.current, view.current.stage.conditions.on_call
        said = {"comment": self.app.without_secrets(comment)} if comment else {}
        await self.project.calls.asked(self.agent, "knows", said, rollout.id)
        needed = bool(declared and declared.acknowledge and not rollout.acknowledged and not rollout.over)
        return view, f"interlock acknowledge {view.run} --as NAME" if needed else ""

    # --- what is left

    def _may(self, verb: Verb) -> Limits:
        limits = self.project.known if verb in LOWERS_RISK else self.project.limits
        if verb not in limits.verbs:
            raise Blocked(
                f"to {verb.value} is not left to agents here (`agents.verbs` in interlock.yaml): have a person do it"
            )
        return limits

    def _up_to(self, file: File, version: str, until: str) -> list[str]:
        names, left = [one.name for one in file.environments], self.project.limits.environments
        if until and until not in names:
            raise Blocked(f"there is no environment {until} in {file.path.name}; there are {', '.join(names)}")
        mine = next((at for at, name in enumerate(names) if name not in left), len(names))
        wanted = names[: names.index(until) + 1] if until else names[:mine]
        self._left(self.project.limits, wanted or names, f"interlock deploy {version}")
        return wanted

    def _left(self, limits: Limits, environments: list[str], command: str) -> None:
        if others := [name for name in environments if name not in limits.environments]:
            raise NeedsPerson(
                f"agents may change nothing in {' and '.join(others)} (`agents.environments` in "
                f"{self.project.file.path.name}): a person has to",
                command,
            )

    def _inside(self, file: File, version: str) -> None:
        """Raise Blocked for a directory that is not the project's, and for an image that is not its own."""
        root, place = file.path.parent.resolve(), (file.path.parent / version)
        with contextlib.suppress(OSError, ValueError):
            if place.is_dir() and not place.resolve().is_relative_to(root):
                raise Blocked(f"{version} is outside of {root}: an agent releases what is in the project")
        if file.image is not None and ":" in version and not version.startswith("sha256:"):
            self._image(file, version, Limits())

    def _image(self, file: File, image: str, limits: Limits) -> None:
        from interlock.core.image import Image

        try:
            name = Image.parse(image).name
        except ValueError as error:
            raise Blocked(str(error)) from error
        allowed = [*([file.image.image.name] if file.image else []), *limits.images]
        if name not in allowed:
            raise Blocked(
                f"{name} is not left to agents; they may use {', '.join(allowed) or 'no image'} (`image` and "
                f"`agents.images` in {file.path.name})"
            )

    @contextlib.asynccontextmanager
    async def _spent(self, verb: Verb, most: int, subject: str) -> AsyncIterator[None]:
        async with self.project.budget.spend(verb, most, str(self.agent), subject, self._clock.now()):
            yield

    def _no_persons(self, kind: OrderKind, view: View) -> None:
        """Raise NeedsPerson for what the engine would refuse an agent, and for the end of a person's pause."""
        rollout = view.current
        if kind is OrderKind.PROMOTE and waits_for_approval(rollout):
            raise NeedsPerson("it waits for a person's approval, and an agent's word is none", approval(rollout))
        order = Order(self._clock.now(), kind, str(self.agent), "", channel=AGENTS)
        if not rollout.over and (why := order_refused(order, rollout)):
            raise NeedsPerson(why, f"interlock {kind.value} {view.run} -m REASON")
        if kind is OrderKind.RESUME and rollout.phase is Phase.PAUSED and not _paused_by_agent(view):
            raise NeedsPerson("a person has paused it, and ends the pause", f"interlock resume {view.run}")


def waits_for_approval(rollout: Rollout) -> bool:
    """Whether a person is waited for."""
    step = rollout.next_step
    return isinstance(step, Watch) and step.until is Until.APPROVED and not rollout.over


def waits_for_on_call(rollout: Rollout) -> bool:
    """Whether somebody on call is waited for, who has to say that they know of it."""
    step, declared = rollout.next_step, rollout.stage.conditions.on_call
    asked = getattr(step, "name", None) is GateName.ON_CALL and not rollout.over
    return bool(asked and declared and declared.acknowledge and rollout.acknowledged is None)


def approval(rollout: Rollout) -> str:
    """Return the command by which a person approves."""
    return f"interlock approve {rollout.run}" + (" --sign KEY" if rollout.stage.conditions.approvals else "")


def _paused_by_agent(view: View) -> bool:
    orders = [one.data for one in view.entries.get(view.current.id, ()) if one.data.get("order") == "pause"]
    return bool(orders) and orders[-1].get("channel") == AGENTS and is_agent(str(orders[-1].get("by", "")))
