"""What may stand under `gates` of an environment: what must be so in the world around a release?"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from interlock.config.block import Block
from interlock.config.calendar import FeedAddress, Place
from interlock.config.moment import Day, Hours, Moment, Zone
from interlock.config.notify import Mailbox, WebhookBlock
from interlock.config.quantity import Argv, Duration, Reference
from interlock.core import checks, incidents, on_call, window
from interlock.core.approval import Policy

Names = Annotated[tuple[str, ...], Field(strict=False)]
_alertmanager, _pagerduty, _web = incidents.Alertmanager(url=""), incidents.PagerDuty(), incidents.Web(url="")
_policy = Policy("")
_incidents, _window = incidents.Incidents(()), window.Window(())
_on_call, _checks = on_call.OnCall(on_call.Roster(())), checks.Checks(())
_TOKEN = "the token to ask with, by reference: `env:NAME` or `file:PATH`"


class GitHubBlock(Block):
    repository: str = Field(pattern=r"^[^/\s]+/[^/\s]+$", description="owner/name")
    url: str = Field(
        checks.GitHub("").url, description="where the API answers (GitHub Enterprise: https://HOST/api/v3)"
    )
    token: Reference | None = Field(None, description=_TOKEN)
    required: Names = Field((), description="checks and statuses that must have passed, by name; by default all")


class GitLabBlock(Block):
    project: str = Field(min_length=1, description="the project's id or path")
    url: str = Field(checks.GitLab("").url, description="where GitLab answers")
    token: Reference | None = Field(None, description=_TOKEN)
    required: Names = Field((), description="statuses that must have passed, by name; by default all")


class JUnitBlock(Block):
    path: str = Field(min_length=1, description="the report, or a pattern of several, relative to this file")
    newer_than: Duration | None = Field(None, description="a report older than this does not count")

    SHORT_PATTERN = "^."

    @classmethod
    def expand(cls, text: str) -> dict[str, str]:
        return {"path": text}


class ChecksBlock(Block):
    github: GitHubBlock | None = Field(None, description="statuses and check runs of the artefact's commit")
    gitlab: GitLabBlock | None = Field(None, description="statuses of the artefact's commit")
    junit: JUnitBlock | None = Field(None, description="a test report in JUnit's XML")
    command: Argv = Field((), description="run this, not through a shell; exit status 0 is passed")
    timeout: Duration = Field(_checks.timeout, description="how long the answer may take")


class AlertmanagerBlock(Block):
    url: str = Field(pattern="^https?://", description="where Alertmanager answers")
    matchers: Names = Field(
        _alertmanager.matchers, description="which alerts count; those that are silenced or inhibited never do"
    )
    mine: Names = Field((), description="which of them name this service")
    token: Reference | None = Field(None, description=_TOKEN)


class PagerDutyBlock(Block):
    services: Names = Field((), description="ids of the services whose incidents count; by default all")
    mine: Names = Field((), description="ids of the services that are this one")
    token: Reference = Field(description=_TOKEN)
    url: str = Field(_pagerduty.url, description="where the API answers")


class WebBlock(Block):
    url: str = Field(pattern="^https?://", description="what to ask; the answer is JSON")
    token: Reference | None = Field(None, description=_TOKEN)
    items: str = Field(
        _web.items, description="the dotted name of the list in the answer; by default the answer itself"
    )
    id: str = Field(_web.id, description="the dotted name of an item's id")
    title: str = Field(_web.title, description="the dotted name of its title")
    since: str = Field(_web.since, description="the dotted name of its beginning (ISO 8601)")
    open_field: str = Field(_web.open_field, description="the dotted name of its state; by default every item is open")
    open_values: Names = Field((), description="the states that are open")
    mine_field: str = Field(_web.mine_field, description="the dotted name by which an item is ours")
    mine_values: Names = Field((), description="the values that are ours")


class IncidentsBlock(Block):
    alertmanager: AlertmanagerBlock | None = Field(None, description="firing alerts of Alertmanager")
    pagerduty: PagerDutyBlock | None = Field(None, description="open incidents of PagerDuty")
    http: WebBlock | None = Field(None, description="any list of incidents in JSON")
    file: str = Field("", description="a file whose lines are incidents (`ID title`), while it is there")
    mine: Literal["hold", "rollback"] = Field(
        _incidents.mine.value,
        description="what an incident that names this service does while users are on the release",
    )
    timeout: Duration = Field(_incidents.timeout, description="how long an answer may take; later is not open")

    @model_validator(mode="after")
    def _somebody_to_ask(self) -> Self:
        if not (self.alertmanager or self.pagerduty or self.http or self.file):
            raise ValueError("expected alertmanager, pagerduty, http or file, found none of them")
        return self


class FreezeBlock(Block):
    first: Day = Field(alias="from", description="the first day, YYYY-MM-DD")
    last: Day = Field(alias="to", description="the last day")
    why: str = Field("", description="what is said about it")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"expected a last day on or after {self.first}, found {self.last}")
        return self


class WindowBlock(Block):
    open: tuple[Hours, ...] = Field(strict=False, min_length=1, description="such as `mon-fri 09:00-17:00`")
    timezone: Zone = Field(_window.timezone, description="whose hours these are, such as `Europe/Berlin`")
    freezes: tuple[FreezeBlock, ...] = Field((), strict=False, description="days on which nothing is released")
    calendar: FeedAddress = Field(
        "",
        description="an iCalendar feed whose events are freezes, by URL or path; by reference (`env:NAME`, "
        "`file:PATH`) where its URL is a secret",
    )
    holidays: Place = Field("", description="a country, perhaps with a part: `DE`, `DE-BY`; its holidays are freezes")
    when_closed: Literal["finish", "hold", "rollback"] = Field(
        _window.when_closed.value, description="what becomes of a rollout under way when the window closes"
    )


class OnCallPagerDutyBlock(Block):
    schedules: Names = Field((), description="ids of schedules")
    policies: Names = Field((), description="ids of escalation policies")
    token: Reference = Field(description=_TOKEN)
    url: str = Field(_pagerduty.url, description="where the API answers")


class ReachBlock(Block):
    mail: Mailbox | None = Field(
        None, description="by mail to this address, through the first mail channel of `notify`"
    )
    apprise: Reference | None = Field(
        None, description="by any service that Apprise knows, by its address there, which is a secret"
    )
    webhook: WebhookBlock | None = Field(None, description="by signed CloudEvents; a text is the address")

    SHORT_PATTERN = "^[^@ ]+@[^@ ]+$"

    @classmethod
    def expand(cls, text: str) -> dict[str, str]:
        return {"mail": text}

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if not (self.mail or self.apprise or self.webhook):
            raise ValueError("expected mail, apprise or webhook, found none of them")
        return self


class OnCallBlock(Block):
    people: Names = Field((), description="who is on call, in turn where `every` is given")
    start: Moment | None = Field(None, description="when the first one's turn began (ISO 8601 with offset)")
    every: Duration | None = Field(None, description="how long a turn lasts")
    pagerduty: OnCallPagerDutyBlock | None = Field(None, description="ask PagerDuty")
    calendar: FeedAddress = Field(
        "",
        description="an iCalendar feed whose events are named after people, by URL or path; by reference (`env:NAME`, "
        "`file:PATH`) where its URL is a secret",
    )
    timezone: Zone = Field("UTC", description="whose days its whole-day events are")
    reach: dict[str, ReachBlock] = Field(
        default_factory=dict,
        description="how people are told whose address the source does not know, by their name or address there",
    )
    acknowledge: bool = Field(_on_call.acknowledge, description="one of them must say that they know of it")
    within: Duration = Field(_on_call.within, description="how long to wait for that")

    KINDS: ClassVar[tuple[str, ...]] = ("people", "pagerduty", "calendar")

    @model_validator(mode="after")
    def _turns(self) -> Self:
        if (self.start is None) != (self.every is None):
            raise ValueError("expected start and every together, found one of them")
        return self


class ApprovalsBlock(Block):
    signers: str = Field(
        min_length=1,
        description="the file that lists who may approve, by SSH key (`man ssh-keygen`, ALLOWED SIGNERS); keep it "
        "where only those may write who may say who approves",
    )
    needed: int = Field(_policy.needed, ge=1, le=20, description="so many different people must approve")
    not_author: bool = Field(_policy.not_author, description="whoever started the release does not count")
    valid_for: Duration = Field(_policy.valid_for, description="an approval holds for so long at most")


class GatesBlock(Block):
    tests: ChecksBlock | None = Field(None, description="the release's tests must have passed")
    incidents: IncidentsBlock | None = Field(None, description="no incident may be active, also on the way")
    window: WindowBlock | None = Field(None, description="only at these hours")
    on_call: OnCallBlock | None = Field(None, description="somebody must be on call")
    approvals: ApprovalsBlock | None = Field(
        None, description="people must approve before the first weight, and prove that it was them"
    )
