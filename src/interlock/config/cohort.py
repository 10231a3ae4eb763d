"""Which counters tell requests that a flag served from those that it did not?"""

from __future__ import annotations

from pydantic import Field

from interlock.config.block import Block
from interlock.config.quantity import Selector
from interlock.core.cohort import Cohort
from interlock.core.metric import Prometheus, Series

_cohort = Cohort(Series(""), Series(""))


class CohortBlock(Block):
    bad: Selector = Field(description='the counter of bad events: `http_requests_total{status=~"5.."}`')
    of: Selector = Field(description="the counter of all of them: `http_requests_total`")
    label: str = Field(
        _cohort.label,
        pattern="^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="the label of both that says which variant of the flag served the request; by default "
        "OpenTelemetry's",
    )
    exposed: str = Field(_cohort.exposed, description="its value where the user has the feature")
    unexposed: str = Field(_cohort.unexposed, description="its value where the user does not")


def cohort(block: CohortBlock | None, path: str, collects: Prometheus | None) -> Cohort | None:
    """Return what the block says, counted where all metrics of the user's are."""
    if block is None:
        return None
    where = (path, None) if collects is None else ("", collects)
    return Cohort(Series.parse(block.bad), Series.parse(block.of), block.label, block.exposed, block.unexposed, *where)
