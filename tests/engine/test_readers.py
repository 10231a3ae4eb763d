"""Is a success entered once, a drift named once, and an incident reported in its deployment's thread?"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.engine.stories import BAD, HASTY, Story, busy, play, revision, stage, staging

from interlock.adapters.memory import EPOCH
from interlock.core.approval import Policy
from interlock.core.channel import DeploymentLog
from interlock.core.news import Kind, news
from interlock.core.phase import Phase
from interlock.core.plan import Plan, Stage, StrategyName
from interlock.core.rollout import begin
from interlock.core.steps import Until, Watch
from interlock.engine.courier import Courier
from interlock.engine.readers import DRIFT, Chronicle, incident, written
from interlock.ports.docs import DocsError, Returned, Row
from interlock.ports.store import Entry


@dataclass
class Book:
    """Keeps what is entered. The first `breaks` calls fail."""

    rows: list[Row] = field(default_factory=list)
    returned: list[Returned] = field(default_factory=list)
    breaks: int = 0

    async def enter(self, row: Row) -> str:
        self._break()
        self.rows.append(row)
        return "the book"

    async def drift(self, returned: Returned) -> str:
        self._break()
        self.returned.append(returned)
        return f"git says {returned.version}, {returned.environment} runs {returned.runs}"

    def _break(self) -> None:
        self.breaks -= 1
        if self.breaks >= 0:
            raise DocsError("the repository is away")


def entering(book: Book, *stages: Stage, bad: bool = False) -> list[str]:
    """Release with the log on; return the kinds of lines in production's journal."""
    kinds: list[str] = []

    async def tell(story: Story) -> None:
        log = DeploymentLog("/srv/shop", report="https://r.example.org/{run}")
        reader = Chronicle(log, book, lambda text: text, story.store)
        courier = Courier(story.store, story.world, lambda plan: (reader,) if plan.log else ())
        task = asyncio.create_task(courier.run())
        if bad:
            story.world.behaviours["production-v2"] = replace(BAD)
        chosen = stages or (await story.ready(StrategyName.CANARY),)
        run = await story.engine.start(Plan("shop", "v2", chosen, EPOCH, "ada", (), log), "ada")
        ended = await story.ends(run)
        await story.until(lambda: bool(book.rows or book.returned), 3600)
        for _ in range(2):  # whoever takes over reads the same journal again, and enters nothing twice
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            task = asyncio.create_task(Courier(story.store, story.world, lambda plan: (reader,)).run())
            await story.world.sleep(HASTY.keep)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        kinds.extend(line.kind for line in await story.store.entries(ended.id))

    play(tell, busy())
    return kinds


def test_a_success_in_production_is_entered_once_with_who_how_and_its_verdict() -> None:
    book = Book()
    assert DRIFT not in entering(book)
    (row,) = book.rows
    assert (row.version, row.environment, row.by, row.strategy, row.verdict) == (
        "v2",
        "production",
        "ada",
        "canary",
        "pass",
    )
    assert row.report == "[shop-1](https://r.example.org/shop-1)"


def test_staging_is_not_entered() -> None:
    book = Book()
    entering(book, staging("v2"), stage(revision("v2"), None))
    assert [row.environment for row in book.rows] == ["production"]


def test_a_repository_that_is_away_is_tried_again() -> None:
    book = Book(breaks=5)
    entering(book)
    assert len(book.rows) == 1


def test_after_a_rollback_the_drift_is_in_the_journal_once_and_nothing_is_entered() -> None:
    book = Book()
    assert entering(book, bad=True).count(DRIFT) == 1
    (back,) = book.returned
    assert (back.version, back.runs, back.source) == ("v2", "v1", "memory") and book.rows == []


def test_a_release_that_begins_with_an_approval_says_at_once_whose_is_needed() -> None:
    approved = Watch(timedelta(0), Until.APPROVED, timedelta(hours=1))
    one = stage(revision("v2"), revision("v1"))
    policy = Policy("allowed_signers", needed=2, not_author=True)
    one = replace(one, steps=(approved, *one.steps), conditions=replace(one.conditions, approvals=policy))
    plan = Plan("shop", "v2", (one,), EPOCH)
    rollout = begin("shop-1-production", "shop-1", plan.hash, one, EPOCH)
    (waits,) = news(plan, rollout, (Entry(EPOCH, "began", "it begins", {}, 1),))
    said = written(waits, lambda text: text).text
    assert waits.kind is Kind.WAITING and waits.first
    assert "signed approval of 2 of those listed in allowed_signers, none of them who started it, is needed" in said
    assert "interlock approve shop-1 --sign KEY" in said and "within 1 h, until 2026-03-01 13:00:00 UTC" in said


def test_a_drift_is_news_and_so_reaches_every_channel() -> None:
    one = stage(revision("v2"), revision("v1"))
    plan = Plan("shop", "v2", (one,), EPOCH)
    rollout = replace(begin("shop-1-production", "shop-1", plan.hash, one, EPOCH), phase=Phase.ROLLED_BACK)
    lines = (Entry(EPOCH, "began", "it begins", {}, 1), Entry(EPOCH, DRIFT, "git says v2, production runs v1", {}, 2))
    first, drift = news(plan, rollout, lines)
    assert (first.kind, drift.kind, drift.seq) == (Kind.STARTED, Kind.DRIFTED, 2)
    letter = written(drift, lambda text: text.replace("v1", "•"))
    assert letter.title.startswith("Git and reality differ") and "production runs •" in letter.text
    report = incident(drift, "## Incident Report\nv1", lambda text: text.replace("v1", "•"))
    assert report.key == f"{drift.key}.incident" == report.event["id"] and report.thread == letter.thread
    assert report.text == "## Incident Report\n•" and not report.first
