"""Can a release be judged by what the file names, where somebody else counts it?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from interlock.adapters.clock import SystemClock
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.core.criteria import Criteria
from interlock.ports.metrics import MetricsError

_WITHIN = timedelta(seconds=5)


async def understood(
    criteria: Criteria | None, fingerprints: Mapping[str, str], state: StateDirectory
) -> Criteria | None:
    """Return the criteria as a plan has them; raise Blocked when a Prometheus does not understand what it is asked."""
    cohort = criteria.cohort if criteria else None
    named = (*criteria.metrics, *(cohort.metrics if cohort else ())) if criteria else ()
    if criteria is None or not (criteria.counted or any(one.source for one in named)):
        return criteria
    from interlock.adapters.metrics.prometheus import PrometheusMetrics  # imported late: few files name one

    sealed = criteria.sealed(fingerprints)
    asks = PrometheusMetrics(lambda name: (state.secrets / name).read_text().strip(), SystemClock(), within=_WITHIN)
    try:
        await asks.check((*sealed.metrics, *(sealed.cohort.metrics if sealed.cohort else ())), sealed.counted)
    except MetricsError as error:
        raise Blocked(f"the release could not be judged: {error}") from error
    return sealed
