"""Does a command of the user's say that the tests have passed?"""

from __future__ import annotations

from datetime import timedelta

from interlock.adapters.program import CannotRun, bare, run
from interlock.core.checks import Command
from interlock.core.gates import Answer
from interlock.core.release import Release
from interlock.core.steps import spell


class Commands:
    """Runs commands, not through a shell, in a session of their own, without what else our environment holds."""

    async def passed(self, source: Command, release: Release, within: timedelta) -> Answer:
        """Say whether the command ended with status 0; it is killed with all it started when it is late."""
        name = " ".join(source.argv)
        facts = {
            "INTERLOCK_SERVICE": release.service,
            "INTERLOCK_VERSION": release.version,
            "INTERLOCK_ARTEFACT": release.artefact.digest,
            "INTERLOCK_COMMIT": release.artefact.commit,
        }
        try:
            ended = await run(source.argv, source.directory or "/", {**bare(), **facts}, within)
        except CannotRun as problem:
            return Answer(False, f"{name} cannot be run: {problem}", final=True)
        if ended.status is None:
            return Answer(False, f"{name} did not end within {spell(within)}{ended.said and f' ({ended.said})'}")
        return Answer(ended.status == 0, f"{name}: {'passed' if ended.status == 0 else ended.said or ended.how}")
