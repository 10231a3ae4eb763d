"""What does a judge get to see in a simulated rollout, and what may it answer?

A judge is any class with these members whose constructor takes nothing. It learns of a scenario only what the operator
of a real rollout would know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, Protocol, TypedDict

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray


class Counts(TypedDict):
    """What one side did since it was last seen: a sample after a gap covers the gap.

    `buckets` counts answers up to each edge and, last, all of them. `started` counts the requests sent meanwhile and
    `pending` those without an answer at the end of the sample; where they are missing, every answer comes at once.
    """

    requests: float
    errors: float
    buckets: NDArray[int64]
    started: NotRequired[float]
    pending: NotRequired[float]


class Poll(TypedDict):
    """One look at both sides, `t` seconds after the canary got traffic and `dt` after the look before.

    A side is None when its telemetry did not answer.
    """

    t: float
    dt: float
    canary: Counts | None
    baseline: Counts | None


class Truth(TypedDict):
    """What really happens, for the oracle alone: from `onset` on (seconds), bad events come at the rate `p1`.

    They count as too many from the rate `theta` on. `v` is the bucket beyond which answers are slow, None for errors.
    """

    onset: float
    p1: float
    theta: float
    v: int | None


class Setting(TypedDict):
    """What is known before a rollout: upper edges of the latency buckets in ms (one to infinity follows), seconds
    between polls, planned seconds, seconds of warm-up in which only a catastrophe counts, and stable's polls before."""

    edges: Sequence[float] | None
    poll_s: float
    horizon_s: float
    warmup_s: float
    history: Sequence[Counts]
    oracle: NotRequired[Truth]


class Judge(Protocol):
    """A rule that decides about a canary."""

    @property
    def name(self) -> str: ...

    def reset(self, ctx: Setting) -> None:
        """Forget everything: another rollout begins."""

    def update(self, poll: Poll) -> str:
        """Take in one poll; answer 'continue', 'rollback' (final) or 'advance' (this step is proven)."""


def reported(counts: Counts | None) -> Counts | None:
    """None also for counts that are not numbers: the side was not seen."""
    return None if counts is None or counts["requests"] != counts["requests"] else counts
