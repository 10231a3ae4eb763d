"""How does what happened stand beside what would happen?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from interlock.app.backtest import Backtest, differences
from interlock.app.words import number, odds, percent
from interlock.core.record import plain
from interlock.core.recording import Loaded, Voided
from interlock.core.steps import spell
from interlock.core.trial import Happening, What

_ICONS = {
    What.WEIGHT: "→",
    What.HELD: "◔",
    What.ADVANCED: "✔",
    What.UNPROVEN: "⚠",
    What.THROUGH: "✔",
    What.ROLLED_BACK: "✖",
    What.NO_PROOF: "✖",
    What.ABORTED: "✖",
    What.UNDECIDED: "◌",
}


def lines(found: Sequence[Backtest], width: int) -> Iterator[str]:
    """Yield each recording with both columns, and what decided."""
    for position, one in enumerate(found):
        if position:
            yield ""
        yield from _lines(one, width)


def document(one: Backtest) -> dict[str, Any]:
    """Return one recording for programs."""
    begun = one.recording.begun
    return {
        "name": one.recording.name,
        "rollout": begun.rollout or None,
        "service": begun.service or None,
        "environment": begun.environment or None,
        "version": begun.version or None,
        "at": begun.at.isoformat(),
        "samples": sum(1 for _ in one.recording.sampled),
        "criteria": {name: value for name, value in plain(one.now.criteria).items() if name != "kind"},
        "own": one.own,
        "judged_by": one.environment or None,
        "same": one.same,
        "then": [_happening(happening) for happening in one.then] if one.then else None,
        "now": [_happening(happening) for happening in one.now.happenings],
        "notes": [*one.recording.notes, *one.now.notes],
    }


def _lines(one: Backtest, width: int) -> Iterator[str]:
    begun = one.recording.begun
    what = f"{begun.service} {begun.version} in {begun.environment}" if begun.rollout else "samples of no rollout"
    samples = [(at, line) for at, line in one.recording.judged if not isinstance(line, Voided)]
    loads = sum(isinstance(line, Loaded) for _, line in samples)
    lasted = (spell(timedelta(seconds=round(samples[-1][0]))) or "0 s") if samples else "0 s"
    ours = f", {loads} of synthetic load," if loads else ""
    said = f"{one.recording.name}: {what}, {begun.at:%Y-%m-%d %H:%M:%S} UTC, {len(samples)} samples{ours} in {lasted}"
    yield from wrap(said, width, subsequent_indent="  ", break_on_hyphens=False)
    yield from wrap(f"judged by {_terms(one)}", width, initial_indent="  ", subsequent_indent="    ")
    half = max(28, (width - 4) // 2)
    if one.then:
        yield f"  {'THEN':<{half}}NOW"
        for left, right in _side_by_side(one):
            yield f"  {left:<{half}}{right}".rstrip()
        if one.then[-1].text != one.now.outcome.text:
            yield from _why("then", one.then[-1], width)
    else:
        yield from (f"  {_row(happening)}" for happening in one.now.happenings)
    yield from _why("now" if one.then else "why", one.now.outcome, width)
    yield from _counts(one.now.outcome)
    for note in (*one.recording.notes, *one.now.notes):
        yield from wrap(note, width, initial_indent="  ! ", subsequent_indent="    ")
    if one.same is not None:
        yield "  the same decisions" if one.same else "  other decisions"


def _terms(one: Backtest) -> str:
    if one.own:
        return "its own criteria"
    before = "then" if one.then else "by default"
    changes = differences(one.recording.begun.criteria, one.now.criteria)
    said = ", ".join(f"{name} {_value(name, now)} ({before} {_value(name, old)})" for name, old, now in changes)
    if one.environment:
        return f"{one.environment} of the file" + (f": {said}" if said else "")
    way = "" if one.recording.begun.steps else ", by the steps of a canary: name your own plan with --environment"
    return (said or "the default criteria") + way


def _value(name: str, value: object) -> str:
    if isinstance(value, timedelta):
        return spell(value) or "0 s"
    if isinstance(value, float):
        return percent(value) if value < 1 and name not in ("margin", "stable_ratio") else f"{value:g}"
    if isinstance(value, tuple):
        return ", ".join(one.name for one in value) or "none"
    return str(value)


def _side_by_side(one: Backtest) -> Iterator[tuple[str, str]]:
    """Yield both columns, weight by weight."""
    then, now = _by_weight(one.then), _by_weight(one.now.happenings)
    for left, right in zip_longest(then, now, fillvalue=()):
        yield from zip_longest(map(_row, left), map(_row, right), fillvalue="")


def _by_weight(happenings: Sequence[Happening]) -> list[Sequence[Happening]]:
    legs: list[list[Happening]] = []
    for one in happenings:
        if one.what is What.WEIGHT or not legs:
            legs.append([])
        legs[-1].append(one)
    return list(legs)


def _row(one: Happening) -> str:
    """Say when, after how many requests, and what."""
    when = spell(timedelta(seconds=round(one.seconds))) or "0 s"
    what = f"{one.what.value} {one.weight}" if one.what is What.WEIGHT else one.what.value
    asked = "" if one.what is What.WEIGHT else f", {number(one.requests)} req"
    return f"{_ICONS[one.what]} {when}{asked}: {what}"


def _why(when: str, last: Happening, width: int) -> Iterator[str]:
    if last.text:
        yield from wrap(last.text, width, initial_indent=f"  {when}: ", subsequent_indent=f"  {'':{len(when)}}  ")


def _counts(last: Happening) -> Iterator[str]:
    """Yield each finding of the last judgement with its odds and counts."""
    findings = last.judgement.findings if last.judgement else ()
    widest = max((len(one.rule) for one in findings), default=0)
    for one in findings:
        bad = f"{number(one.canary_bad)} of {number(one.canary_requests)}"
        rate = "" if one.estimate is None else f", {percent(one.estimate)}"
        limit = "" if one.limit is None else f", {percent(one.limit)} allowed"
        weighed = f"odds against {odds(one.odds_against)}, for {odds(one.odds_for)}"
        yield f"    {one.rule:<{widest}}   {bad}{rate}{limit}; {weighed}"


def _happening(one: Happening) -> dict[str, Any]:
    return {
        "seconds": round(one.seconds, 3),
        "what": one.what.value,
        "step": one.index + 1,
        "weight": one.weight.share,
        "requests": one.requests,
        "text": one.text,
        "judgement": plain(one.judgement),
    }
