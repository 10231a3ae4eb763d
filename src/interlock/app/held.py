"""What of the file holds an agent, and is it as it was when the server began?

An agent that may write the project's files could else take away the gate that holds it, and go through.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # read when the file is first asked for: a server must be there at once
    from interlock.config.file import Environment, File


def held(file: File) -> dict[str, object]:
    """Return what holds an agent, by what it is called: no plan of another is an agent's to make or to start."""
    image = file.image
    whole = {
        "`agents`": file.agents,
        "the environments": tuple(one.name for one in file.environments),
        "`proof_valid_for`": file.proof_valid_for,
        "`image` (its name and logins)": (image.image, image.access, image.secrets) if image else None,
    }
    return {**whole, **{k: v for one in file.environments for k, v in _of(one).items()}}


def moved(began: Mapping[str, object], now: Mapping[str, object]) -> tuple[str, ...]:
    """Return what is no longer as it was."""
    return tuple(name for name in dict.fromkeys((*began, *now)) if began.get(name) != now.get(name))


def _of(one: Environment) -> dict[str, object]:
    policy = one.conditions.approvals
    return {
        f"the entrance of {one.name}": one.entrance,
        f"the gates of {one.name}": (one.conditions, one.approve),
        f"the signers of {one.name}": _read(policy.listed_in) if policy else None,
        f"the criteria of {one.name}": one.criteria,
        f"the hooks of {one.name}": one.hooks,
        f"the flags of {one.name}": one.flag_source,
    }


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError:
        return None
