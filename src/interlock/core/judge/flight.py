"""Which requests were sent and not answered in time?

A release that hangs fails nothing, because nothing ends. But of the requests in flight at most those begun in the last
v seconds can be younger than v, so `in flight - begun in the last v` is a lower bound on the older ones, the same as
started(t-v) - completed(t). Each counts as bad once: when it ends after all it is taken out of what ends then.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.judge.stream import Count
from interlock.core.sample import Side

_LONGEST = 16


@dataclass(frozen=True, slots=True)
class Flight:
    """One side's requests in flight: recent (seconds, started) pairs, those already counted as hung, failures owed."""

    recent: tuple[tuple[float, float], ...] = ()
    hung: float = 0.0
    owed: float = 0.0

    def land(self, side: Side, now: float, patience: float) -> tuple[Flight, Count]:
        """Return the next state and what to count; times are in seconds."""
        quiet = not self.hung and not self.owed and side.failed <= side.completed
        if quiet and side.pending <= 0:
            return NONE, Count(side.completed, (side.failed,))
        oldest = now - patience + 1e-6
        recent = _thin([*[r for r in self.recent if r[0] > oldest], (now, float(side.started))])
        if quiet and side.pending <= side.started:
            return Flight(recent), Count(side.completed, (side.failed,))
        overdue = max(0.0, side.pending - sum([s for _, s in recent]))
        ended = min(max(0.0, self.hung - overdue), side.completed)
        newly = max(0.0, overdue - self.hung)
        failed = max(0.0, side.failed + self.owed - ended)
        n = side.completed - ended + newly
        k = min(failed, side.completed - ended)
        return Flight(recent, self.hung - ended + newly, min(failed - k, side.completed)), Count(n, (k + newly,))


NONE = Flight()


def _thin(recent: list[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Keep the state small when samples are much shorter than the patience: merge the oldest, counting them younger."""
    while len(recent) > _LONGEST:
        shortest = min(range(len(recent) - 2), key=lambda i: recent[i + 1][0] - recent[i][0])
        recent[shortest : shortest + 2] = [(recent[shortest + 1][0], recent[shortest][1] + recent[shortest + 1][1])]
    return tuple(recent)
