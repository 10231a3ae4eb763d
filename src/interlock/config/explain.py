"""What do we tell a person about a setting that is not as it should be?"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from interlock.config.block import key
from interlock.config.document import Document, Loc, Problem, spell
from interlock.config.model import FileBlock, Settings
from interlock.config.quantity import found, guess

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list such as [python, app.py]",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
}
_TRUTHS = {"yes": "true", "on": "true", "true": "true", "no": "false", "off": "false", "false": "false"}
# More keys than these are not listed in an error; the page of the file has them all.
_LISTED = 8


def explain(error: ErrorDetails, document: Document) -> Problem:
    """Turn what pydantic found into a problem with its place, what was expected, and the nearest known word."""
    loc: Loc = error["loc"]
    if loc and loc[-1] == "[key]":
        return document.problem(loc[:-1], _sentence(error), at_key=True)
    match error["type"]:
        case "extra_forbidden":
            place = document.place(loc, at_key=True)
            return Problem(document.file, place, spell(loc[:-1]), _unknown(loc))
        case "missing":
            text = f"expected the key {loc[-1]} ({_description(loc)}), found nothing"
            return document.problem(loc[:-1], text, at_key=True)
        case "item":
            return document.problem((*loc, error["ctx"]["item"]), error["ctx"]["text"])
    return document.problem(loc, _sentence(error))


def _sentence(error: ErrorDetails) -> str:
    context, kind, value = error.get("ctx", {}), error["type"], error["input"]
    if kind == "value_error":
        return str(context["error"])
    return f"expected {_wanted(kind, context) or error['msg']}, found {found(value)}{_hint(kind, context, value)}"


def _wanted(kind: str, context: dict[str, Any]) -> str | None:
    match kind:
        case "greater_than_equal":
            return f"at least {context['ge']}"
        case "less_than_equal":
            return f"at most {context['le']}"
        case "literal_error":
            return str(context["expected"]).replace("'", "")
        case "too_short" | "string_too_short":
            return "it not to be empty"
    return _WANTED.get(kind)


def _hint(kind: str, context: dict[str, Any], value: object) -> str:
    if kind == "literal_error" and isinstance(value, str):
        return guess(value, re.findall(r"'([^']*)'", context["expected"]))
    if kind == "bool_type" and str(value).lower() in _TRUTHS:
        return f"; did you mean {_TRUTHS[str(value).lower()]}?"
    if kind == "int_type" and isinstance(value, str) and value.isdigit():
        return f"; did you mean {value}, without quotes?"
    if kind == "string_type" and isinstance(value, (bool, int, float)):
        return f'; did you mean "{found(value)}"?'
    return ""


def _unknown(loc: Loc) -> str:
    name = str(loc[-1])
    block = block_at(loc[:-1])
    known = [key(block, field) for field in block.model_fields] if block else []
    expected = f"expected one of {', '.join(known)}" if 0 < len(known) <= _LISTED else "expected a known key"
    return f'{expected}, found "{name}"{_elsewhere(name) or guess(name, known)}'


def _elsewhere(name: str) -> str:
    """Say where a key belongs that is known, but not here."""
    if name == "<<":
        return "; YAML 1.2 has no merge keys: what stands at the top level holds for every environment"
    homes = {
        spell(loc) for loc, block in blocks(FileBlock) for field in block.model_fields if key(block, field) == name
    }
    return f'; "{name}" belongs under {" or ".join(sorted(homes)[:3])}' if homes and "" not in homes else ""


def _description(loc: Loc) -> str:
    block = block_at(loc[:-1])
    if block is None:
        return ""
    return next((f.description or "" for name, f in block.model_fields.items() if key(block, name) == loc[-1]), "")


def block_at(loc: Loc) -> type[BaseModel] | None:
    """Return the class of the block at this place of the file, or None where there is none."""
    kind: Any = FileBlock
    for part in loc:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names = {key(kind, name): field for name, field in kind.model_fields.items()}
            if part not in names:
                return None
            kind = names[str(part)].annotation
        else:
            kind = _item(kind)
        kind = _without_none(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def blocks(block: type[BaseModel], loc: Loc = ()) -> Iterator[tuple[Loc, type[BaseModel]]]:
    """Yield this block and all in it, each with its place; what each environment may repeat is not repeated."""
    yield loc, block
    for name in fields(block, loc):
        inner, way = inside(block, name, loc)
        if inner is not None:
            yield from blocks(inner, way)


def fields(block: type[BaseModel], loc: Loc) -> list[str]:
    """Return the fields of a block, its own before those that it shares; an environment's are its own only."""
    shared = Settings.model_fields.keys() if block is not Settings and issubclass(block, Settings) else set()
    own = [name for name in block.model_fields if name not in shared]
    return own if loc[:1] == ("environments",) else [*own, *(name for name in block.model_fields if name in shared)]


def inside(block: type[BaseModel], name: str, loc: Loc) -> tuple[type[BaseModel] | None, Loc]:
    """Return the block that is the value of a field, if it is one, and its place."""
    kind, way = _without_none(block.model_fields[name].annotation), (*loc, key(block, name))
    if typing.get_origin(kind) in (dict, tuple):
        way = (*way, "NAME") if typing.get_origin(kind) is dict else way
        kind = _item(kind)
    return (kind, way) if isinstance(kind, type) and issubclass(kind, BaseModel) else (None, way)


def _item(kind: Any) -> Any:
    """Return the type of what a mapping or a list holds."""
    arguments = typing.get_args(kind)
    if not arguments:
        return None
    return arguments[1] if typing.get_origin(kind) is dict else arguments[0]


def _without_none(kind: Any) -> Any:
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return next(a for a in typing.get_args(kind) if a is not type(None))
    return kind
