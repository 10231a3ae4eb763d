"""Does a plan say that what runs now does not show a metric, and nothing when it does?"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.core.examples import revision

from interlock.adapters.host.local import LocalHost
from interlock.adapters.workload.slots import record
from interlock.app.shown import unshown
from interlock.app.state import StateDirectory
from interlock.core.criteria import Criteria
from interlock.core.metric import Metric, Ratio, Series, Slower

PAGE = """\
payment_seconds_bucket{le="0.25"} 5
payment_seconds_bucket{le="0.5"} 6
payment_seconds_bucket{le="+Inf"} 6
payments_total 6
payments_refused_total 0
"""
REFUSED = Metric("refused", 0.01, Ratio(Series("payments_refused_total"), Series("payments_total")))
STABLE = revision("v1")


def slower(milliseconds: int) -> Metric:
    return Metric("slow", 0.01, Slower(Series("payment_seconds"), timedelta(milliseconds=milliseconds)))


class Shop(BaseHTTPRequestHandler):
    """An instance that shows its counters."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateDirectory]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Shop) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        records = tmp_path / "instances" / "revisions"
        records.mkdir(parents=True)
        slots = {0: record.Place(server.server_address[1])}
        record.write(LocalHost(), records / f"{STABLE.name}.json", record.Record(STABLE, slots))
        yield StateDirectory(tmp_path)
        server.shutdown()


async def test_a_limit_that_is_no_edge_is_said_with_the_nearest_ones(state: StateDirectory) -> None:
    (said,) = await unshown(Criteria(metrics=(REFUSED, slower(300))), STABLE, state)
    assert said.startswith("WARNING: v1, which runs now, does not show slow: instance 0: /metrics: ")
    assert "no edge at 0.3; the nearest are 0.25 and 0.5" in said


async def test_nothing_is_said_of_what_is_shown(state: StateDirectory) -> None:
    assert await unshown(Criteria(metrics=(REFUSED, slower(250))), STABLE, state) == ()
    assert await unshown(Criteria(), STABLE, state) == () == await unshown(None, STABLE, state)


async def test_nothing_is_said_where_nothing_runs_or_it_cannot_be_read(state: StateDirectory) -> None:
    wrong = Criteria(metrics=(slower(300),))
    assert await unshown(wrong, None, state) == () == await unshown(wrong, revision("v9"), state)
    (state.instances / "revisions" / "broken.json").write_text("{}")
    assert await unshown(wrong, STABLE, state) == ()
