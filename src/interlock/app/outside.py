"""Which adapters answer for the world around a release? The kind of a source says who is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from interlock.adapters.calendar.feeds import Feeds
from interlock.adapters.checks.command import Commands
from interlock.adapters.checks.github import GitHubChecks
from interlock.adapters.checks.gitlab import GitLabChecks
from interlock.adapters.checks.junit import JUnitReports
from interlock.adapters.feed import Feed
from interlock.adapters.hooks.post import Posts
from interlock.adapters.hooks.program import Programs
from interlock.adapters.incidents.alertmanager import Alerts
from interlock.adapters.incidents.flagged import Files
from interlock.adapters.incidents.pagerduty import Incidents as PagerDutyIncidents
from interlock.adapters.incidents.web import Listed
from interlock.adapters.on_call.pagerduty import OnCalls
from interlock.adapters.on_call.roster import Turns
from interlock.adapters.on_call.rota import Rotas
from interlock.adapters.secrets import kept
from interlock.app.state import StateDirectory
from interlock.core import checks, hooks, incidents, on_call
from interlock.core.gates import Answer
from interlock.core.incidents import Incident
from interlock.core.on_call import Person
from interlock.core.release import Release
from interlock.core.secrecy import hidden
from interlock.core.verification import Verification
from interlock.engine.ports import Outside


class Kinds:
    """The adapters of every port, each for one kind of source."""

    def __init__(self, by: Mapping[type, Any]) -> None:
        self._by = by

    async def passed(self, source: checks.Source, release: Release, within: timedelta) -> Answer:
        """Ask whoever knows of tests."""
        answer: Answer = await self._by[type(source)].passed(source, release, within)
        return answer

    async def active(self, source: incidents.Source, within: timedelta) -> tuple[Incident, ...]:
        """Ask whoever knows of incidents."""
        found: tuple[Incident, ...] = await self._by[type(source)].active(source, within)
        return found

    async def people(self, source: on_call.Source, at: datetime, within: timedelta) -> tuple[Person, ...]:
        """Ask whoever knows who is on call."""
        found: tuple[Person, ...] = await self._by[type(source)].people(source, at, within)
        return found

    async def ask(self, hook: hooks.Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
        """Ask a hook, which is a server or a command."""
        answer: Answer = await self._by[type(hook.by)].ask(hook, facts, within)
        return answer


class Images:
    """Those who can prove something of an image; imported only where that is demanded."""

    def __init__(self, secret: Callable[[str], str]) -> None:
        self._secret = secret

    async def verified(self, demanded: Verification, release: Release, within: timedelta) -> Answer:
        """Look at what is attached to it in its registry."""
        from interlock.app.registries import verified

        return await verified(demanded, release, within, self._secret)


def surroundings(state: StateDirectory) -> Outside:
    """Return everybody whom this state directory's keeper may ask."""

    def secret(name: str) -> str:
        return (state.secrets / name).read_text().strip()

    def hide(text: str) -> str:
        return hidden(text, kept(state.secrets))

    feed = Feed(secret=secret)
    kinds = Kinds(
        {
            checks.GitHub: GitHubChecks(secret),
            checks.GitLab: GitLabChecks(secret),
            checks.JUnit: JUnitReports(),
            checks.Command: Commands(),
            incidents.Alertmanager: Alerts(secret),
            incidents.PagerDuty: PagerDutyIncidents(secret),
            incidents.Web: Listed(secret),
            incidents.Flagged: Files(),
            on_call.PagerDuty: OnCalls(secret),
            on_call.Roster: Turns(),
            on_call.Rota: Rotas(feed),
            hooks.Post: Posts(secret, hide),
            hooks.Program: Programs(secret, hide),
        }
    )
    return Outside(kinds, kinds, kinds, Feeds(feed), kinds, Images(secret))
