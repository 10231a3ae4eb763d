"""What is told of a run of the evaluator?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.evaluator.goals import LONG_BURSTS, USUAL, Goal
from bench.evaluator.measure import Results, Runs, interval
from bench.evaluator.play import JUDGES, OURS, End
from bench.evaluator.reference import Oracle
from bench.evaluator.scenarios import SCENARIOS, Scenario
from bench.evaluator.table import Table, few, number, percent
from bench.evaluator.traps import Outcome

OTHERS = tuple(j for j in JUDGES if j not in (OURS, Oracle.name))
HEADS = {
    OURS: "ours",
    "oracle": "orac.",
    "reference": "ref.",
    "argo 0": "argo0",
    "argo 3": "argo3",
    "argo 9": "argo9",
    "flagger 5": "flag5",
    "kayenta": "kay.",
    "kayenta x2": "kay.x2",
    "msprt": "mspr",
    "peeking z": "peekz",
}
NAMES = (
    "Interlock; the reference; Argo Rollouts with a `failureLimit` of 0, 3 and 9; Flagger with a threshold of 5; "
    "Kayenta with an `allowedIncrease` of 1 and of 2; an mSPRT and a peeking z-test on failures."
)
QUOTED = {"Interlock": OURS, "Argo, limit 3": "argo 3", "Flagger, 5": "flagger 5", "Kayenta": "kayenta"}
SHORT_ROWS = {
    "0.5->2%": "found, failures 0.5 → 2 %",
    "0.1->5%": "found, failures 0.1 → 5 %",
    "latency x2.5": "found, p99 × 2.5",
    "0->100%": "found, everything fails",
    "late 450s 0->100%": "found, everything fails, from 450 s on",
    "hangs": "found, nothing is answered any more",
}


@dataclass(frozen=True, slots=True)
class Section:
    """A heading, a sentence or two, and a table."""

    heading: str
    text: str
    table: Table

    def plain(self) -> str:
        return f"\n{self.heading}\n\n{self.table.text()}"

    def markdown(self) -> str:
        return f"\n## {self.heading}\n\n{self.text}\n\n{self.table.markdown()}"


def sections(
    results: Results, reached: Sequence[Goal], traps: Sequence[Outcome], seeds: tuple[int, ...]
) -> list[Section]:
    """All that is told, in order; sections without a row are left out."""
    told = [
        _goals(reached),
        in_short(results, seeds[0]),
        _false_rollbacks(results, seeds[0]),
        _overheads(results, seeds[0]),
        _delays(results, seeds[0]),
        _healthy(results, seeds),
        _bad(results, seeds),
        _cpu(results),
        _traps(traps),
    ]
    return [s for s in told if s.table.rows]


def _goals(reached: Sequence[Goal]) -> Section:
    rows = []
    for g in reached:
        digits = 2 if "bound" in g.what or g.unit == "%" else 0
        unit = f" {g.unit}" if g.unit and g.measured is not None else ""
        wanted = f"{g.must:g}" if g.stretch is None else f"{g.must:g} ({g.stretch:g})"
        rows.append((g.what, wanted, number(g.measured, digits) + unit, g.verdict))
    notes = [f"{g.what}: {g.note}." for g in reached if g.note]
    text = "At most; in brackets the stretch. " + " ".join(n[0].upper() + n[1:] for n in notes)
    return Section("Goals of Interlock's judge", text, Table(("goal", "must", "measured", ""), rows, frozenset({3})))


def in_short(results: Results, seed: int) -> Section:
    """The small table that the README quotes: Interlock beside three others, at one seed."""

    def all_of(scenario: str) -> list[Runs]:
        found = [results.of(judge, scenario, USUAL, seed) for judge in QUOTED.values()]
        return [] if None in found else [r for r in found if r is not None]

    healthy = [runs for s in SCENARIOS.values() if not s.bad and (runs := all_of(s.name))]
    rows = [
        (f"false rollbacks, healthy at {rate} % failures", *(f"{percent(_false(r))} %" for r in runs))
        for rate in ("0.5", "0.9")
        if (runs := all_of(f"ok base {rate}%"))
    ]
    if len(healthy) > 1:
        worst = [max(map(_false, runs)) for runs in zip(*healthy, strict=True)]
        rows.append((f"false rollbacks, worst of {len(healthy)} healthy cases", *(f"{percent(w)} %" for w in worst)))
    rows += [(what, *map(_after, runs)) for name, what in SHORT_ROWS.items() if (runs := all_of(name))]
    text = (
        "10 of 200 requests/s for 15 minutes, a sample each 5 s, limits of 1 % failures and twice stable's p99; "
        "medians from the onset."
    )
    return Section("In short", text, Table(("", *QUOTED), rows))


def _false(runs: Runs) -> float:
    return runs.false / runs.count


def _after(runs: Runs) -> str:
    """The median, and which share was found where that is not all."""
    found = runs.share(End.ROLLED_BACK)
    median = number(runs.seconds(0.5))
    if found == 0 or median == "-":
        return "never" if found == 0 else f"{percent(found)} % found"
    return f"{median} s" if found > 0.995 else f"{median} s ({percent(found)} %)"


def _false_rollbacks(results: Results, seed: int) -> Section:
    rows = []
    for scenario in (s for s in SCENARIOS.values() if not s.bad):
        ours = results.of(OURS, scenario.name, USUAL, seed)
        if ours is not None:
            others = [results.of(j, scenario.name, USUAL, seed) for j in OTHERS]
            rows.append(
                (
                    scenario.name,
                    _with_interval(ours),
                    *("-" if r is None else percent(r.false / r.count) for r in others),
                )
            )
    text = (
        "Of the runs in which the canary was fine, so many per cent were rolled back; in brackets the 95 % interval. "
        f'Those of "{LONG_BURSTS}" are bursts of 10 s, which a poll of 5 s does not cover: no promise there.'
    )
    return Section("Healthy: rolled back, %", text, Table(("scenario", *_heads((OURS, *OTHERS))), rows))


def _with_interval(runs: Runs) -> str:
    low, high = interval(runs.false, runs.count)
    return f"{percent(runs.false / runs.count)} [{100 * low:.1f}-{100 * high:.1f}]"


def _heads(judges: Sequence[str]) -> list[str]:
    return [HEADS[j] for j in judges]


def _overheads(results: Results, seed: int) -> Section:
    judges = (Oracle.name, OURS, *OTHERS)
    rows = []
    for scenario, runs in _bad_runs(results, seed, judges):
        if runs[0] is not None and runs[0].bound.requests < 1e9:
            rows.append((scenario.name, number(runs[0].bound.requests), *(_overhead(r) for r in runs)))
    text = (
        "Mean canary requests from the regression's onset until it was rolled back, by the least that theory allows "
        "(`bound`, in requests); a star where less than 98 % were found. To be early is no merit where healthy ones go "
        "back as well: see the table above."
    )
    return Section("Bad: mean requests / bound", text, Table(("scenario", "bound", *_heads(judges)), rows))


def _overhead(runs: Runs | None) -> str:
    if runs is None or not runs.found:
        return "-"
    return few(runs.overhead) + ("" if runs.share(End.ROLLED_BACK) > 0.98 else "*")


def _delays(results: Results, seed: int) -> Section:
    judges = (OURS, *OTHERS)
    rows = []
    for scenario, runs in _bad_runs(results, seed, judges):
        least = next((r.bound.seconds for r in runs if r is not None), None)
        rows.append((scenario.name, number(least), *(number(None if r is None else r.seconds(0.5)) for r in runs)))
    text = "Median seconds from the onset until the rollback; a dash where less than half were found."
    return Section("Bad: seconds until the rollback", text, Table(("scenario", "least", *_heads(judges)), rows))


def _bad_runs(results: Results, seed: int, judges: Sequence[str]) -> Iterator[tuple[Scenario, list[Runs | None]]]:
    for scenario in (s for s in SCENARIOS.values() if s.bad):
        runs = [results.of(j, scenario.name, USUAL, seed) for j in judges]
        if any(r is not None for r in runs):
            yield scenario, runs


def _healthy(results: Results, seeds: tuple[int, ...]) -> Section:
    rows = []
    for scenario, every in _ours(results, seeds, bad=False):
        runs = results.of(OURS, scenario.name, every, *seeds)
        if runs is not None:
            proven = sum(r.advanced is not None for r in runs.runs) / runs.count
            each = [_one(results.of(OURS, scenario.name, every, seed)) for seed in seeds]
            name = scenario.name if every == USUAL else f"{scenario.name}, {every:g} s"
            rows.append(
                (name, number(runs.count), *each, _with_interval(runs), percent(proven), number(runs.proven(0.5)))
            )
    text = "Rolled back at each seed and at both; called proven at least once; median seconds until then."
    heads = ("scenario", "runs", *(f"seed {s}, %" for s in seeds), "both, %", "proven, %", "after, s")
    return Section("Interlock: healthy", text, Table(heads, rows))


def _one(runs: Runs | None) -> str:
    return "-" if runs is None else percent(runs.false / runs.count)


def _bad(results: Results, seeds: tuple[int, ...]) -> Section:
    rows = []
    for scenario, every in _ours(results, seeds, bad=True):
        runs = results.of(OURS, scenario.name, every, *seeds)
        if runs is not None:
            each = [results.of(OURS, scenario.name, every, seed) for seed in seeds]
            name = scenario.name if every == USUAL else f"{scenario.name}, {every:g} s"
            overheads = [number(None if r is None else r.overhead, 2) for r in each]
            if runs.bound.requests > 1e9:
                overheads = ["-"] * len(each)
            times = [number(t) for t in (runs.bound.seconds, runs.seconds(0.5), runs.seconds(0.95))]
            shares = (percent(runs.share(End.ROLLED_BACK)), percent(runs.missed), percent(runs.share(End.TOO_EARLY)))
            rows.append((name, number(runs.count), *shares, *overheads, *times))
    text = (
        "Rolled back; advanced while bad; rolled back before the onset; mean requests by the bound at each seed; "
        "least, median and 95th percentile of the seconds."
    )
    heads = (
        "scenario",
        "runs",
        "found %",
        "adv. %",
        "early %",
        *(f"seed {s}" for s in seeds),
        "least s",
        "p50 s",
        "p95 s",
    )
    return Section("Interlock: bad", text, Table(heads, rows))


def _ours(results: Results, seeds: tuple[int, ...], *, bad: bool) -> list[tuple[Scenario, float]]:
    """Our scenarios, and beside the usual interval the others at which they were measured."""
    intervals = {(k.scenario, k.every) for k in results.runs if k.judge == OURS and k.seed in seeds}
    order = list(SCENARIOS)
    found = sorted(intervals, key=lambda x: (order.index(x[0]), abs(x[1] - USUAL)))
    return [(SCENARIOS[name], every) for name, every in found if SCENARIOS[name].bad is bad]


def _cpu(results: Results) -> Section:
    rows = [(judge, number(took, 1)) for judge, took in results.microseconds.items()]
    text = (
        "Microseconds of CPU for one sample of both sides, with all its bookkeeping: the least of 9 rollouts. Ours is "
        "`observe` and `decide`, given samples as the engine gives them; the bench takes another "
        f"{number(results.conversion, 1)} µs to make one of its counts, which no rollout does."
    )
    return Section("CPU per sample", text, Table(("judge", "µs"), rows))


def _traps(traps: Sequence[Outcome]) -> Section:
    rows = [(t.trap, t.wanted, t.got, "passed" if t.passed else "FAILED") for t in traps]
    passed = sum(t.passed for t in traps)
    text = "Single hard cases, each a fixed sequence of counts; see `bench/evaluator/traps.py`."
    return Section(
        f"Traps: {passed} of {len(traps)} passed",
        text,
        Table(("trap", "wanted", "got", ""), rows, frozenset({1, 2, 3})),
    )
