"""How is the judge's memory stored, so that after a crash it decides as if nothing had happened?"""

from __future__ import annotations

from typing import Any

from interlock.core import record
from interlock.core.judge.evidence import Evidence


def encode(evidence: Evidence) -> dict[str, Any]:
    """Turn evidence into what JSON can hold; every number comes back bit for bit."""
    stored: dict[str, Any] = record.plain(evidence)
    return stored


def decode(stored: dict[str, Any]) -> Evidence:
    """Turn a record back into evidence; raise ValueError with the field's name when it does not fit."""
    return record.restore(Evidence, stored)
