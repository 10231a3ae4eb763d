"""Whatever a real flag server does, and whenever the keeper dies: are flags commanded first, and is all as it was?"""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import Phase as Part
from hypothesis import strategies as st
from tests.adapters.flags.proxy import FAULTS, HANGS
from tests.e2e.flag_rollbacks import Trouble, check, go_back, go_back_all
from tests.unleash.server import UnleashServer

pytestmark = pytest.mark.timeout(240)

TROUBLES = st.builds(
    Trouble,
    st.lists(st.sampled_from(FAULTS), max_size=4).map(tuple),
    st.none() | st.floats(0, 0.6),
)


@settings(max_examples=2, deadline=None, suppress_health_check=list(HealthCheck), phases=[Part.generate])
@given(troubles=st.lists(TROUBLES, min_size=10, max_size=10))
def test_flags_are_commanded_first_and_restored_last_through_any_trouble(
    unleash: UnleashServer, troubles: list[Trouble]
) -> None:
    for trouble, went in zip(troubles, asyncio.run(go_back_all(unleash, troubles)), strict=True):
        check(unleash, trouble, went)


async def test_a_server_that_hangs_keeps_no_user_on_the_canary(unleash: UnleashServer) -> None:
    trouble = Trouble((HANGS,) * 3)
    went = await go_back(unleash, trouble)
    check(unleash, trouble, went)
    assert went.carried < 5  # `make bench` has the figure: 0.25 s and the traffic's own time
    assert any("not confirmed off" in one.text for one in went.entries)
