"""What does looking at a machine find, in words for a person?"""

from __future__ import annotations

from dataclasses import dataclass

LEAST_SPACE = 500 << 20
"""So many bytes must be free for a rollout to start."""

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: `well` None when there is nothing to say of it yet; `advice` is what to do."""

    name: str
    well: bool | None
    text: str
    advice: str = ""


def size(bytes: float) -> str:
    """Say a size in the unit that fits."""
    for unit in _UNITS[:-1]:
        if bytes < 1024:
            return f"{bytes:.3g} {unit}"
        bytes /= 1024
    return f"{bytes:.3g} {_UNITS[-1]}"
