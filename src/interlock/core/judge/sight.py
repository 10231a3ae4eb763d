"""What can we see just now, and since when?

Time is counted in seconds since the first sample and moves only with samples: a gap, a reboot or a clock that jumps
adds nothing but what the samples cover.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.judge.stream import SOME, Count
from interlock.core.sample import Sample

_UNMATCHED = 5.0


@dataclass(frozen=True, slots=True)
class Sight:
    """When each side was last seen; `unmatched` are canary's requests since stable's last one, at `matched_at`.

    `concurrent`: stable has a share of the traffic. `guarded`: so it has, and is seen: the two can be compared.
    """

    boot: str = ""
    monotonic: float | None = None
    now: float = 0.0
    canary_at: float = 0.0
    stable_at: float = 0.0
    matched_at: float = 0.0
    unmatched: float = 0.0
    concurrent: bool = False
    guarded: bool = False

    def newer(self, sample: Sample) -> bool:
        """Whether this sample was not told before; another boot's clock cannot be compared with ours."""
        return self.monotonic is None or self._rebooted(sample) or sample.monotonic > self.monotonic

    def passed(self, sample: Sample) -> float:
        """How many seconds have passed with this sample."""
        if self.monotonic is None or self._rebooted(sample):
            return max(0.0, sample.covers.total_seconds())
        return sample.monotonic - self.monotonic

    def _rebooted(self, sample: Sample) -> bool:
        """A sample that does not tell its boot is of the same one."""
        return sample.boot != self.boot and sample.boot != "" and self.boot != ""

    def look(
        self, sample: Sample, now: float, canary: Count | None, stable: Count | None, concurrent: bool, patience: float
    ) -> Sight:
        """Return what we see with this sample, which ends `now`. A stable side without requests for `patience` seconds
        cannot be compared with, unless the canary is as silent: then there is nothing to compare."""
        unmatched, matched_at = self.unmatched, self.matched_at
        if canary is not None:
            unmatched += canary.requests
        if stable is not None and stable.requests > SOME:
            matched_at, unmatched = now, 0.0
        guarded = concurrent and not (now - matched_at > patience and unmatched >= _UNMATCHED)
        canary_at = self.canary_at if canary is None else now
        stable_at = self.stable_at if stable is None else now
        return Sight(
            sample.boot or self.boot,
            sample.monotonic,
            now,
            canary_at,
            stable_at,
            matched_at,
            unmatched,
            concurrent,
            guarded,
        )
