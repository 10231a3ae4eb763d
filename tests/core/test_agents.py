"""Is an agent's word never taken for a person's?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from tests.engine.stories import revision, stage

from interlock.core.agents import AGENTS, Agent, is_agent, order_refused, person_behind, plan_refused
from interlock.core.approval import is_author
from interlock.core.conditions import Conditions, Override
from interlock.core.events import Order, OrderKind
from interlock.core.plan import Plan
from interlock.core.rollout import Rollout, begin
from interlock.core.steps import GateName

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def rollout(conditions: Conditions = Conditions()) -> Rollout:
    part = replace(stage(revision("2"), revision("1")), conditions=conditions)
    return begin("shop-1-production", "shop-1", "hash", part, NOW, "ada")


def order(kind: OrderKind, channel: str = AGENTS) -> Order:
    return Order(NOW, kind, "ada's agent x 1", "key", channel=channel)


@pytest.mark.parametrize("kind", [OrderKind.APPROVE, OrderKind.ACKNOWLEDGE, OrderKind.SUPERSEDE, OrderKind.PROMOTE])
def test_what_needs_a_person_is_refused_to_an_agent_with_the_command_for_a_person(kind: OrderKind) -> None:
    assert "shop-1" in order_refused(order(kind), rollout())
    assert order_refused(order(kind, "command line"), rollout()) == ""


@pytest.mark.parametrize("kind", [OrderKind.PAUSE, OrderKind.RESUME, OrderKind.ABORT])
def test_what_lowers_risk_or_undoes_that_is_not(kind: OrderKind) -> None:
    assert order_refused(order(kind), rollout()) == ""


def test_an_agent_may_end_a_watch_unproven_only_where_the_plan_says_so() -> None:
    assert order_refused(order(OrderKind.PROMOTE), rollout(Conditions(agents_promote=True))) == ""


def test_a_plan_with_somebodys_word_for_a_closed_gate_is_no_agents() -> None:
    word = Override(GateName.WINDOW, "ada", "it burns", NOW)
    for conditions in (Conditions(overrides=(word,)), Conditions(fixes="INC-1")):
        part = replace(stage(revision("2"), revision("1")), conditions=conditions)
        assert "a person has to start it" in plan_refused(Plan("shop", "2", (part,), NOW))
    assert plan_refused(Plan("shop", "2", (stage(revision("2"), revision("1")),), NOW)) == ""


def test_who_has_an_agent_start_a_release_has_started_it() -> None:
    by = str(Agent("ada", "claude-code", "2.1", "a model"))
    assert by == "ada's agent claude-code 2.1"
    assert (person_behind(by), person_behind("ada")) == ("ada", "ada")
    assert is_agent(by) and not is_agent("ada")
    assert is_author("Ada@shop.example", by) and not is_author("bob@shop.example", by)
