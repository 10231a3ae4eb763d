"""How is a version released, and followed to its end?"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import duration, output

if TYPE_CHECKING:
    from interlock.app.planner import Excuse
    from interlock.core.plan import Plan


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "version", metavar="VERSION", nargs="?", help="a git ref, a directory (.), a digest, or an image"
    )
    parser.add_argument("--plan", metavar="FILE", help="carry out exactly this plan, if the world is still the same")
    parser.add_argument("--first", action="store_true", help="yes, production has nothing to go back to yet")
    parser.add_argument("--restart", action="store_true", help="also when exactly this release runs already")
    excusing(parser)
    starting(parser)
    parser.set_defaults(usage=parser.error)


def starting(parser: argparse.ArgumentParser) -> None:
    """Add what every command takes that starts a run."""
    parser.add_argument("--supersede", action="store_true", help="first take back the rollout that is under way")
    parser.add_argument("--detach", action="store_true", help="do not wait for the end")
    parser.add_argument("--timeout", type=duration, metavar="2h", help="wait no longer; the run goes on (status 5)")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.app.hooks import ask_before_build, ask_for
    from interlock.app.planner import AlreadyRunning, Planner
    from interlock.app.plans import read
    from interlock.surfaces.cli.plan import already

    options = call.options
    if (options.version is None) == (options.plan is None):
        options.usage("expected either a VERSION or --plan FILE")
    if options.plan is not None:
        made = read(Path(options.plan))
        return await carry_out(call, replace(made, consents=await ask_for(call.state, made)))
    planner, excused = Planner(call.state, call.file, call.warn), excuse(call)
    consents = await ask_before_build(call.state, call.file, options.version)
    plan = await planner.plan(options.version, first=options.first, restart=options.restart, excuse=excused)
    if isinstance(plan, AlreadyRunning):
        brought = await call.app.bring_back(plan.plan)
        already(call, plan)
        if brought:
            call.say(f"it was stopped in {' and '.join(brought)}, and serves there again")
        return Exit.OK
    return await carry_out(call, replace(plan, consents=consents))


def excusing(parser: argparse.ArgumentParser) -> None:
    """Add what a person may say for a release that is to pass a closed gate."""
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="GATE",
        help="pass this gate though it is closed: window or tests",
    )
    parser.add_argument(
        "--fixes", default="", metavar="INCIDENT", help="this release ends this incident, on-call agreeing"
    )
    parser.add_argument(
        "-m", "--reason", default="", metavar="TEXT", help="why, for the record; needed with --override"
    )


def excuse(call: Call) -> Excuse:
    """Return what was said for the release; ends the command when it cannot be understood."""
    from interlock.adapters.clock import SystemClock
    from interlock.app.planner import Excuse
    from interlock.app.verbs import who
    from interlock.core.conditions import OVERRIDABLE, Override

    options = call.options
    known = {"tests" if gate.value == "tests-passed" else gate.value: gate for gate in OVERRIDABLE}
    for name in options.override:
        if name not in known:
            options.usage(f"nobody may override {name}; with a reason a person may override {', '.join(sorted(known))}")
    if options.override and not options.reason.strip():
        options.usage("expected a reason with --override (-m TEXT): it is what the next person reads, in red")
    now, by = SystemClock().now(), f"{who()} (unproven)"
    words = tuple(Override(known[name], by, options.reason.strip(), now) for name in options.override)
    return Excuse(words, options.fixes)


async def carry_out(call: Call, plan: Plan) -> Exit:
    """Give a plan to the keeper and follow it to its end."""
    from interlock.app.plans import summary
    from interlock.surfaces.cli.follow import follow, goes_on
    from interlock.surfaces.cli.job import summarise

    options = call.options
    call.say(f"{plan.service} {plan.version}, plan {plan.hash}. {summary(plan)}")
    call.goes_on = "interrupted while the keeper was asked to start: see `interlock get` whether it has"
    run = await call.app.start(plan, supersede=options.supersede)
    call.goes_on = goes_on(run)
    if call.json:
        call.document({"type": "started", "run": run, "plan": plan.hash, "version": plan.version}, line=True)
    if options.detach:
        call.say(f"started {run}. Watch it: interlock get {run} -w; wait for it: interlock status {run} --watch")
        return Exit.OK
    call.say(f"started {run}")
    status = await follow(call, run, options.timeout, drive=True)
    if status is not Exit.TIMED_OUT:
        await summarise(call, run)
    return status
