"""What does each kind of reader do with a piece of news: send a letter, or enter it in the deployment log?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from interlock.core import letter
from interlock.core.account import Account
from interlock.core.cdevent import cloud_event
from interlock.core.channel import DeploymentLog
from interlock.core.news import Kind, News, wanted
from interlock.core.rollout import Rollout
from interlock.ports.docs import Docs, Returned, Row
from interlock.ports.notify import Letter, Outlet
from interlock.ports.store import Entry, Store

DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Post:
    """A channel to people. `hide` takes secrets out of what programs may have said."""

    name: str
    outlet: Outlet
    events: tuple[str, ...]
    hide: Callable[[str], str]
    store: Store

    def wants(self, all: Sequence[News]) -> tuple[News, ...]:
        return wanted(all, self.events)

    async def take(self, news: News) -> None:
        await self.outlet.send(written(news, self.hide, str(await self.store.head())))


def written(news: News, hide: Callable[[str], str], head: str = "") -> Letter:
    """Write the letter of a piece of news, without any secret."""
    shown = replace(news, text=hide(news.text), rollout=replace(news.rollout, reason=hide(news.rollout.reason)))
    title, text = letter.title(shown), letter.text(shown, head)
    event = cloud_event(shown, title, text, head)
    return Letter(news.key, news.thread, news.first, news.at, letter.thread_title(shown), title, text, event)


def incident(news: News, report: str, hide: Callable[[str], str], head: str = "") -> Letter:
    """Write the letter that brings the incident report of a rollout, as an answer in its deployment's thread."""
    answer = written(news, hide, head)
    title, text, key = f"Incident report: {answer.subject}", hide(report), f"{news.key}.incident"
    data = answer.event["data"]
    custom = {**data["customData"], "title": title, "text": text, "kind": "incident"}
    context = {**data["context"], "id": key}
    event = {**answer.event, "id": key, "data": {**data, "context": context, "customData": custom}}
    return replace(answer, key=key, first=False, title=title, text=text, event=event)


@dataclass(frozen=True, slots=True)
class Chronicle:
    """The deployment log: production's successes are entered, and what a rollback leaves in git is named."""

    log: DeploymentLog
    docs: Docs
    hide: Callable[[str], str]
    store: Store
    name: str = "docs"

    def wants(self, all: Sequence[News]) -> tuple[News, ...]:
        wanted = (Kind.SUCCEEDED, Kind.ROLLED_BACK, Kind.SUPERSEDED)
        return tuple(one for one in all if one.last_environment and one.kind in wanted)

    async def take(self, news: News) -> None:
        if news.kind is Kind.SUCCEEDED:
            await self.docs.enter(self._row(news, await self._verdict(news)))
        elif news.rollout.exposed and not news.rollout.stage.flag_alone:  # a flag alone leaves the code where it is
            await self._drift(news)

    async def _drift(self, news: News) -> None:
        """Name the drift in the journal, once: from there it reaches the report and every channel."""
        if any(line.kind == DRIFT for line in await self.store.entries(news.rollout.id)):
            return
        if said := await self.docs.drift(self._returned(news)):
            await self.store.note(news.rollout.id, (Entry(news.at, DRIFT, said, {}),))

    async def _verdict(self, news: News) -> str:
        """Say by what it was let through: never "pass" where somebody, or policy, went on without proof."""
        if news.rollout.unproven:
            return f"advanced unproven ({len(news.rollout.unproven)} ×)"
        account = Account.of(news.rollout, await self.store.entries(news.rollout.id), None)
        judged = [one.judgement for one in account.story if one.judgement is not None]
        return judged[-1].verdict.value if judged else "healthy, not judged by traffic"

    def _row(self, news: News, verdict: str) -> Row:
        rollout, stage = news.rollout, news.rollout.stage
        release = stage.revision.release
        return Row(
            news.key,
            news.at,
            release.service,
            release.version,
            stage.environment,
            rollout.by or "unknown",
            _how(rollout),
            verdict,
            self._report(rollout.run),
        )

    def _report(self, run: str) -> str:
        if not self.log.report:
            return f"`interlock report {run}`"
        return f"[{run}]({self.log.report.replace('{run}', run)})"

    def _returned(self, news: News) -> Returned:
        stage = news.rollout.stage
        new, old = stage.revision.release, stage.replaces.release if stage.replaces else None
        return Returned(
            news.key,
            news.at,
            news.rollout.run,
            stage.environment,
            new.version,
            new.artefact.source,
            old.version if old else "",
            old.artefact.source if old else "",
            self.hide(news.rollout.reason),
            new.artefact.commit,
            old.artefact.commit if old else "",
        )


def _how(rollout: Rollout) -> str:
    """Say by which strategy, and how the flags stand that moved with it."""
    flags = [f"flag {one.flag} {one.now}" for one in rollout.flags]
    back = ["flag rolled back"] if rollout.retracted else []
    way = [] if rollout.stage.flag_alone and flags else [rollout.stage.strategy.value]
    return ", ".join((*way, *flags, *back))
