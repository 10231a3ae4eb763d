"""Does the users' own traffic agree with the weight, as far as it can tell?

Users are no dice: under stickiness a 5 % weight has shown shares of 0.9 % to 19.3 % of the requests, since some users
ask more than others. So their share is shown, and only what is impossible counts against a verified weight.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.sample import Sample
from interlock.core.weight import NONE, Weight

ENOUGH = 1000
"""Of so many requests, each assigned by itself, not one missing the canary is a chance of 4e-5 at a weight of 1 %."""


@dataclass(frozen=True, slots=True)
class Share:
    """The users' requests since this weight was set. `by_key`: users are assigned, not requests."""

    weight: Weight
    by_key: bool
    canary: float = 0
    stable: float = 0

    def add(self, sample: Sample) -> Share:
        """Count a sample that lies wholly at this weight; one side unseen says nothing."""
        if sample.canary is None or sample.stable is None:
            return self
        canary, stable = self.canary + sample.canary.started, self.stable + sample.stable.started
        return Share(self.weight, self.by_key, canary, stable)

    @property
    def observed(self) -> float | None:
        """The canary's part of the users' requests, 0 to 1; None without any."""
        requests = self.canary + self.stable
        return self.canary / requests if requests else None

    @property
    def impossible(self) -> str:
        """Say what cannot be if the weight were in force; nothing when all is possible.

        How many keys there were is not known to the proxy: with a sticky key it may have been a single user.
        """
        requests = self.canary + self.stable
        if self.weight == NONE and self.canary:
            return f"{self.canary:.0f} of the users' {requests:.0f} requests reached a revision at weight 0"
        if self.weight != NONE and not self.canary and requests >= ENOUGH and not self.by_key:
            return f"none of the users' {requests:.0f} requests reached the revision at {self.weight}"
        return ""
