"""Does a critical alert about a release take it back by itself? The real Prometheus, Alertmanager, Envoy and keeper.

Prometheus scrapes Envoy's own counters, through a bridge from TCP to its admin socket, which only the user may open.
Nothing else judges the release in these tests: without the alert it would go through.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.incidents.alertmanager import PROGRAM as ALERTMANAGER
from tests.adapters.incidents.alertmanager import alertmanager
from tests.adapters.metrics.prometheus import PROGRAM as PROMETHEUS
from tests.adapters.metrics.prometheus import job, prometheus
from tests.e2e.town import HALF, QUICK, SERVICE, Town, Wish, eventually

from interlock.adapters.incidents.alertmanager import Alerts
from interlock.adapters.traffic.envoy.process import socket_in
from interlock.core.conditions import Conditions
from interlock.core.incidents import Alertmanager, Incidents
from interlock.core.metric import Counted, Prometheus, Series
from interlock.core.phase import Phase

Needs = Callable[[str], Path]
FAILS = {
    "alert": "ShopFails",
    "expr": 'sum by (envoy_cluster_name) (rate(envoy_cluster_upstream_rq_xx{envoy_response_code_class="5"}[4s])) > 2',
    "labels": {"severity": "critical", "service": SERVICE},
    "annotations": {"summary": "{{ $labels.envoy_cluster_name }} fails {{ $value }} requests a second"},
}
SOON = timedelta(seconds=5)


@asynccontextmanager
async def bridge(socket: Path) -> AsyncIterator[str]:
    """Let Prometheus, which speaks TCP only, reach a unix socket; return the address."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while some := await reader.read(65536):
                writer.write(some)
                await writer.drain()
        writer.close()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs = await asyncio.open_unix_connection(socket)
        except OSError:
            writer.close()
            return
        await asyncio.gather(copy(reader, theirs[1]), copy(theirs[0], writer))

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def asking(url: str) -> Conditions:
    source = Alertmanager(url, mine=(f'service="{SERVICE}"',))
    return Conditions(incidents=Incidents((source,), timeout=SOON))


def unjudged(town: Town, url: str, **more: object) -> Wish:
    """Wish for a release that only its health and alerts can take back, long in the middle of its canary."""
    return town.wish(criteria=None, bake=timedelta(seconds=60), conditions=asking(url), **more)


def moments(log: Path) -> list[float]:
    """Return the times that an instance wrote down."""
    return [at for (at,) in struct.iter_unpack("<d", log.read_bytes())] if log.exists() else []


async def test_a_rule_on_envoys_own_counters_takes_a_canary_back_by_itself(town: Town, needs: Needs) -> None:
    bads = town.place / "bads"
    socket = Path(socket_in(town.state.runtime))
    async with (
        bridge(socket) as admin,
        alertmanager(needs(ALERTMANAGER)) as manager,
        prometheus(
            needs(PROMETHEUS),
            job("envoy", {admin: {}}, "/stats/prometheus"),
            rules=(FAILS,),
            alerts_to=manager.url,
        ) as monitor,
        town.traffic(100) as users,
    ):
        await eventually(lambda: monitor.query("envoy_cluster_upstream_rq_total"), "Prometheus has scraped Envoy")
        before = await town.stable()
        wish = unjudged(
            town, manager.url, manners={"errors": 0.5, "errors_after": 100}, environment=(("BADS", str(bads)),)
        )
        run = await town.start(wish)
        alerts, source = Alerts(lambda _: ""), Alertmanager(manager.url)

        async def visible() -> bool:
            return bool(await alerts.active(source, SOON))

        await eventually(visible, "the alert is in Alertmanager")
        seen = time.time()
        ended = await town.over(run)
        await users.flows(before)
        took = carried_by_nobody(town, run) - seen
    assert ended.phase is Phase.ROLLED_BACK and not ended.quarantine, await town.story(run)
    assert "critical alert: ShopFails-" in ended.reason and wish.version in town.revisions
    since_bad = seen + took - min(moments(bads))
    print(f"canary at 0 % {since_bad:.1f} s after the first bad response, {took:.2f} s after the alert was visible")
    assert since_bad < 25 and took < 5
    lines = [entry.text for entry in await town.entries(run) if entry.kind == "alert"]
    assert lines and lines[0].startswith("active: ShopFails-")
    assert town.failed(users.counts, wish.version) == []


def carried_by_nobody(town: Town, run: str) -> float:
    """Return when the proxy had been told that the canary carries nothing, by the keeper's trace."""
    calls = [line.split(" ") for line in town.trace.read_text().splitlines()]
    return max(float(call[0]) for call in calls if call[1] == "fall_back")


async def test_an_alert_that_names_another_service_holds_the_canary_and_takes_nothing_back(
    town: Town, needs: Needs
) -> None:
    async with alertmanager(needs(ALERTMANAGER)) as manager, town.traffic(50):
        wish = town.wish(criteria=None, conditions=asking(manager.url), bake=timedelta(seconds=2))
        run = await town.start(wish)
        await town.until(run, lambda rollout: rollout.weight == HALF, "its first weight")
        await manager.fire(alertname="TillDown", severity="critical", service="till")
        held = await town.until(run, lambda rollout: rollout.phase is Phase.WAITING, "a hold")
        assert "TillDown" in held.reason and held.weight == HALF
        await manager.fire(alertname="TillDown", severity="critical", service="till", ends=True)
        ended = await town.over(run)
    assert ended.phase is Phase.SUCCEEDED, await town.story(run)


async def test_nothing_starts_while_an_alert_fires(town: Town, needs: Needs) -> None:
    async with alertmanager(needs(ALERTMANAGER)) as manager:
        await manager.fire(alertname="ShopFails", severity="critical", service=SERVICE)
        run = await town.start(unjudged(town, manager.url))
        held = await town.until(run, lambda rollout: rollout.phase is Phase.WAITING, "a hold")
        assert "ShopFails" in held.reason
        await town.abort(run)
        ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and not ended.exposed


@pytest.mark.parametrize("errors", [0, 0.5], ids=["good", "bad"])
async def test_a_release_is_judged_by_what_prometheus_collects(town: Town, needs: Needs, errors: float) -> None:
    """Of Envoy's own counters, by cluster, which is named after the revision: nothing of the service's is needed."""
    counter = "envoy_cluster_upstream_rq_xx"
    async with (
        bridge(Path(socket_in(town.state.runtime))) as admin,
        prometheus(needs(PROMETHEUS), job("envoy", {admin: {}}, "/stats/prometheus")) as monitor,
        town.traffic(200, 40) as users,
    ):
        await eventually(lambda: monitor.query(counter), "Prometheus has scraped Envoy")
        source = Prometheus(monitor.url, revision="envoy_cluster_name")
        failures = Series.parse(f'{counter}{{envoy_response_code_class="5"}}')
        counted = Counted(source, Series(counter), failures, Series("envoy_cluster_upstream_rq_time"))
        criteria = replace(QUICK, sample_every=timedelta(seconds=1), counted=counted)
        wish = town.wish(criteria=criteria, proven=True, bake=timedelta(seconds=3), manners={"errors": errors})
        run = await town.start(wish)
        ended = await town.over(run)
    story = await town.story(run)
    if errors:
        assert ended.phase is Phase.ROLLED_BACK and ended.quarantine and "requests failed" in ended.reason, story
    else:
        assert ended.phase is Phase.SUCCEEDED and not ended.unproven, story
    assert town.failed(users.counts, wish.version) == []
