"""Which revision answers which users of an environment?

A user's key falls in one of 10,000 hash buckets. The canary owns the interval that begins at an offset taken from its
release's identity, so that the users of a 5 % step are among those of the 25 % step, and are not the same guinea pigs
at every release. The buckets are laid out in a fixed order and always sum to 10,000: proxies that pick by
`hash mod total` would otherwise reshuffle everyone at each step.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.core.weight import NONE, WHOLE, Weight


@dataclass(frozen=True, slots=True)
class Route:
    """The desired state of one environment's traffic. Roles exist only here: the revisions' names say nothing of them.

    `stable` is None before the first release: then whatever the canary does not get is answered 503 by the proxy.
    """

    environment: str
    stable: str | None
    canary: str | None = None
    weight: Weight = NONE
    offset: int = 0

    def __post_init__(self) -> None:
        if self.canary is None and self.weight != NONE:
            raise ValueError(f"{self.environment}: a weight of {self.weight} needs a canary to carry it")
        if self.canary is not None and self.canary == self.stable:
            raise ValueError(f"{self.environment}: {self.canary} cannot be stable and canary at once")
        if not 0 <= self.offset < WHOLE:
            raise ValueError(
                f"{self.environment}: the offset is one of the buckets 0 to {WHOLE - 1}, not {self.offset}"
            )

    @property
    def revisions(self) -> tuple[str, ...]:
        """Every revision that this route names, with or without weight."""
        return tuple(name for name in (self.stable, self.canary) if name is not None)

    def share(self, revision: str) -> Weight:
        """Return the share of the traffic that `revision` gets."""
        if revision == self.canary:
            return self.weight
        return self.weight.rest if revision == self.stable else NONE

    def intervals(self) -> tuple[tuple[str | None, int], ...]:
        """Lay out the buckets from 0 to 9,999: (revision, number of buckets), four entries that sum to 10,000.

        stable | canary | stable, or canary | stable | canary when the interval wraps to the front; entries of zero
        buckets stay, because the order must not change with the weight.
        """
        if self.canary is None:
            return ((self.stable, WHOLE),)
        wrapped = max(0, self.offset + self.weight.points - WHOLE)
        tail = self.weight.points - wrapped
        before = self.offset - wrapped
        after = WHOLE - wrapped - before - tail
        return ((self.canary, wrapped), (self.stable, before), (self.canary, tail), (self.stable, after))
