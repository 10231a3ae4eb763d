"""What of the past does nobody need any more, and how does it go?

Records go by number, in one transaction. A secret's value goes when no record that is left has its name, nothing that
should run has it, and no plan was made with it for a month: plans that were written to files are no records.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from interlock.adapters.secrets import KEY
from interlock.app.running import records, running
from interlock.app.state import StateDirectory
from interlock.ports.store import Store

RUNS = 200
"""So many runs stay on record, and those that the next two lines keep."""

RELEASES = 5
"""So many proven releases of each environment can be gone back to."""

UNUSED_FOR = timedelta(days=30)
"""For so long an artefact or a secret's value stays that nothing on record needs."""


async def forget(state: StateDirectory, store: Store, now: datetime) -> tuple[str, ...]:
    """Forget what nobody needs; return the rollouts and secrets that went. Raises StoreError."""
    rollouts = await store.prune(RUNS, RELEASES)
    unused = [path for path in _secrets(state) if _age(path, now) > UNUSED_FOR]
    runs = [content.decode(errors="replace") for _, content in records(state)]
    gone = []
    for path in unused:
        if not (await store.mentions(path.name) or any(path.name in text for text in runs)):
            with suppress(OSError):
                path.unlink()
                gone.append(f"secret {path.name}")
    return (*rollouts, *gone)


async def needed_images(state: StateDirectory, store: Store) -> frozenset[str]:
    """Return the digests that something runs, is on its way, or could be gone back to; each environment says how far.

    Raises StoreError, and WorkloadError when what runs cannot be read: then nothing is known to be needless.
    """
    releases = [revision.release for revision in running(state)]
    for rollout in await store.active():
        sides = (rollout.stage.revision, rollout.stage.replaces)
        releases += [side.release for side in sides if side is not None]
    known = {(one.stage.revision.release.service, one.stage.environment) for one in await store.rollouts(RUNS)}
    for service, environment in sorted(known):
        proven = [proof.revision.release for proof in await store.proofs(service, environment)]
        container = proven[0].configuration.container if proven else None
        releases += proven[: RELEASES if container is None else container.keep_images]
    return frozenset(release.artefact.digest for release in releases)


def _secrets(state: StateDirectory) -> list[Path]:
    """Return the files of values, those too that were never whole; without the key, which names them all."""
    return sorted(path for path in state.secrets.glob("*") if path.name != KEY) if state.secrets.is_dir() else []


def _age(path: Path, now: datetime) -> timedelta:
    try:
        return now - datetime.fromtimestamp(path.stat().st_mtime, now.tzinfo)
    except OSError:  # gone meanwhile
        return timedelta(0)
