"""What do we write to people about a piece of news: what happened, why, who can move it, and how?"""

from __future__ import annotations

from datetime import timedelta

from interlock.core.news import Kind, News
from interlock.core.prose import lasting, moment
from interlock.core.steps import Gate, GateName, SetFlag, SetWeight, Watch, spell
from interlock.core.weight import ALL

_LONGEST = 4_000


def title(news: News) -> str:
    """Return one line that says what, of what, where; the same deployment's begin alike."""
    return f"{_what(news)}: {thread_title(news)} in {news.rollout.stage.environment}"


def thread_title(news: News) -> str:
    """Return what a whole deployment is called."""
    release = news.rollout.stage.revision.release
    return f"{release.service} {release.version} ({news.rollout.run})"


def text(news: News, head: str = "") -> str:
    """Return the whole message in plain text; `head` is the audit's last row, published with it."""
    run = news.rollout.run
    lines = [_shortened(_story(news)), "", *_ways(news), *_facts(news)]
    if news.left_out:
        plural = "message" if news.left_out == 1 else "messages"
        lines += [f"{news.left_out} earlier {plural} were left out: nobody could be reached here for a while"]
    lines += [f"More: interlock get {run}, interlock report {run}"]
    if head:
        lines += [f"Audit: {head}"]
    return "\n".join(lines) + "\n"


def _what(news: News) -> str:
    match news.kind:
        case Kind.STARTED:
            return "Started"
        case Kind.WAITING:
            return "Waits for you"
        case Kind.HELD:
            return "Holds"
        case Kind.ORDERED:
            return "Ordered"
        case Kind.PROMOTED:
            return _more(news)
        case Kind.FLAG_BACK:
            return "FLAG GOING BACK, the code stays"
        case Kind.TURNED_BACK:
            return "GOING BACK"
        case Kind.ROLLED_BACK | Kind.SUPERSEDED:
            return "Rolled back, verified"
        case Kind.SUCCEEDED:
            return "Succeeded"
        case Kind.FAILED:
            return "LOOK AT ONCE, rollback not verified"
        case Kind.STOPPED:
            return "Stopped"
        case Kind.DRIFTED:
            return "Git and reality differ"


def _more(news: News) -> str:
    match news.step:
        case SetWeight(weight=weight):
            return f"{weight} of the traffic"
        case SetFlag(flag=flag, percentage=percentage):
            return f"Flag {flag} at {percentage} %"
    return "Promoted"


def _story(news: News) -> str:
    match news.kind:
        case Kind.WAITING if isinstance(news.step, Watch):
            about = f" for {news.step.about}" if news.step.about else ""
            return f"{_whose(news)} needed{about} before it goes on, {_until(news)}."
        case Kind.PROMOTED:
            return _share(news)
        case Kind.SUCCEEDED:
            return f"{news.text}.{_after(news)}"
    return f"{news.text}."


def _whose(news: News) -> str:
    policy = news.rollout.stage.conditions.approvals
    if policy is None:
        return "A person's approval is"
    besides = ", none of them who started it," if policy.not_author else ""
    return f"The signed approval of {policy.needed} of those listed in {policy.listed_in}{besides} is"


def _until(news: News) -> str:
    assert isinstance(news.step, Watch)
    return (
        f"within {spell(news.step.patience)}, until {moment(news.at + news.step.patience)}; then it goes back by itself"
    )


def _share(news: News) -> str:
    if isinstance(news.step, SetFlag):
        return f"{news.step.percentage} % of the users may get {news.step.flag}, and clients must know of it."
    if not isinstance(news.step, SetWeight):
        return f"{news.text}."
    version = news.rollout.stage.revision.release.version
    old = news.rollout.stage.replaces
    kept = f"; {old.release.version} is kept beside it" if old and news.step.weight == ALL else ""
    return f"{version} has {news.step.weight} of the traffic, observed at the proxy{kept}."


def _after(news: News) -> str:
    """Say what comes after a success."""
    names = [stage.environment for stage in news.plan.stages]
    place = names.index(news.rollout.stage.environment)
    return "" if news.last_environment else f" Next is {names[place + 1]}."


def _ways(news: News) -> list[str]:
    """Say who can move it, and by which command."""
    run = news.rollout.run
    back = f"To go back now: interlock abort {run}"
    match news.kind:
        case Kind.WAITING if isinstance(news.step, Watch):
            sign = " --sign KEY" if news.rollout.stage.conditions.approvals else ""
            return [f"To let it go on, as such a person: interlock approve {run}{sign}", back]
        case Kind.WAITING:
            return [f"To go on: interlock resume {run}. After a day it goes back by itself", back]
        case Kind.HELD if isinstance(news.step, Gate):
            return [_opens(news, news.step), back]
        case Kind.HELD:
            return [f"It goes on by itself once that is so. Without proof, on record: interlock promote {run}", back]
        case Kind.FAILED:
            return [f"Look at the proxy and at the old revision now. To try again to go back: interlock abort {run}"]
        case Kind.FLAG_BACK:
            return ["The flag goes off by itself, and the code is watched without it. To take it back too: "
                    f"interlock abort {run}"]  # fmt: skip
        case Kind.TURNED_BACK:
            return ["It goes back by itself; nothing need be done. Its end is told"]
        case Kind.STOPPED:
            release = news.rollout.stage.revision.release
            return [f"To go on: interlock deploy {release.version}"]
        case Kind.STARTED:
            return [back]
    return []


def _opens(news: News, gate: Gate) -> str:
    """Say what opens a gate that holds."""
    wait, declared = spell(gate.patience), news.rollout.stage.conditions.on_call
    if gate.name is GateName.ON_CALL and declared is not None and declared.acknowledge:
        return f"It goes on once one of those on call has said, within {wait}: interlock acknowledge {news.rollout.run}"
    return f"It goes on by itself once that gate is open, and back when it is closed for {wait}"


def _facts(news: News) -> list[str]:
    rollout, stage = news.rollout, news.rollout.stage
    old = stage.replaces.release.version if stage.replaces else "nothing"
    version = stage.revision.release.version
    what = f"Release: {old} → {version}, {stage.strategy.value} in {stage.environment}"
    lines = [
        f"Flag alone: {version} stays in {stage.environment}" if stage.flag_alone else what,
        f"Begun: {moment(rollout.started)} by {rollout.by or 'nobody who is on record'}",
    ]
    if news.kind is not Kind.STARTED:
        lines += [f"This: {moment(news.at)}, {_lasted(news.at - rollout.started)} after it began"]
    return lines


def _lasted(duration: timedelta) -> str:
    return lasting(max(duration, timedelta(0)))


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} … ({len(text) - _LONGEST:,} more characters)"
