"""Does the command say who has acknowledged, and does a run that waits for that say how?"""

from __future__ import annotations

import asyncio
import json
from argparse import Namespace
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.surfaces.worlds import seen

from interlock.app.waits import waits
from interlock.core.conditions import Conditions
from interlock.core.events import Order, OrderKind
from interlock.core.on_call import OnCall, Roster
from interlock.core.rollout import Rollout
from interlock.core.steps import Gate, GateName
from interlock.core.transitions import advance
from interlock.surfaces.cli import acknowledge
from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import parse


class Stand:
    """Stands in for the verbs, and obeys the table."""

    def __init__(self) -> None:
        self.view, self.now = seen("watched")
        self.given: tuple[str | None, str, str, str] | None = None

    async def acknowledge(self, run: str | None, name: str = "", token: str = "", reason: str = "") -> Rollout:
        self.given = run, name, token, reason
        return advance(self.view.current, Order(self.now, OrderKind.ACKNOWLEDGE, name or "ada", "k", reason))


def call(stand: Stand, *argv: str) -> Call:
    options: Namespace = parse(["acknowledge", *argv])
    made = Call(options)
    vars(made)["app"] = stand
    return made


def test_the_command_says_who_has_acknowledged_and_where_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand()
    assert asyncio.run(acknowledge.run(call(stand, "shop-2", "--as", "grace", "-m", "at my desk"))) is Exit.OK
    assert stand.given == ("shop-2", "grace", "", "at my desk")
    said = capsys.readouterr().out
    assert said.startswith(f"shop-2-production: acknowledged by grace at {stand.now:%H:%M:%S} UTC. Now step 7/16 watch")


def test_a_token_says_for_which_run_and_who(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand()
    assert asyncio.run(acknowledge.run(call(stand, "--token", "a.b", "-o", "json"))) is Exit.OK
    assert stand.given == (None, "", "a.b", "")
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (document["type"], document["order"]) == ("order", "acknowledge")


def test_nobody_is_somebody_and_a_token_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["acknowledge", "--as", "ada", "--token", "a.b"])
    assert "not allowed with argument" in capsys.readouterr().err


def test_a_run_that_waits_for_those_on_call_says_how_until_when_and_what_follows() -> None:
    view, now = seen("watched")
    rollout = view.current
    steps = (Gate(GateName.ON_CALL, timedelta(minutes=15)), *rollout.stage.steps)
    conditions = Conditions(on_call=OnCall(Roster(("ada",)), acknowledge=True))
    rollout = replace(rollout, index=0, stage=replace(rollout.stage, steps=steps, conditions=conditions))
    wait = waits(rollout, now, timedelta(minutes=5))
    assert wait.what == "somebody on call, who has to acknowledge it"
    assert wait.orders == ("acknowledge", "pause", "abort")
    assert wait.until == now + timedelta(minutes=10) and wait.then == "goes back"
    known = advance(rollout, Order(now, OrderKind.ACKNOWLEDGE, "ada", "k"))
    assert "acknowledge" not in waits(known, now).orders
