"""How does Interlock's judge do beside others? `make bench-judge` simulates rollouts and prints tables and goals.

Two seeds are used, the given one and the next. `--quick` takes less than a minute and is for trying it out, `--write`
keeps what was printed in bench/JUDGE.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track

from bench.__main__ import where
from bench.evaluator import traps
from bench.evaluator.goals import FAST, LONG, LONG_BURSTS, OVERHEADS, SHORT, USUAL, Goal, goals
from bench.evaluator.measure import Done, Series, measure
from bench.evaluator.play import JUDGES, OURS
from bench.evaluator.reference import Oracle
from bench.evaluator.report import Section, sections
from bench.evaluator.scenarios import SCENARIOS
from bench.evaluator.table import WIDTH

PAGE = Path(__file__).parent.parent / "JUDGE.md"
HEADING = """# How the judge does

Made by `make bench-judge ARGS=--write`. What the scenarios are stands in `bench/evaluator/scenarios.py`, how the others
decide in `peers.py` and `kayenta.py` beside it; [a page](../docs/comparison-judge.md) says what to make of it.
"""


@dataclass(frozen=True, slots=True)
class Size:
    """How many rollouts of each scenario, at each seed for Interlock and at the first for the others.

    `close` is for those whose mean delay a goal is about: it takes many to know it to two digits.
    """

    healthy: int
    bad: int
    close: int
    others_healthy: int
    others_bad: int


FULL, QUICK = Size(500, 200, 800, 200, 100), Size(30, 20, 20, 15, 10)
_CLOSE = frozenset(name for name, _, _ in OVERHEADS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and tell; return how many goals were missed."""
    parser = argparse.ArgumentParser(prog="make bench-judge", description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=1, help="of the random traffic; the next is used as well")
    parser.add_argument("--only", metavar="WORDS", help="scenarios whose name contains one of these, between commas")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a small run, to see that everything works: its figures are decided by chance",
    )
    parser.add_argument("--write", action="store_true", help=f"keep what was printed in bench/{PAGE.name}")
    chosen = parser.parse_args(arguments)
    names = wanted(chosen.only)
    if not names:
        parser.error(f"no scenario's name contains any of {chosen.only!r}; there are: {', '.join(SCENARIOS)}")
    if chosen.write and (chosen.only or chosen.quick):
        parser.error("--write keeps whole runs only: leave out --only and --quick")
    return tell(chosen.seed, names, QUICK if chosen.quick else FULL, write=chosen.write)


def wanted(words: str | None) -> list[str]:
    """Scenarios whose name contains one of the words between commas; all without words."""
    return [n for n in SCENARIOS if words is None or any(w.strip() in n for w in words.split(","))]


def tell(seed: int, names: Sequence[str], size: Size, *, write: bool) -> int:
    """Run all of it, print it, keep it if so asked; return how many goals were missed (quick: traps)."""
    results = measure(series(seed, names, size), _progress)
    caught = traps.run(JUDGES[OURS]())
    reached = goals(results, caught, (seed, seed + 1))
    told = sections(results, reached, caught, (seed, seed + 1))
    about = f"{where()} Commit {commit()}, seeds {seed} and {seed + 1}, {results.seconds:.0f} s."
    print(textwrap.fill(about, WIDTH))
    for section in told:
        print(section.plain(), end="")
    if write:
        PAGE.write_text(page(about, told))
        print(f"\nKept in bench/{PAGE.name}.")
    missed = _verdict(reached)
    if size != QUICK:
        return missed
    print("A run as small as this one is decided by chance: only a failed trap makes it fail.")
    return sum(not trap.passed for trap in caught)


def series(seed: int, names: Iterable[str], size: Size) -> list[Series]:
    """What is run: all at the usual interval and the first seed, Interlock at the next and at other intervals too."""
    chosen, next_seed = list(names), seed + 1
    ours = {n: {OURS: _ours(n, size)} for n in chosen}
    some = [Series(USUAL, seed, {n: _all(n, size) for n in chosen}), Series(USUAL, next_seed, ours)]
    for every, name in ((LONG, LONG_BURSTS), (SHORT, FAST)):
        if name in chosen:
            some += [Series(every, s, {name: ours[name]}) for s in (seed, next_seed)]
    return some


def _all(name: str, size: Size) -> Mapping[str, int]:
    bad = SCENARIOS[name].bad
    runs = dict.fromkeys(JUDGES, size.others_bad if bad else size.others_healthy)
    runs[OURS] = _ours(name, size)
    if not bad:
        del runs[Oracle.name]  # it knows that nothing is wrong
    return runs


def _ours(name: str, size: Size) -> int:
    if not SCENARIOS[name].bad:
        return size.healthy
    return size.close if name in _CLOSE else size.bad


def page(about: str, told: Iterable[Section]) -> str:
    return f"{HEADING}\n{about}\n" + "".join(s.markdown() for s in told)


def commit() -> str:
    """The commit that is checked out, and whether the code differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=PAGE.parent, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--", "../src/interlock/core", "judge.py", "evaluator")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


def _progress(done: Iterator[Done], parts: int) -> Iterable[Done]:
    console = Console(stderr=True)
    return track(done, "Judging", total=parts, console=console, transient=True, disable=not console.is_terminal)


def _verdict(reached: Sequence[Goal]) -> int:
    missed = [g for g in reached if g.missed]
    print(f"\n{sum(g.measured is not None for g in reached)} goals measured, {len(missed)} not met.")
    return len(missed)


if __name__ == "__main__":
    sys.exit(main())
