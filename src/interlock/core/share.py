"""Does the users' own traffic agree with the weight, as far as it can tell?

Users are no dice: under stickiness a 5 % weight has shown shares of 0.9 % to 19.3 % of the requests, since some users
ask more than others. So their share is shown, and only what is impossible counts against a verified weight.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil, log, log1p

from interlock.core.sample import Sample
from interlock.core.weight import NONE, WHOLE, Weight

ENOUGH = 1000
"""Of so many requests, each assigned by itself, not one reaching the canary is a chance of 4e-5 at a weight of 1 %."""

ENOUGH_KEYS = 100
"""So many users at least must have asked before their absence at the canary is held against it."""

_BY_CHANCE = 4e-5


@dataclass(frozen=True, slots=True)
class Share:
    """The users' requests since this weight was set. `by_key`: users are assigned, not requests.

    `keys` are users seen while none of their requests had reached the canary; nobody counts them before.
    """

    weight: Weight
    by_key: bool
    canary: float = 0
    stable: float = 0
    keys: frozenset[str] = frozenset()

    def add(self, sample: Sample) -> Share:
        """Count a sample that lies wholly at this weight; one side unseen says nothing."""
        if sample.canary is None or sample.stable is None:
            return self
        canary, stable = self.canary + sample.canary.started, self.stable + sample.stable.started
        return replace(self, canary=canary, stable=stable)

    def of(self, keys: frozenset[str]) -> Share:
        """Count users that were seen."""
        return replace(self, keys=self.keys | keys)

    @property
    def absent(self) -> bool:
        """Whether none of enough requests reached the canary."""
        return self.weight != NONE and not self.canary and self.stable >= ENOUGH

    @property
    def keys_wanted(self) -> bool:
        """Whether it must be known how many users there are, to call their absence impossible."""
        return self.by_key and self.absent and len(self.keys) < self._keys_needed

    @property
    def _keys_needed(self) -> int:
        """So many users, each assigned by itself, that not one at the canary is as unlikely as with requests."""
        share = self.weight.points / WHOLE
        return max(ENOUGH_KEYS, ceil(log(_BY_CHANCE) / log1p(-share))) if share < 1 else ENOUGH_KEYS

    @property
    def observed(self) -> float | None:
        """The canary's part of the users' requests, 0 to 1; None without any."""
        requests = self.canary + self.stable
        return self.canary / requests if requests else None

    @property
    def impossible(self) -> str:
        """Say what cannot be if the weight were in force; nothing when all is possible."""
        requests = self.canary + self.stable
        if self.weight == NONE and self.canary:
            return f"{self.canary:.0f} of the users' {requests:.0f} requests reached a revision at weight 0"
        if self.absent and not self.keys_wanted:
            users = f" of {len(self.keys)} users" if self.by_key else ""
            return f"none of {requests:.0f} requests{users} reached the revision at {self.weight}"
        return ""
