"""What may a program tell a rollout? That somebody on call knows of it."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from interlock.app.verbs import App
from interlock.core.rollout import Rollout
from interlock.surfaces.api.problems import Problem, documented

_LONGEST = {"name": 200, "reason": 2000}


class Rollouts:
    """The orders that are taken from programs."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def acknowledge(self, request: Request) -> Response:
        """Acknowledge a rollout by the `name` in the body, or the user whose server this is."""
        said = await _said(request)
        found = await self._app.standing(request.path_params["id"])
        return documented(_shown(await self._app.acknowledge(found.id, said["name"], reason=said["reason"])))


async def _said(request: Request) -> dict[str, str]:
    """Read the body; raise Problem when it is not what is expected."""
    content = await request.body()
    if content and request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "expected application/json")
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        raise Problem(
            400, 'expected JSON such as {"name": "ada", "reason": "at my desk"}, found something else'
        ) from None
    if not isinstance(found, dict) or (more := found.keys() - _LONGEST.keys()):
        what = f"also {sorted(more)[0]!r}" if isinstance(found, dict) else "no object"
        raise Problem(422, f"expected an object with name and reason at most, found {what}")
    for name, longest in _LONGEST.items():
        if not isinstance(text := found.get(name, ""), str) or len(text) > longest:
            raise Problem(422, f"{name}: expected a text of at most {longest} characters")
    return {name: found.get(name, "") for name in _LONGEST}


def _shown(rollout: Rollout) -> dict[str, Any]:
    known, release = rollout.acknowledged, rollout.stage.revision.release
    who = None if known is None else {"by": known.by, "at": known.at.isoformat(), "channel": known.channel}
    return {
        "id": rollout.id,
        "run": rollout.run,
        "service": release.service,
        "version": release.version,
        "environment": rollout.stage.environment,
        "phase": rollout.phase.value,
        "acknowledged": who,
    }
