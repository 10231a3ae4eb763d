"""Letters to send in tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.engine.stories import revision, stage

from interlock.adapters.memory import EPOCH
from interlock.core.news import Kind, News
from interlock.core.plan import Plan
from interlock.core.rollout import begin
from interlock.engine.readers import written
from interlock.ports.notify import Letter


def news(kind: Kind = Kind.HELD, seq: int = 3, text: str = "why it is so") -> News:
    """Return a piece of news of a canary from v1 to v2."""
    one = stage(revision("v2"), revision("v1"))
    plan = Plan("shop", "v2", (one,), EPOCH, "ada")
    rollout = replace(begin("shop-7-production", "shop-7", plan.hash, one, EPOCH, "ada"), index=7)
    return News(plan, rollout, kind, seq, EPOCH + timedelta(minutes=3), text)


def letter(kind: Kind = Kind.HELD, seq: int = 3, text: str = "why it is so") -> Letter:
    """Return the letter about it."""
    return written(news(kind, seq, text), lambda said: said)
