"""Is a query that a Prometheus does not understand found when the release is planned, and is nothing else asked?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.adapters.incidents.server import serving

from interlock.app.measured import understood
from interlock.app.secrets import keep
from interlock.app.state import StateDirectory
from interlock.app.verbs import Blocked
from interlock.core.criteria import Criteria
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series

MINE = Metric("mine", 0.01, Ratio(Series("b_total"), Series("a_total")), path="")
EMPTY = {"status": "success", "data": {"resultType": "vector", "result": []}}


def asking(url: str, token: str = "") -> Criteria:
    source = Prometheus(url, token_secret=token)
    counted = Counted(source, Series("r_total"), Series("f_total"), Series("d_seconds"))
    return Criteria(metrics=(replace(MINE, source=source),), counted=counted)


async def test_criteria_that_name_no_prometheus_are_what_they_are(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    assert await understood(None, {}, state) is None
    own = Criteria(metrics=(replace(MINE, path="/metrics"),))
    assert await understood(own, {}, state) is own


async def test_every_query_is_tried_with_the_token_and_the_plan_has_its_fingerprint_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROM", "geheim-0123456789")
    state = StateDirectory(tmp_path)
    fingerprints = keep(state.secrets, ["env:PROM"])
    async with serving(lambda path, query: EMPTY) as served:
        found = await understood(asking(served.url, "env:PROM"), fingerprints, state)
    assert found is not None and set(found.references()) == {fingerprints["env:PROM"]}
    asked = " ".join(query["query"][0] for _, query, _ in served.asked)
    assert all(name in asked for name in ("b_total", "a_total", "r_total", "f_total", "d_seconds"))
    assert {headers["authorization"] for _, _, headers in served.asked} == {"Bearer geheim-0123456789"}


@pytest.mark.parametrize("manners", ["400", "401", "500", "hang", "page"])
async def test_what_is_not_understood_or_cannot_be_asked_blocks_the_plan(tmp_path: Path, manners: str) -> None:
    async with serving(lambda path, query: EMPTY, manners) as served:
        with pytest.raises(Blocked, match="the release could not be judged") as caught:
            await understood(asking(served.url), {}, StateDirectory(tmp_path))
    if manners == "400":
        assert "criteria.metrics.mine" in str(caught.value) and "does not understand b_total: no" in str(caught.value)
