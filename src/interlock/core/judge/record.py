"""How is the judge's memory stored, so that after a crash it decides as if nothing had happened?"""

from __future__ import annotations

from typing import Any

from interlock.core import record
from interlock.core.criteria import Criteria
from interlock.core.judge.evidence import Evidence


def encode(evidence: Evidence) -> dict[str, Any]:
    """Turn evidence into what JSON can hold; every number comes back bit for bit."""
    stored: dict[str, Any] = record.plain(evidence)
    return stored


def decode(stored: dict[str, Any], criteria: Criteria | None = None) -> Evidence:
    """Turn a record back into evidence; raise ValueError with the field's name when it does not fit.

    With `criteria`, evidence that was gathered under others does not fit either: odds against one limit say nothing
    about another, and to go on with them would spend alpha twice.
    """
    evidence = record.restore(Evidence, stored)
    if criteria is not None and evidence.criteria != criteria:
        raise ValueError("Evidence.criteria: the evidence was gathered under other criteria than these")
    return evidence
