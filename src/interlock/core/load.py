"""What requests of our own are to be sent, and what did they show, apart from what users saw?"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from interlock.core.criteria import Control, Criteria
from interlock.core.sample import Sample, Side
from interlock.core.tally import total

GRPC = "GRPC"
"""The `method` by which each path is a method of a gRPC service, called with an empty message."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How synthetic load is made: `rate` requests a second to each side, `paths` asked in turn by `method`.

    `requests` None: as many as proof takes. `always`: before every weight that is watched, or else only before those
    that users' traffic cannot prove within their bake.
    """

    rate: float = 10.0
    requests: int | None = None
    paths: tuple[str, ...] = ("/",)
    method: str = "GET"
    always: bool = True


def of_load(criteria: Criteria) -> Criteria:
    """Return the criteria by which a load is judged: beside stable, without what only the application counts.

    That cannot be told apart by who asked, and stable is always there to be asked the same. The proxy counts it.
    """
    return replace(criteria, metrics=(), baseline=Control.STABLE, counted=None)


@dataclass(frozen=True, slots=True)
class Tried:
    """How many requests of our own each side has had, and how many were bad: sums for the report."""

    canary: Side = field(default_factory=Side)
    stable: Side = field(default_factory=Side)

    def add(self, sample: Sample) -> Tried:
        """Count one more sample."""
        return replace(
            self,
            canary=total(self.canary, sample.canary or Side()),
            stable=total(self.stable, sample.stable or Side()),
        )
