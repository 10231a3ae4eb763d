"""What may stand under `agents`: what is left to programs that act for people, and how much of it in an hour?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from interlock.config.block import Block
from interlock.config.document import Document, Problem
from interlock.config.file import Environment
from interlock.config.image import ImageName
from interlock.config.quantity import Name
from interlock.core.agents import Limits, Verb

_limits = Limits()
_Verbs = Literal["build", "flag", "start", "promote", "pause", "resume", "abort", "rollback"]


class AgentsBlock(Block):
    environments: Annotated[tuple[Name, ...] | None, Field(strict=False)] = Field(
        None, description="where they may start deployments and change flags; by default all but production"
    )
    promote: Annotated[tuple[Name, ...], Field(strict=False)] = Field(
        _limits.promote, description="where they may end a watch without proof; by default nowhere"
    )
    verbs: Annotated[tuple[_Verbs, ...], Field(strict=False)] = Field(
        tuple(verb.value for verb in _limits.verbs),
        description="what they may do at all; to look is always allowed, to approve and to acknowledge never",
    )
    starts_per_hour: int = Field(
        _limits.starts_per_hour, ge=0, le=1000, description="so many deployments may be started by agents in any hour"
    )
    flag_changes_per_hour: int = Field(
        _limits.flag_changes_per_hour, ge=0, le=1000, description="so many flags may be changed by agents in any hour"
    )
    images: Annotated[tuple[ImageName, ...], Field(strict=False)] = Field(
        _limits.images, description="what they may build and push besides the file's own image: `registry/repository`"
    )
    dry_run: bool = Field(_limits.dry_run, description="they are told what would be done, and nothing is")


def limits(block: AgentsBlock, environments: Sequence[str]) -> Limits:
    """Return what is left to agents; without a word that is all but the last environment, production."""
    return Limits(
        tuple(environments[:-1]) if block.environments is None else block.environments,
        block.promote,
        tuple(Verb(verb) for verb in block.verbs),
        block.starts_per_hour,
        block.flag_changes_per_hour,
        block.dry_run,
        block.images,
    )


def unknown(document: Document, block: AgentsBlock, environments: Sequence[str]) -> Iterator[Problem]:
    """Yield the environments that are named here and are not there."""
    for setting in ("environments", "promote"):
        for place, name in enumerate(getattr(block, setting) or ()):
            if name not in environments:
                text = f"expected an environment of this file ({', '.join(environments)}), found {name}"
                yield document.problem(("agents", setting, place), text)


def with_promotion(environments: tuple[Environment, ...], left: Limits) -> tuple[Environment, ...]:
    """Fix in each environment, and so in its plans, whether an agent may end a watch without proof."""
    return tuple(
        replace(one, conditions=replace(one.conditions, agents_promote=one.name in left.promote))
        for one in environments
    )
