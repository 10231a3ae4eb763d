"""Does the real Alertmanager tell which alerts fire, count, and are ours, and hide what it should?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.adapters.incidents.alertmanager import PROGRAM, SOON, Manager, alertmanager

from interlock.adapters.incidents.alertmanager import Alerts
from interlock.core.incidents import Alertmanager, Incident
from interlock.ports.incidents import IncidentsError

Needs = Callable[[str], Path]


@asynccontextmanager
async def manager(needs: Needs) -> AsyncIterator[Manager]:
    async with alertmanager(needs(PROGRAM)) as running:
        yield running


async def active(manager: Manager, *mine: str, matchers: tuple[str, ...] = ('severity="critical"',)) -> list[Incident]:
    found = await Alerts(lambda _: "unused").active(Alertmanager(manager.url, matchers, mine), SOON)
    return sorted(found, key=lambda one: one.id)


def names(found: list[Incident]) -> list[str]:
    return [one.id.partition("-")[0] for one in found]


async def test_an_alert_that_fires_is_seen_at_once_and_one_that_ended_is_not(needs: Needs) -> None:
    async with manager(needs) as running:
        assert await active(running) == []
        await running.fire(alertname="Errors", severity="critical", service="shop", summary="checkout is down")
        (one,) = await active(running, 'service="shop"')
        assert one.id.startswith("Errors-") and one.title == "checkout is down" and one.mine
        assert one.since is not None and timedelta(0) < datetime.now(UTC) - one.since < timedelta(minutes=10)
        assert one.source == running.url
        await running.fire(alertname="Errors", severity="critical", service="shop", ends=True)
        assert await active(running) == []


async def test_only_what_matches_counts_and_only_what_names_us_is_ours(needs: Needs) -> None:
    async with manager(needs) as running:
        await running.fire(alertname="Ours", severity="critical", service="shop")
        await running.fire(alertname="Theirs", severity="critical", service="till")
        await running.fire(alertname="Small", severity="warning", service="shop")
        found = await active(running, 'service="shop"')
        assert names(found) == ["Ours", "Theirs"] and [one.mine for one in found] == [True, False]
        assert not any(one.mine for one in await active(running)), "without matchers nothing is ours"
        assert names(await active(running, matchers=('severity=~"warning|page"',))) == ["Small"]
        assert names(await active(running, matchers=('severity="critical"', 'service!="till"'))) == ["Ours"]


async def test_what_is_silenced_or_inhibited_is_no_incident(needs: Needs) -> None:
    async with manager(needs) as running:
        await running.fire(alertname="Known", severity="critical", service="shop")
        await running.fire(alertname="Follows", severity="critical", region="north")
        await running.fire(alertname="Stands", severity="critical", region="south")
        await running.silence(alertname="Known")
        await running.fire(alertname="RegionDown", severity="page", region="north")
        assert names(await active(running, 'service="shop"')) == ["Stands"]


@pytest.mark.parametrize("mine", [(), ('service=="shop"',)], ids=["counts", "mine"])
async def test_a_matcher_that_is_wrong_closes_the_gate_before_any_incident(needs: Needs, mine: tuple[str, ...]) -> None:
    async with manager(needs) as running:
        matchers = ('severity="critical"',) if mine else ("severity critical",)
        with pytest.raises(IncidentsError, match="does not understand") as caught:
            await active(running, *mine, matchers=matchers)
        assert (mine or matchers)[0] in str(caught.value)
