"""What may stand under `flags`: who keeps the feature flags, and what does a release do with which of them?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from interlock.config.block import Block
from interlock.config.document import Document, Loc, Problem
from interlock.config.notify import absolute
from interlock.config.quantity import Duration, Reference, found, weight
from interlock.core import flag
from interlock.core.flag import Flag, FlagFile, FlagSource, FlagUse, OnFlagFailure, Unleash
from interlock.core.foresight import AUTO
from interlock.core.weight import ALL, Weight

_unleash, _file, _use = Unleash("", ""), FlagFile(""), FlagUse(Flag("", FlagFile("")))
ENVIRONMENT = "{environment}"
_PRODUCTION, _OTHERS = "production", "development"
"""What Unleash calls the environments that every one of its servers has."""


def percentage(value: object) -> int:
    """Read ``5%`` as 5: a whole percentage above 0, at most 100."""
    expected = 'expected a whole percentage from 1% to 100% such as "5%"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'{expected}, found {value} without "%"; did you mean "{value}%"?')
    digits = value.strip().removesuffix("%").strip() if isinstance(value, str) and value.strip().endswith("%") else ""
    if not digits.isdecimal() or not 0 < int(digits) <= 100:
        raise ValueError(f"{expected}, found {found(value)}")
    return int(digits)


def percentages(value: object) -> tuple[int, ...]:
    """Read a list of percentages that rise; it may be empty."""
    if not isinstance(value, list):
        raise ValueError(f"expected a list such as [5%, 25%, 50%, 100%], or [] for none, found {found(value)}")
    read = tuple(_at(at, percentage, one) for at, one in enumerate(value))
    _rising(enumerate(read))
    return read


def by_weight(value: object) -> tuple[tuple[Weight, int], ...]:
    """Read a mapping of the canary's weights to percentages of a flag; both rise."""
    if not isinstance(value, dict):
        raise ValueError(f"expected a mapping such as {{25%: 5%}} (weight: percentage), found {found(value)}")
    read = {key: (_at(key, weight, key), _at(key, percentage, one)) for key, one in value.items()}
    for key, (share, _) in read.items():
        if share == ALL:
            raise _problem(key, "expected a weight below 100 %: what follows at 100 % stands under after, found 100 %")
    for (_, (before, _)), (key, (share, _)) in pairwise(read.items()):
        if share <= before:
            raise _problem(key, f"expected more than the {before} before it, found {share}: weights must rise")
    _rising((key, to) for key, (_, to) in read.items())
    return tuple(read.values())


def _rising(items: Iterable[tuple[int | str, int]]) -> None:
    for (_, before), (key, after) in pairwise(items):
        if after <= before:
            raise _problem(key, f"expected more than the {before} % before it, found {after} %: percentages must rise")


def _at(item: int | str, reader: Any, value: object) -> Any:
    try:
        return reader(value)
    except ValueError as problem:
        raise _problem(item, str(problem)) from problem


def _problem(item: int | str, text: str) -> PydanticCustomError:
    """Say which item is meant, so that the error gets its place."""
    return PydanticCustomError("item", "{text}", {"text": text, "item": item})


FlagName = Annotated[str, AfterValidator(flag.named)]
Percentages = Annotated[
    tuple[int, ...],
    PlainValidator(percentages),
    WithJsonSchema({"type": "array", "items": {"type": "string", "examples": ["5%"]}}),
]
During = Annotated[
    tuple[tuple[Weight, int], ...],
    PlainValidator(by_weight),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": "string", "examples": ["5%"]}}),
]


class UnleashBlock(Block):
    url: str = Field("", pattern="^https?://", description="where the server answers, without `/api`")
    token: Reference | None = Field(
        None, description="a token of its Admin API, by reference: `env:NAME` or `file:PATH`"
    )
    project: str = Field(_unleash.project, min_length=1, description="the project that the flags belong to")
    environment: str = Field(
        "",
        min_length=1,
        description="what this environment is called there; by default `production` for production, and `development` "
        "for all others; `{environment}` is its name here",
    )
    refresh: Duration = Field(_unleash.refresh, description="how often the application's clients fetch their flags")

    SHORT_PATTERN = "^https?://"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"url": text}


class FlagFileBlock(Block):
    path: str = Field(
        "", min_length=1, description="the file, from this one's directory; `{environment}` is the environment's name"
    )
    refresh: Duration = Field(_file.refresh, description="how soon the application has read it again")

    SHORT_PATTERN = "^."

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"path": text}


class FlagUseBlock(Block):
    name: FlagName = Field(description="the flag; it must exist before the release begins")
    before: Literal["disable", "keep"] = Field(
        "disable", description="`disable` it before anything starts, so that new code comes without it; or `keep` it"
    )
    after: Percentages = Field(
        _use.ramp,
        description="at 100 % of the traffic, give it to so many users, one percentage after another, each watched; "
        "`[]` for none",
    )
    during: During = Field(
        _use.during,
        description="or begin inside of the canary, `{25%: 5%}`: once 25 % of the traffic has been watched, give it to "
        "5 % of the users",
    )
    bake: Duration = Field(_use.bake, description="how long each percentage is watched")
    on_failure: Literal["flag-only", "everything"] = Field(
        _use.on_failure.value,
        description="what goes when a percentage is bad at 100 % of the traffic: the flag alone, while the code does "
        "well without it, or everything at once",
    )
    recovered_for: Duration = Field(
        _use.recovered_for, description="how long the code must do well without the flag, to stay"
    )

    SHORT_PATTERN = "^[A-Za-z0-9_]"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"name": text}

    @model_validator(mode="after")
    def _one_way_up(self) -> Self:
        if self.during and self.after and self.after[0] <= self.during[-1][1]:
            before, after = self.during[-1][1], self.after[0]
            raise ValueError(f"expected more under after than the {before} % under during, found {after} %")
        return self


class FlagsBlock(Block):
    unleash: UnleashBlock | None = Field(
        None, description="an Unleash server keeps them: its address, or more about it"
    )
    file: FlagFileBlock | None = Field(
        None, description="or a file in flagd's JSON format does, which OpenFeature providers read: its path"
    )
    release: tuple[FlagUseBlock, ...] = Field(
        (), strict=False, description="what a release does with flags: a name, or more about it, each"
    )

    PLACES: ClassVar[tuple[str, ...]] = ("unleash", "file")

    @model_validator(mode="after")
    def _one_each(self) -> Self:
        if self.unleash and self.file:
            raise ValueError("expected one of unleash, file, found both")
        names = [one.name for one in self.release]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"expected each flag under release once, found {twice[0]} twice")
        return self


@dataclass(frozen=True, slots=True)
class Where:
    """The environment that settings of flags hold in.

    `weights` are the canary's, None where there is no canary; `chosen` says that the plan chooses among them.
    """

    name: str
    root: Path
    production: bool
    judged: bool
    weights: tuple[Weight, ...] | None
    chosen: bool


def one_place(merged: FlagsBlock, own: FlagsBlock) -> FlagsBlock:
    """Let an environment keep its flags elsewhere than the top level says: its own place is the only one."""
    mine = next((name for name in FlagsBlock.PLACES if name in own.model_fields_set), None)
    return merged.model_copy(update={name: None for name in FlagsBlock.PLACES if mine and name != mine})


def source(block: FlagsBlock, where: Where) -> FlagSource | None:
    """Make the core's value of where the flags are kept; the token is a reference still (see `flag.sealed`)."""
    if (one := block.unleash) and one.url:
        theirs = one.environment.replace(ENVIRONMENT, where.name) or (_PRODUCTION if where.production else _OTHERS)
        return Unleash(one.url.rstrip("/"), theirs, absolute(one.token, where.root), one.project, one.refresh)
    if (file := block.file) and file.path:
        return FlagFile(str(where.root / file.path.replace(ENVIRONMENT, where.name)), file.refresh)
    return None


def uses(block: FlagsBlock, own: FlagsBlock, where: Where, look: timedelta) -> tuple[FlagUse, ...]:
    """Make the core's values of what a release does with flags.

    Where nobody is judged there are no users to watch: there every percentage is looked at for as long as health is
    (`look`), and none is inside of a canary, unless the environment says so itself.
    """
    kept = source(block, where)
    if kept is None:
        return ()
    made = tuple(_made(one, Flag(one.name, kept)) for one in block.release)
    if where.judged or "release" in own.model_fields_set:
        return made
    return tuple(replace(one, during=(), bake=look, recovered_for=look) for one in made)


def _made(block: FlagUseBlock, which: Flag) -> FlagUse:
    disable, on_failure = block.before == "disable", OnFlagFailure(block.on_failure)
    return FlagUse(which, disable, block.after, block.during, block.bake, on_failure, block.recovered_for)


def conflicts(document: Document, block: FlagsBlock, own: FlagsBlock, where: Where) -> Iterator[Problem]:
    """Yield what does not go together once the environment's settings have joined those of the top level."""
    mine: Loc = ("environments", where.name, "flags")

    def problem(text: str, *loc: str | int) -> Problem:
        return document.problem((*mine, *loc) if (*mine, *loc[:1]) in document.keys else ("flags", *loc), text)

    if block.release and block.unleash is None and block.file is None:
        yield problem("expected unleash or file beside release (who keeps the flags?), found neither", "release")
    if block.unleash is not None and not block.unleash.url:
        yield problem("expected the key url (where the server answers), found nothing", "unleash")
    if block.file is not None and not block.file.path:
        yield problem("expected the key path (the file of the flags), found nothing", "file")
    if where.judged or "release" in own.model_fields_set:
        for at, one in enumerate(block.release):
            for text in _outside(one, where):
                yield problem(text, "release", at, "during")


def _outside(block: FlagUseBlock, where: Where) -> Iterator[str]:
    """Yield which steps inside of the canary are at none of its weights."""
    if block.during and where.weights is None:
        yield f"expected during only with the strategy canary, found it in {where.name}, which has none"
        return
    for share, _ in block.during:
        known = AUTO if where.chosen else where.weights or ()
        if share not in known:
            listed = ", ".join(str(one) for one in known if one != ALL) or "none below 100 %"
            yield f"expected one of the canary's weights ({listed}), found {share}"


def shared(document: Document, places: Mapping[str, FlagSource | None]) -> Iterator[Problem]:
    """Yield the environments that have their flags where production has them: what is tried there would be live."""
    production = [*places][-1]
    kept = places[production]
    for name, other in places.items():
        if name == production or kept is None or other is None or flag.place(other) != flag.place(kept):
            continue
        hint = (
            f"put {ENVIRONMENT} into the path"
            if isinstance(kept, FlagFile)
            else "name another one (unleash.environment)"
        )
        mine: Loc = ("environments", name, "flags")
        yield document.problem(
            mine if mine in document.keys else ("flags",),
            f"expected flags of its own for {name}, found those of {production}: {hint}",
        )
