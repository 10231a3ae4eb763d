"""Does the file say which Prometheus collects what, and is what would mislead an error with its place?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from tests.config.test_load import TEN, errors, read

from interlock.core.criteria import Criteria
from interlock.core.metric import Counted, Prometheus, Series
from interlock.core.record import plain, restore

MINE = "criteria: {metrics: {mine: {bad: b_total, of: a_total, limit: 1%}}}\n"
REQUESTS = (
    "requests: http_requests_total, failures: 'http_requests_total{code=~\"5..\"}', "
    "latency: http_request_duration_seconds"
)


def criteria(tmp_path: Path, text: str) -> Criteria:
    found = read(tmp_path, text).production.criteria
    assert found is not None
    return found


def test_an_address_is_enough_and_named_metrics_are_read_there(tmp_path: Path) -> None:
    found = criteria(tmp_path, f"{TEN}{MINE}metrics: {{prometheus: 'http://prom.example:9090/'}}\n")
    (metric,) = found.metrics
    assert (metric.path, metric.source) == ("", Prometheus("http://prom.example:9090"))
    assert found.counted is None and list(found.references()) == []


def test_without_a_prometheus_instances_show_them_themselves(tmp_path: Path) -> None:
    (metric,) = criteria(tmp_path, f"{TEN}{MINE}metrics: /stats\n").metrics
    assert (metric.path, metric.source) == ("/stats", None)


def test_requests_are_judged_by_it_when_they_are_named_and_its_token_is_a_reference_until_it_is_sealed(
    tmp_path: Path,
) -> None:
    more = f"token: env:PROM, revision: rev, instances: [pod, zone], stale_after: 2m, {REQUESTS}"
    found = criteria(tmp_path, f"{TEN}{MINE}metrics: {{prometheus: {{url: 'https://p.example', {more}}}}}\n")
    source = Prometheus("https://p.example", "rev", ("pod", "zone"), timedelta(minutes=2), "env:PROM")
    failures = Series.parse('http_requests_total{code=~"5.."}')
    assert found.counted == Counted(
        source, Series("http_requests_total"), failures, Series("http_request_duration_seconds")
    )
    sealed = found.sealed({"env:PROM": "f1"})
    assert set(found.references()) == {"env:PROM"} and set(sealed.references()) == {"f1"}
    assert restore(Criteria, plain(sealed)) == sealed


def test_an_environment_may_have_one_where_the_top_level_has_a_path(tmp_path: Path) -> None:
    text = f"{TEN}{MINE}metrics: /stats\n".replace("{port: 8000}", "{port: 8000, metrics: {prometheus: 'http://p'}}")
    (metric,) = criteria(tmp_path, text).metrics
    assert metric.source == Prometheus("http://p")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("{prometheus: 'ftp://p'}", "metrics.prometheus"),
        ("{prometheus: {url: 'http://p', token: geheim}}", "expected a reference"),
        ("{prometheus: 'http://p', path: /m}", "expected one of path, prometheus"),
        ("{prometheus: {url: 'http://p', requests: a_total}}", "expected requests, failures and latency together"),
        ("{prometheus: {url: 'http://p', instances: []}}", "expected it not to be empty"),
        ("{prometheus: {url: 'http://p', revision: a-b}}", "metrics.prometheus.revision"),
        (
            f"{{prometheus: {{url: 'http://p', {REQUESTS.replace('code=', 'revision=')}}}}}",
            "without the label revision",
        ),
        ("{prometheus: {url: 'http://p', requests: 'rate(a[1m])', failures: b, latency: c}}", "the name of a counter"),
    ],
)
def test_what_cannot_be_or_would_mislead_is_refused(tmp_path: Path, metrics: str, said: str) -> None:
    found = errors(tmp_path, f"{TEN}metrics: {metrics}\n")
    assert any(said in one for one in found), found
    assert not any("geheim" in one for one in found)


def test_load_of_our_own_would_pass_for_users(tmp_path: Path) -> None:
    text = f"{TEN}metrics: {{prometheus: {{url: 'http://p', {REQUESTS}}}}}\nstrategy: {{canary: {{load: auto}}}}\n"
    assert any("expected no load where Prometheus counts the requests" in one for one in errors(tmp_path, text))
