"""Which incidents were there, and what is known of one beyond its journal: commits, logs?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from interlock.adapters.artefacts.local import git
from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.app.view import NoSuchRollout, View
from interlock.core.incident import Resolution, is_incident, resolution
from interlock.core.release import Release
from interlock.core.rollout import Rollout
from interlock.core.suspects import Commits, Found, repository_commit
from interlock.ports.artefacts import ArtefactError

LOG_LINES = 50
MOST_COMMITS = 50
LISTED = 200
"""Only so many of the newest rollouts are looked through for incidents."""


async def incidents(app: App) -> tuple[tuple[Rollout, Resolution | None], ...]:
    """Return every rollout that was taken back, newest first, with the cause that somebody wrote, if one did."""
    found = [rollout for rollout in await app.history(LISTED) if is_incident(rollout)]
    return tuple([(one, resolution(await app.records.entries(one.id))) for one in found])


def find(rollouts: Sequence[Rollout], id: str) -> Rollout:
    """Return the rollout of a run that is an incident; `id` is its own name or the run's."""
    found = next((one for one in reversed(rollouts) if is_incident(one) and id in (one.id, one.run)), None)
    if found is None:
        went_back = any(one.going_back and id in (one.id, one.run) for one in rollouts)
        why = "no user met it, nor was it at fault" if went_back else "nothing was taken back"
        raise NoSuchRollout(f"{id}: {why}, so there is no incident. All of them: interlock incident list")
    return found


async def seek(state: StateDirectory, view: View, repository: Path | None) -> Found:
    """Collect what is outside the journal: commits between the releases, the last lines of what failed."""
    from interlock.app.logs import tail  # imported late: it needs the adapters of instances

    rollout = next((one for one in reversed(view.rollouts) if one.going_back), None)
    if rollout is None:
        return Found()
    try:
        log = await tail(state, rollout.stage.revision.name, LOG_LINES)
    except Exception as problem:  # an incident's report is written whatever else is broken
        log = (f"(the log cannot be read: {problem})",)
    old = rollout.stage.replaces
    return Found(commits_between(old.release if old else None, rollout.stage.revision.release, repository), log)


def commits_between(old: Release | None, new: Release, repository: Path | None) -> Commits:
    """Return the commits between two releases, or why they are not known."""
    if old is None:
        return Commits(why="this is the first release")
    first, last = repository_commit(old.artefact), repository_commit(new.artefact)
    if first is None or last is None:
        return Commits(why=f"not both releases were made from git ({old.artefact.source}, {new.artefact.source})")
    if repository is None:
        return Commits(first, last, why="no interlock.yaml was found, so it is not known in which repository they are")
    try:
        lines, more = git.between(repository, first, last, MOST_COMMITS)
    except ArtefactError as problem:
        return Commits(first, last, why=str(problem))
    return Commits(first, last, lines, more)
