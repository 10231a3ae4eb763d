"""By which numbers is a release judged?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from interlock.core.cohort import Cohort
from interlock.core.metric import Counted, Metric, Prometheus


class WithoutProof(StrEnum):
    """What to do when a step's deadline comes and the evidence proves nothing either way."""

    HOLD = "hold"
    ADVANCE = "advance-unproven"
    ROLL_BACK = "rollback"


class Control(StrEnum):
    """Beside what a release is judged: stable at the same time, stable's last hour, or nothing but the limits."""

    STABLE = "stable"
    HISTORY = "history"
    FIXED = "fixed"


@dataclass(frozen=True, slots=True)
class Criteria:
    """Limits and error probabilities of the judge; the defaults are the specification's.

    Rates are fractions from 0 to 1. `alpha` bounds the probability that a healthy release is rolled back at any time
    of the whole rollout, `beta` that a step with a bad release is called proven. `margin` is how many times the limit
    a release must be proven not to reach. Where stable runs beside the canary, a canary up to `stable_ratio` times as
    bad is not blamed; an incident both share is put down to it after `incident_at_most` all the same. A request not
    answered within `hang_after` counts as failed. `metrics` are kinds of bad events that the application counts itself;
    each must stay below its limit, and be proven, like failures. `baseline` is beside what a release is judged; only
    `stable` excuses what befalls both sides. `counted` is who counts the requests, where it is not the proxy.
    `cohort` tells requests with a feature flag from those without: while some users have it, both are compared.
    """

    error_rate: float = 0.01
    latency_factor: float = 2.0
    latency_p99: timedelta | None = None
    catastrophe_rate: float = 0.2
    alpha: float = 0.01
    beta: float = 0.05
    margin: float = 2.0
    stable_ratio: float = 1.5
    hang_after: timedelta = timedelta(seconds=10)
    incident_at_most: timedelta = timedelta(minutes=10)
    warm_up: timedelta = timedelta(0)
    sample_every: timedelta = timedelta(seconds=5)
    without_proof: WithoutProof = WithoutProof.HOLD
    hold_at_most: timedelta = timedelta(minutes=30)
    blind_at_most: timedelta = timedelta(seconds=60)
    baseline: Control = Control.STABLE
    metrics: tuple[Metric, ...] = ()
    counted: Counted | None = None
    cohort: Cohort | None = None

    def references(self) -> Iterator[str]:
        """Yield the secrets that sources need, as the file names them."""
        for source in self._sources():
            if source.token_secret:
                yield source.token_secret

    def sealed(self, fingerprints: Mapping[str, str]) -> Criteria:
        """Name each secret by its fingerprint in place of its reference; raise KeyError for one that has none."""

        def seal(source: Prometheus) -> Prometheus:
            return replace(source, token_secret=fingerprints[source.token_secret]) if source.token_secret else source

        metrics = tuple(replace(one, source=seal(one.source)) if one.source else one for one in self.metrics)
        counted = self.counted and replace(self.counted, source=seal(self.counted.source))
        cohort = self.cohort and replace(self.cohort, source=self.cohort.source and seal(self.cohort.source))
        return replace(self, metrics=metrics, counted=counted, cohort=cohort)

    def _sources(self) -> Iterator[Prometheus]:
        yield from (one.source for one in self.metrics if one.source is not None)
        yield from (self.counted.source,) if self.counted else ()
        yield from (self.cohort.source,) if self.cohort and self.cohort.source else ()
