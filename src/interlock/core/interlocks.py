"""Which changes of membership and weight can never be made?

The engine asks here before every mutation, going forward and going back. A function returns None when the change is
permitted, else the reason in words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.core.plan import Stage
from interlock.core.route import Route
from interlock.core.weight import NONE, WHOLE, Weight


@dataclass(frozen=True, slots=True)
class Strength:
    """One revision as the data plane sees it: `ready` instances (ours and the proxy's probe agree) of a `full` set."""

    ready: int
    full: int


@dataclass(frozen=True, slots=True)
class World:
    """What was observed of one environment just now: the route in force, and each revision's strength."""

    route: Route | None
    strength: Mapping[str, Strength]

    def ready(self, revision: str) -> int:
        """Return how many instances of the revision are ready; none when it is unknown."""
        return self.strength[revision].ready if revision in self.strength else 0


def steer(world: World, route: Route) -> str | None:
    """Say why this route may not be put in force: interlocks 1 and 2, on both sides."""
    for revision in route.revisions:
        share = route.share(revision)
        needed = share.needs(world.strength[revision].full) if revision in world.strength else 1
        if share != NONE and world.ready(revision) < max(1, needed):
            return (
                f"{share} of {route.environment} on {revision} needs {max(1, needed)} ready instances, "
                f"it has {world.ready(revision)}"
            )
    return None


def retreat(world: World, stage: Stage) -> Route | None:
    """Return the route nearest to the stage's way back that the old revision can carry now.

    None when it can carry no more than it does already. A new revision of which nothing is ready answers only errors:
    then interlock 1 outranks 2, and everything goes to whatever is ready of the old one.
    """
    home, new = stage.retreat, stage.revision.name
    if home.stable is None or steer(world, home) is None:
        return home
    ready = world.ready(home.stable)
    if ready == 0:
        return None
    if world.ready(new) == 0:
        return home
    carried = min(WHOLE, WHOLE * ready // max(1, world.strength[home.stable].full))
    weight = Weight(WHOLE - carried)
    return None if world.route is not None and weight >= world.route.share(new) else stage.route(weight)


def leave(world: World, revision: str, staying: int) -> str | None:
    """Say why instances of the revision may not be drained when `staying` ready ones are left to carry its weight."""
    share = NONE if world.route is None else world.route.share(revision)
    if share == NONE:
        return None
    full = world.strength[revision].full if revision in world.strength else staying + 1
    if staying < max(1, share.needs(full)):
        return f"{revision} carries {share} and would keep {staying} ready instances of {full}"
    return None


def forget(world: World, revision: str) -> str | None:
    """Say why the revision may not be removed from the data plane: a route still names it."""
    if world.route is not None and revision in world.route.revisions:
        return f"the route of {world.route.environment} still names {revision}"
    return None
