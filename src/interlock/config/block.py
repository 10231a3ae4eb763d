"""What has every block of interlock.yaml in common?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from interlock.config.quantity import found, guess


class Block(BaseModel):
    """One block of the file.

    `KINDS` are settings of which one excludes the others, `SHORT` the texts that stand for the whole block, `GUESS`
    is the kind that is meant when none is named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_by_alias=True, validate_by_name=False)
    KINDS: ClassVar[tuple[str, ...]] = ()
    GUESS: ClassVar[str | None] = None
    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    SHORT_PATTERN: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return cls.expand(value) if isinstance(value, str) else value

    @classmethod
    def expand(cls, text: str) -> Any:
        """Return the mapping that a short form stands for; raise ValueError when there is no such short form."""
        if text in cls.SHORT:
            return dict(cls.SHORT[text])
        if not cls.SHORT:
            return text
        raise ValueError(f"expected {', '.join(cls.SHORT)} or a mapping, found {found(text)}{guess(text, cls.SHORT)}")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        if not self.KINDS:
            return self
        given = [k for k in self.KINDS if k in self._named()]
        if len(given) > 1 or (not given and self.GUESS is None):
            raise ValueError(f"expected one of {', '.join(self.KINDS)}, found {' and '.join(given) or 'none of them'}")
        return self

    def _named(self) -> set[str]:
        """Return the settings that are written in the file, by the names they have there."""
        return {key(type(self), name) for name in self.model_fields_set}

    @property
    def named_kind(self) -> str | None:
        """Which of the alternatives is written, if any."""
        return next((k for k in self.KINDS if k in self._named()), None)

    @property
    def kind(self) -> str:
        """Which of the alternatives is written, or meant."""
        return self.named_kind or self.GUESS or ""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Let the schema know the short forms."""
        schema = handler(core)
        texts: list[dict[str, Any]] = [{"enum": [*cls.SHORT]}] if cls.SHORT else []
        texts += [{"type": "string", "pattern": cls.SHORT_PATTERN}] if cls.SHORT_PATTERN else []
        return {"anyOf": [*texts, schema]} if texts else schema


def key(block: type[BaseModel], name: str) -> str:
    """Return what a field is called in the file."""
    return block.model_fields[name].alias or name
