"""How does the table of phases look as a diagram?"""

from __future__ import annotations

from interlock.core.phase import OVER, Phase
from interlock.core.transitions import TRANSITIONS


def mermaid() -> str:
    """Draw `TRANSITIONS` in Mermaid's language: an arrow for each change of phase, with the events that make it.

    What leaves a rollout in its phase is not drawn.
    """
    lines = ["stateDiagram-v2", f"    [*] --> {_id(Phase.PROGRESSING)}"]
    lines += [f"    {_id(one)} --> {_id(to)} : {', '.join(events)}" for (one, to), events in _arrows().items()]
    lines += [f"    {_id(phase)} --> [*]" for phase in Phase if phase in OVER]
    return "\n".join(lines)


def _arrows() -> dict[tuple[Phase, Phase], list[str]]:
    """Gather the events by the phases that they lead from and to, in the order of `Phase`."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for one in Phase:
        for to in Phase:
            rows = [row for row in TRANSITIONS if one in row.phases and row.to is to and to is not one]
            if rows:
                arrows[one, to] = list(dict.fromkeys(row.on for row in rows))
    return arrows


def _id(phase: Phase) -> str:
    return phase.value.replace(" ", "_")
