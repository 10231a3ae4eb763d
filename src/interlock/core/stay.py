"""For how long has a rollout stood at its present step?

Counted on a clock that nobody can set, across restarts of whoever drives the rollout: neither a restart nor a jump of
the wall clock makes a deadline come earlier or later.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

UNDRIVEN_AT_MOST = timedelta(seconds=30)
"""Of a time in which perhaps nobody drove the rollout, so much counts: its driver may have died at the end of it."""


@dataclass(frozen=True, slots=True)
class Stay:
    """At one step, or paused there: `before` and since `since` (monotonic seconds of `boot`).

    `put_off` is what the step itself had lasted when it was paused.
    """

    boot: str
    since: float
    before: timedelta = timedelta(0)
    put_off: timedelta = timedelta(0)

    def lasted(self, boot: str, monotonic: float) -> timedelta:
        """Return how long it has lasted at this moment; of time in another boot nothing is known."""
        passed = max(0.0, monotonic - self.since) if boot == self.boot else 0.0
        return self.before + timedelta(seconds=passed)

    def paused(self, boot: str, monotonic: float) -> Stay:
        """Return the stay in a pause that begins now."""
        return Stay(boot, monotonic, put_off=self.lasted(boot, monotonic))

    def resumed(self, boot: str, monotonic: float) -> Stay:
        """Return the step's stay, gone on with now."""
        return Stay(boot, monotonic, self.put_off)

    def taken_over(self, boot: str, monotonic: float) -> Stay:
        """Return the stay from now on, when nobody may have driven the rollout since."""
        before = self.before + min(self.lasted(boot, monotonic) - self.before, UNDRIVEN_AT_MOST)
        return Stay(boot, monotonic, before, self.put_off)
