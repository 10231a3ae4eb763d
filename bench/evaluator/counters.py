"""What did an instance do between two readings of its counters?

Readings fail, counters begin anew with the process, and a reading may be torn: the scenario with outages tells judges
of its traffic by these rules. (Interlock itself has `core/sample.py` for it.)
"""

from __future__ import annotations

from bench.evaluator.contract import Counts, reported


class Counters:
    """The cumulative counters of one instance."""

    def __init__(self) -> None:
        self._before: Counts | None = None
        self._excess = 0.0

    def push(self, reading: Counts | None) -> Counts | None:
        """Return what happened since the last good reading, or None when this is none or the first.

        A counter that fell began anew. Errors beyond the requests of a torn reading are carried over to the next.
        """
        if reported(reading) is None or reading is None or reading["errors"] != reading["errors"]:
            return None
        before, self._before = self._before, reading
        if before is None:
            return None
        if reading["requests"] < before["requests"] or reading["errors"] < before["errors"]:
            before, self._excess = None, 0.0
        requests, errors, buckets = reading["requests"], reading["errors"] + self._excess, reading["buckets"]
        if before is not None:
            requests, errors = requests - before["requests"], errors - before["errors"]
            buckets = buckets - before["buckets"]
        kept = min(errors, requests)
        self._excess = errors - kept
        return {"requests": requests, "errors": kept, "buckets": buckets}
