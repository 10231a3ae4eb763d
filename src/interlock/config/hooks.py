"""What may stand under `hooks` and `migration`: who is asked or told on the way, and what is done once?"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from interlock.config.block import Block
from interlock.config.notify import Receiver, absolute
from interlock.config.quantity import Argv, Duration, Reference
from interlock.core.hooks import TOLD, Hook, Post, Program, When
from interlock.core.migration import Migration
from interlock.core.steps import spell

_migration, _hook = Migration(()), Hook(When.START, Program(()))
_ASKED_AT_MOST, _TOLD_AT_MOST = timedelta(minutes=10), timedelta(minutes=1)


class HookBlock(Block):
    when: Literal["before-build", "before-start", "before-traffic", "before-promotion", "after", "on-rollback"] = Field(
        description="asked `before-build` (by `deploy`), `before-start`, `before-traffic` (each increase) and "
        "`before-promotion` (before the old revision goes); told `after` the end and `on-rollback`"
    )
    http: Receiver = Field(
        "", description="POST the facts there, as JSON; status 2xx is yes. An address that is a secret is a reference"
    )
    command: Argv = Field(
        (),
        description="run this where this file is, not through a shell, with the facts on standard input and in "
        "variables; exit status 0 is yes",
    )
    timeout: Duration = Field(_hook.timeout, description="how long the answer may take; no answer is a no")
    token: Reference | None = Field(
        None, description="a bearer token, or the variable INTERLOCK_TOKEN of the command, by reference"
    )
    name: str = Field("", max_length=80, description="what it is called in reports; by default what it asks")

    KINDS: ClassVar[tuple[str, ...]] = ("http", "command")

    @model_validator(mode="after")
    def _in_time(self) -> Self:
        most = _TOLD_AT_MOST if When(self.when) in TOLD else _ASKED_AT_MOST
        if self.timeout > most:
            raise ValueError(
                f"expected a timeout of at most {spell(most)} for {self.when}, found {spell(self.timeout)}"
            )
        return self


class MigrationBlock(Block):
    command: Argv = Field(
        description="run this once for each release, in the artefact's directory, with the environment and the secrets "
        "of its instances, before any of them starts; the old revision must bear what it does"
    )
    timeout: Duration = Field(_migration.timeout, description="how long it may take; then it is ended")
    irreversible: bool = Field(
        _migration.irreversible, description="going back cannot undo it, so a person must agree to it"
    )
    idempotent: bool = Field(_migration.idempotent, description="when it broke off, it may be run again")


def hooks(blocks: tuple[HookBlock, ...], root: Path) -> tuple[Hook, ...]:
    """Make the core's values; secrets are references still (see `Hook.sealed`). `root` is where commands run."""
    return tuple(Hook(When(block.when), _by(block, root), block.timeout, block.name) for block in blocks)


def migration(block: MigrationBlock | None) -> Migration | None:
    """Make the core's value."""
    if block is None:
        return None
    return Migration(block.command, block.timeout, block.irreversible, block.idempotent)


def _by(block: HookBlock, root: Path) -> Post | Program:
    token = absolute(block.token, root)
    if block.command:
        return Program(block.command, str(root), token)
    secret = block.http.startswith(("env:", "file:"))
    return Post("" if secret else block.http, absolute(block.http, root) if secret else "", token)
