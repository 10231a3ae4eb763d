"""How does one run look, all of it at a glance?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from textwrap import wrap
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from interlock.app.view import View
from interlock.app.waits import Waits, waits
from interlock.app.words import ICONS, STYLES, brief, moment, number, percent
from interlock.core.criteria import Criteria
from interlock.core.phase import Phase
from interlock.core.release import Revision
from interlock.core.rollout import Rollout
from interlock.core.steps import Load, SetWeight, Step, Until, Watch, spell
from interlock.surfaces.cli.show import evidence
from interlock.surfaces.cli.show.trend import LABEL, trend

LABELS = 13
"""Columns of the header's labels."""

FIRM = "\u00a0"
"""A blank at which no line is broken; it is written as a plain one."""

BAR = 20
RULE = 12
"""Columns for the name of a rule; after a longer one the odds have a line of their own."""

NEAR = 2
"""How many steps on either side of the present one stay visible when the others are folded."""


def picture(view: View, now: datetime, width: int, *, folded: bool = False) -> RenderableType:
    """Draw a run in `width` columns: a header about where it stands, then a tree of environments.

    `folded` leaves out the steps far from the present one.
    """
    return Group(*header(view, now, width), Text(), *_trees(view, now, width, folded=folded))


def header(view: View, now: datetime, width: int) -> Iterator[Text]:
    """Yield the lines that say where the run stands, what it waits for and who can move it."""
    rollout, stage = view.current, view.current.stage
    wait = waits(rollout, now, view.lasted(rollout))
    yield from _line("Run", f"{view.run}: {view.plan.service} {view.plan.version}, plan {view.plan.hash}", width)
    yield from _line("Status", _status(rollout, now), width, STYLES[rollout.phase])
    if view.not_begun or rollout.reason:
        yield from _line("Message", view.not_begun or rollout.reason, width)
    for said in _let_pass(view):
        yield from _line("Break-glass", said, width, "bold red")
    trouble = _live(view, rollout).get("trouble")
    if trouble:
        yield from _line("Trouble", trouble, width, "red")
    if rollout.id in view.stuck:
        yield from _line("Stuck", view.stuck[rollout.id], width, "bold red")
    if not rollout.over and not view.keeper:
        text = "no keeper answers, the rollout stands still; to start one: interlock doctor --start"
        yield from _line("Keeper", text, width, "bold red")
    yield from _waiting(wait, now, width)
    if wait.orders:
        verbs = " | ".join(f"interlock {order} {_subject(view, order)}".replace(" ", FIRM) for order in wait.orders)
        yield from _line("Move it", f"{verbs} ({_who(rollout, wait.orders)})", width)
    place = len(view.rollouts)
    where = f"{stage.environment} ({place} of {len(view.plan.stages)}), {stage.strategy.value}"
    yield from _line("Environment", where, width)
    for said in _flags(view, rollout):
        yield from _line("  Flag", said, width, "yellow" if rollout.retracted else "")
    if not rollout.over:
        yield from _line("  Step", _step_of(rollout), width)
    yield from _line("  Weight", _weight(view, rollout), width)
    yield from _line("  Users", _users(view, rollout), width)
    if (sent := evidence.sent(_load(view, rollout))) is not None:
        yield from _line("  Load", sent, width)
    if (bake := _baked(rollout)) is not None:
        yield from _line("  Bake", bake, width)
    for said in (said for one in view.rollouts for said in one.unproven):
        yield from _line("Unproven", said, width, "yellow")
    for said in (said for one in view.rollouts for said in one.synthetic):
        yield from _line("Synthetic", said, width, "yellow")


def _let_pass(view: View) -> Iterator[str]:
    """Yield what a person lets this run pass although a gate is closed."""
    for stage in view.plan.stages:
        for word in stage.conditions.overrides:
            yield f"gate {word.gate.value} of {stage.environment} overridden by {word.by}: {word.reason}"


def _who(rollout: Rollout, orders: tuple[str, ...]) -> str:
    signed = "approve" in orders and rollout.stage.conditions.approvals is not None
    return "approve: with --sign KEY; any user of this account" if signed else "any user of this account"


def _status(rollout: Rollout, now: datetime) -> str:
    icon, since = ICONS[rollout.phase], moment(rollout.since, now)
    if rollout.over:
        return f"{icon} {rollout.phase.value} since {since}, after {brief(rollout.since - rollout.started)}"
    return f"{icon} {rollout.phase.value} since {since} ({brief(now - rollout.since)})"


def _waiting(wait: Waits, now: datetime, width: int) -> Iterator[Text]:
    if not wait.what:
        return
    since = "" if wait.since is None else f", since {moment(wait.since, now)} ({brief(now - wait.since)})"
    yield from _line("Waits for", f"{wait.what}{since}", width)
    if wait.until is not None:
        earliest = f"{moment(wait.earliest, now)} at the earliest; " if wait.earliest else ""
        yield from _line("  until", f"{earliest}{moment(wait.until, now)} at the latest, then it {_verb(wait)}", width)


def _verb(wait: Waits) -> str:
    return wait.then.removeprefix("it ")


def _subject(view: View, order: str) -> str:
    return "VERSION" if order == "rollback" else view.run


def _step_of(rollout: Rollout) -> str:
    way = "of the rollback, " if rollout.going_back else "of the flags' way back, " if rollout.retracting else ""
    return f"{rollout.index + 1}/{len(rollout.way)} {way}{rollout.next_step}"


def _flags(view: View, rollout: Rollout) -> Iterator[str]:
    """Yield how each flag stands that was captured, and how it stood before."""
    if not rollout.flags:
        return
    from interlock.core.account import Account  # imported late: few rollouts have flags, and to look must be quick
    from interlock.core.flag_story import stories

    for one in stories(Account.of(rollout, view.entries.get(rollout.id, ()), None)):
        yield f"{one} ({'as before' if one.now == one.before else f'before: {one.before}'})"
    if rollout.retracted and not rollout.going_back:
        yield f"rolled back alone, the code stays: {rollout.retracted}"


def _weight(view: View, rollout: Rollout) -> str:
    if rollout.phase is Phase.SUCCEEDED:
        return f"all of the traffic on {rollout.stage.revision.name}"
    wanted = f"{rollout.weight} wanted"
    route = _live(view, rollout).get("route")
    if route is not None:
        has = route["weight"]["points"] / 100 if route["canary"] == rollout.stage.revision.name else 0.0
        if route["stable"] == rollout.stage.revision.name:
            has = 100.0
        wanted += f", {has:g} % in force"
    seen = _observed(view, rollout)
    return wanted + (f"; {seen}" if seen else "")


def _observed(view: View, rollout: Rollout) -> str:
    """Return how the last weight was observed, in the journal's words."""
    for entry in reversed(view.entries.get(rollout.id, ())):
        if entry.kind == "done" and "observed" in entry.text and entry.text.startswith(("weight ", "traffic back")):
            return entry.text.partition(": ")[2]
    return ""


def _users(view: View, rollout: Rollout) -> str:
    """Say what share of the users' requests the new revision has at this weight, or how many it had over all."""
    share = _live(view, rollout).get("share") or {"canary": 0, "stable": 0}
    if not rollout.going_back and (asked := share["canary"] + share["stable"]):
        part = percent(share["canary"] / asked)
        return f"{part} of {number(asked)} requests on the new revision since it has this weight"
    tally = _tally(view, rollout)
    if tally is None:
        return "not known"
    new, old = tally["canary"]["completed"], tally["stable"]["completed"]
    bad = f", {number(tally['canary']['failed'])} failed" if new else ""
    return f"{number(new)} requests on the new revision{bad}; {number(old)} on the old one beside it"


def _baked(rollout: Rollout) -> str | None:
    step = rollout.next_step
    if not isinstance(step, Watch) or step.until is Until.APPROVED or not step.duration:
        return None
    if step.until is Until.RECOVERED:
        return f"until it was well for {spell(step.duration)} on end"
    done = min(1.0, rollout.observed / step.duration)
    bar = "█" * int(BAR * done)
    left = brief(max(timedelta(0), step.duration - rollout.observed))
    return f"{bar:░<{BAR}} {brief(rollout.observed)} of {spell(step.duration)} observed, {left} left"


def _trees(view: View, now: datetime, width: int, *, folded: bool) -> Iterator[Tree]:
    tree = Tree(Text(view.run, style="bold"), guide_style="dim")
    begun = {rollout.stage.environment: rollout for rollout in view.rollouts}
    for stage in view.plan.stages:
        rollout = begun.get(stage.environment)
        if rollout is None:
            tree.add(Text(f"· {stage.environment}: {stage.strategy.value}, {len(stage.steps)} steps, not begun", "dim"))
        elif rollout is view.current:
            _environment(tree.add(_title(rollout, now)), view, rollout, now, width, folded=folded)
        else:
            tree.add(_title(rollout, now))
    yield tree


def _title(rollout: Rollout, now: datetime) -> Text:
    took = (rollout.since if rollout.over else now) - rollout.started
    text = f"{ICONS[rollout.phase]} {rollout.stage.environment}: {rollout.phase.value}, {brief(took)}"
    return Text(text, STYLES[rollout.phase])


def _environment(node: Tree, view: View, rollout: Rollout, now: datetime, width: int, *, folded: bool) -> None:
    """Hang up what there is to say of an environment: what changes most first, for a low window shows the top only."""
    stage = rollout.stage
    sides = (("canary", stage.revision), ("stable", stage.replaces))
    for side, revision in sides if not stage.flag_alone else (("stable", stage.replaces),):
        if revision is not None:
            node.add(_revision(view, rollout, side, revision))
    _evidence(node, view, rollout)
    lines = _trend(view, rollout, width)
    if lines:
        node.add(_unwrapped("\n".join(("trend", *lines))))
    if rollout.retracted_at is not None:
        enough = "was not enough" if rollout.going_back else "the code stays"
        back = node.add(Text(f"flags back, {enough}", "yellow"))
        for index, step in enumerate(stage.retract):
            back.add(_retract_step(rollout, step, index, now))
    if rollout.going_back:
        back = node.add(Text("rollback", "red"))
        for line in _way_back(rollout, now):
            back.add(line)
    steps = node.add(Text("steps"))
    for line in _steps(rollout, now, folded=folded):
        steps.add(line)


def _retract_step(rollout: Rollout, step: Step, index: int, now: datetime) -> Text:
    """Draw a step of the flags' way back; once the code goes back too, how far that had come tells nothing."""
    text = f"{index + 1} {step}"
    if rollout.going_back or index > rollout.index:
        return _unwrapped(f"· {text}", "dim")
    if rollout.over or index < rollout.index:
        return _unwrapped(f"✔ {text}", "green")
    return _unwrapped(f"{ICONS[rollout.phase]} {text}, for {brief(now - rollout.step_since)}", STYLES[rollout.phase])


def _left_at(rollout: Rollout) -> int:
    """Return the step at which the way forward was left, or which it has reached."""
    if rollout.retracted_at is not None:
        return rollout.retracted_at
    return rollout.turned_at if rollout.turned_at is not None else rollout.index


def _steps(rollout: Rollout, now: datetime, *, folded: bool) -> Iterator[Text]:
    steps = rollout.stage.steps
    at = _left_at(rollout)
    low, high = (max(0, at - NEAR), min(len(steps), at + NEAR + 1)) if folded else (0, len(steps))
    if low > 0:
        yield Text(f"✔ 1 to {low} done", "green")
    for index in range(low, high):
        yield _step(rollout, steps[index], index, at, now)
    if high < len(steps):
        yield Text(f"· {high + 1} to {len(steps)} to come", "dim")


def _step(rollout: Rollout, step: Step, index: int, at: int, now: datetime) -> Text:
    text = f"{index + 1} {step}"
    unproven = any(said.startswith(f"step {index + 1} (") for said in rollout.unproven)
    synthetic = any(said.startswith(f"step {index + 1} (") for said in rollout.synthetic)
    if synthetic:
        return _unwrapped(f"✔ {text}, by synthetic load", "yellow")
    if index < at or (rollout.phase is Phase.SUCCEEDED and rollout.retracted_at is None):
        return _unwrapped(f"⚠ {text}, unproven" if unproven else f"✔ {text}", "yellow" if unproven else "green")
    if index > at:
        return _unwrapped(f"· {text}", "dim")
    if rollout.going_back or rollout.retracted_at is not None:
        return _unwrapped(f"✖ {text}", "red")
    return _unwrapped(f"{ICONS[rollout.phase]} {text}, for {brief(now - rollout.step_since)}", STYLES[rollout.phase])


def _way_back(rollout: Rollout, now: datetime) -> Iterator[Text]:
    done = rollout.phase in (Phase.ROLLED_BACK, Phase.SUPERSEDED)
    for index, step in enumerate(rollout.way_back):
        text = f"{index + 1} {step}"
        if done or index < rollout.index:
            yield _unwrapped(f"✔ {text}", "green")
        elif index > rollout.index:
            yield _unwrapped(f"· {text}", "dim")
        elif rollout.phase is Phase.FAILED:
            yield _unwrapped(f"✖ {text}", "bold red")
        else:
            yield _unwrapped(f"◌ {text}, for {brief(now - rollout.step_since)}", "red")


def _revision(view: View, rollout: Rollout, side: str, revision: Revision) -> Text:
    strength = _live(view, rollout).get("strength", {}).get(revision.name)
    full = revision.release.configuration.instances
    ready = f"{strength['ready']} of {strength['full']} ready" if strength else f"full set {full}"
    share = rollout.weight if side == "canary" or rollout.stage.flag_alone else rollout.weight.rest
    text = f"{side} {revision.name}: {revision.release.version}, {ready}"
    return Text(text + ("" if rollout.over else f", {share} wanted"))


def _evidence(node: Tree, view: View, rollout: Rollout) -> None:
    if rollout.stage.criteria is None:
        node.add(Text("evidence: health and smoke tests; traffic is not judged here", "dim"))
        return
    judgement = _judgement(view, rollout)
    if judgement is None:
        return
    verdict = judgement["verdict"]
    icon = evidence.ICONS[verdict]
    tree = node.add(Text(f"evidence: {icon} {verdict}; bars run from rollback to proof, odds to 1"))
    for finding in judgement["findings"]:
        _finding(tree, finding, rollout.stage.criteria)
    if judgement["missing"]:
        tree.add(Text(judgement["missing"], "yellow"))


def _finding(tree: Tree, finding: Mapping[str, Any], criteria: Criteria) -> None:
    style = {"fail": "red", "pass": "green"}.get(finding["verdict"], "")
    icon = evidence.ICONS[finding["verdict"]]
    rule, weighed = finding["rule"], evidence.weighed(finding, criteria)
    then = " " if len(rule) <= RULE else "\n  "  # in a terminal of 80 columns nothing is cut off
    line = _unwrapped(f"{icon} {rule:<{RULE}} {evidence.bar(finding, criteria)}{then}{weighed}", style)
    counted = evidence.counted(finding)
    tree.add(line.append(f"\n  {counted}", "dim") if counted else line)


def _trend(view: View, rollout: Rollout, width: int) -> list[str]:
    sides = ("canary", "stable") if rollout.stage.replaces else ("canary",)
    guides, figures = 8, 28
    columns = min(60, width - guides - LABEL - figures)
    return trend(_live(view, rollout).get("points", ()), columns, sides)


def _live(view: View, rollout: Rollout) -> Mapping[str, Any]:
    return view.live.get(rollout.id, {})


def _tally(view: View, rollout: Rollout) -> Mapping[str, Any] | None:
    tally: Mapping[str, Any] | None = _live(view, rollout).get("tally") or view.checkpoints.get(rollout.id, {}).get(
        "tally"
    )
    return tally


def _load(view: View, rollout: Rollout) -> Mapping[str, Any] | None:
    kept: Mapping[str, Any] = view.checkpoints.get(rollout.id, {})
    load: Mapping[str, Any] | None = _live(view, rollout).get("load") or kept.get("load")
    return load


def _judgement(view: View, rollout: Rollout) -> Mapping[str, Any] | None:
    """Return what the judge says now, else what it said last; None before a weight, when there is nothing to judge."""
    if not rollout.stage.flag_alone and not any(isinstance(step, (SetWeight, Load)) for step in rollout.reached):
        return None
    now: Mapping[str, Any] | None = _live(view, rollout).get("judgement")
    if now is not None:
        return now
    said = (
        entry.data["judgement"] for entry in reversed(view.entries.get(rollout.id, ())) if "judgement" in entry.data
    )
    return next(said, None)


def _line(label: str, text: str, width: int, style: str = "") -> Iterator[Text]:
    """Lay out one field of the header, broken between words under its own column."""
    firm = text.replace(" %", f"{FIRM}%")
    lines = wrap(firm, max(20, width - LABELS), break_on_hyphens=False) or [""]
    for position, line in enumerate(lines):
        head = f"{label}:" if position == 0 else ""
        heading = (f"{head:<{LABELS}}", "" if label.startswith(" ") else "bold")
        yield Text.assemble(heading, (line.replace(FIRM, " "), style))


def _unwrapped(text: str, style: str = "") -> Text:
    return Text(text, style, no_wrap=True, overflow="ellipsis")
