"""What must a reader of a plan know about the numbers by which the release will be judged?"""

from __future__ import annotations

from interlock.core.criteria import Control, Criteria
from interlock.core.judge.latency import ENOUGH_ANSWERS
from interlock.core.judge.words import count, percent

_BLAMED = "what befalls both sides at once is put down to the release"


def standards(criteria: Criteria | None, answers: float, *, first: bool) -> tuple[str, ...]:
    """Say what is unusual about the criteria; `answers` of stable's last hour are known. A `first` release has none."""
    if criteria is None:
        return ()
    return (*_baseline(criteria, answers, first), *_counted(criteria), *_metrics(criteria), *_cohort(criteria))


def _cohort(criteria: Criteria) -> tuple[str, ...]:
    if criteria.cohort is None:
        return ()
    return (f"while a flag is given to some users, those with it are judged beside those without: {criteria.cohort}",)


def _baseline(criteria: Criteria, answers: float, first: bool) -> tuple[str, ...]:
    if criteria.baseline is Control.FIXED:
        return (f"baseline: fixed: judged by the limits alone; {_BLAMED}",)
    if criteria.baseline is not Control.HISTORY:
        return ()
    note = f"baseline: history: judged beside stable's last 60 min; {_BLAMED}"
    if criteria.latency_p99 is not None or answers >= ENOUGH_ANSWERS:
        return (note,)
    known = "there is no stable" if first else f"of them {count(answers)} answers of {ENOUGH_ANSWERS} are known"
    return (f"{note}. WARNING: {known}: latency is not judged unless it is by then, and failures alone decide",)


def _counted(criteria: Criteria) -> tuple[str, ...]:
    one = criteria.counted
    if one is None:
        return ()
    return (
        f"users' requests are judged by what {one.source.url} collects ({one.requests}, {one.failures}, "
        f"{one.latency}), not by the proxy's counters: what is never answered, or cut, is not in them",
    )


def _metrics(criteria: Criteria) -> tuple[str, ...]:
    if not criteria.metrics:
        return ()
    named = ", ".join(f"{one.name} ({one}, at most {percent(one.limit)})" for one in criteria.metrics)
    paths = (f"each instance shows at {one.path}" for one in criteria.metrics if one.source is None)
    collected = (f"{one.source.url} collects" for one in criteria.metrics if one.source is not None)
    asked = " and ".join(dict.fromkeys([*paths, *collected]))
    return (
        f"judged and to be proven too, by what {asked}: {named}; how often they are counted is "
        "not measured yet, so whether the bakes suffice cannot be foretold",
    )
