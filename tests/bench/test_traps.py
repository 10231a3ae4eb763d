"""Does the judge pass the evaluator's traps, through the adapter that users can run too?"""

from __future__ import annotations

import pytest
from bench.evaluator.reference import Reference
from bench.evaluator.traps import TRAPS, Trap, counters, decisions
from bench.judge import Judge


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_our_judge_passes_the_trap(trap: Trap) -> None:
    made = decisions(Judge(), trap)
    assert trap.right(made), f"wanted: {trap.wanted}; got {made[-1]} at poll {len(made)}"


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: trap.name)
def test_the_reference_passes_the_trap(trap: Trap) -> None:
    assert trap.right(decisions(Reference(), trap))


def test_raw_counters_are_told_as_they_were() -> None:
    assert counters().passed


def test_there_are_28_traps() -> None:
    assert len(TRAPS) + 1 == 28
