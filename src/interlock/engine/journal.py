"""What does the journal say of an event?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from interlock.core.events import Done, Event, Failed, Held, Observed, Order, OrderKind, TurnedOff, Unsafe
from interlock.core.flag import Captured
from interlock.core.phase import Phase
from interlock.core.record import plain
from interlock.core.rollout import Rollout
from interlock.ports.store import Entry


def entries(before: Rollout, event: Event, after: Rollout, data: Mapping[str, Any]) -> tuple[Entry, ...]:
    """Return the journal's lines for a change; none for what is not worth one (time observed, a wait that goes on)."""
    line = _line(before, event, after)
    said = {"index": before.index, **_who(event), **data}
    lines = [] if line is None else [Entry(event.at, line[0], line[1], said)]
    if isinstance(event, Done):
        lines += [Entry(event.at, "flag", _flag(one), {"index": before.index, **flag_data(one)}) for one in event.flags]
    if isinstance(event, TurnedOff) and after.flags != before.flags:
        lines.append(Entry(event.at, "kept-off", _kept_off(event), {"flag": event.flag.name, "by": event.by}))
    if after.retracting and not before.retracting:
        text = f"the flags go back, the code stays: {after.retracted}"
        lines.append(Entry(event.at, "retracted", text, {"step": before.index}))
    if after.going_back and not before.going_back:
        lines.append(Entry(event.at, "turned", f"going back: {after.reason}", {"step": before.index}))
    if after.phase is not before.phase and after.over:
        lines.append(Entry(event.at, "ended", _ending(after), {"phase": after.phase.value}))
    return tuple(lines)


def flag_data(one: Captured) -> dict[str, Any]:
    """Return what the journal holds of a flag: how it stood before the rollout, and how it stands."""
    off_by = {"off_by": one.off_by} if one.off_by else {}
    return {"flag": one.flag.name, "before": plain(one.before), "now": plain(one.now), **off_by}


def _flag(one: Captured) -> str:
    if one.now.native == one.before.native:
        return f"{one.flag}: {one.now}"
    left = f"; left off, as {one.off_by} turned it off" if one.off_by and not one.now.exposure else ""
    return f"{one.flag}: {one.now} (before the rollout: {one.before}{left})"


def _kept_off(event: TurnedOff) -> str:
    if not event.by:
        return f"flag {event.flag} is on again by hand: it may stay so"
    return f"flag {event.flag} was turned off by {event.by}: nothing automatic turns it on again"


def resolved(at: datetime, cause: str, by: str, channel: str) -> Entry:
    """Return the line by which a person writes the cause of an incident: only then is it resolved."""
    return Entry(at, "resolved", f"cause written by {by}: {cause}", {"cause": cause, "by": by, "channel": channel})


def _who(event: Event) -> dict[str, str]:
    """Return who wanted it and by which surface, where somebody did: the audit says so of each line."""
    if isinstance(event, Order):
        return {"order": event.kind.value, "by": event.by, "channel": event.channel}
    return {}


def _line(before: Rollout, event: Event, after: Rollout) -> tuple[str, str] | None:
    match event:
        case Done():
            return "done", event.note
        case Failed():
            return "failed", event.reason
        case Unsafe() if not before.going_back and not (before.retracting and after.retracting):
            return "unsafe", event.reason
        case Held() if before.phase is not after.phase:
            return "held", event.reason
        case Order(kind=OrderKind.APPROVE):
            return "approved", _approval(event, after)
        case Order(kind=OrderKind.ACKNOWLEDGE):
            why = f": {event.reason}" if event.reason else ""
            return "order", f"acknowledged by {event.by}, on call{why}"
        case Order(kind=kind):
            return "order", f"{_PAST[kind]} by {event.by}" + (f": {event.reason}" if event.reason else "")
        case Unsafe() | Held() | Observed() | TurnedOff():
            return None


def _approval(order: Order, after: Rollout) -> str:
    who = f"{order.by}, proven by a signature" if order.word else order.by
    on_call = ", on call" if order.word and order.word.on_call else ""
    policy = after.stage.conditions.approvals
    count = f" ({policy.needed} needed)" if policy and policy.needed > 1 else ""
    return f"approved by {who}{on_call}{count}" + (f": {order.reason}" if order.reason else "")


def _ending(rollout: Rollout) -> str:
    release = rollout.stage.revision.release
    match rollout.phase:
        case Phase.SUCCEEDED if rollout.stage.flag_alone:
            stand = ", ".join(f"flag {one.flag} is {one.now}" for one in rollout.flags)
            return f"{stand} in {rollout.stage.environment}"
        case Phase.SUCCEEDED:
            without = f"; flag rolled back: {rollout.retracted}" if rollout.retracted else ""
            return f"{release.version} runs in {rollout.stage.environment}{without}"
        case Phase.FAILED:
            return f"failed: {rollout.reason}"
    if rollout.stage.flag_alone:
        stand = ", ".join(map(_again, rollout.flags)) or "no flag was moved"
        return f"{rollout.phase.value}, {stand}: {rollout.reason}"
    back = rollout.stage.replaces
    to = f"{back.release.version} ({back.name})" if back else "nothing: 503"
    return f"{rollout.phase.value} to {to}: {rollout.reason}"


def _again(one: Captured) -> str:
    if one.off_by and one.now.native != one.before.native:
        return f"flag {one.flag} is {one.now}, as {one.off_by} turned it off"
    return f"flag {one.flag} is {one.now} again"


_PAST = {
    OrderKind.PAUSE: "paused",
    OrderKind.RESUME: "resumed",
    OrderKind.APPROVE: "approved",
    OrderKind.PROMOTE: "promoted",
    OrderKind.ABORT: "aborted",
    OrderKind.SUPERSEDE: "superseded",
    OrderKind.ACKNOWLEDGE: "acknowledged",
}
