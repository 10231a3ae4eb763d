"""How is one value inside a JSON text changed, with every other character left as it is?

People keep such files under version control and format them as they like: what we change is a line of their diff, and
what we put back is the text that they had.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class _Member:
    """One member of an object, by where its key begins and ends and its value does."""

    key: str
    start: int
    key_end: int
    value: int
    end: int


def load(text: str) -> Any:
    """Read JSON as RFC 8259 has it; raise ValueError that says where it is none, or which name stands twice."""
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def find(text: str, *keys: str) -> tuple[int, int]:
    """Return where the value begins and ends that objects have by these keys; raise KeyError when there is none."""
    at = _after_space(text, 0)
    for key in keys:
        if text[at] != "{":
            raise KeyError(key)
        at = next((one.value for one in _members(text, at) if one.key == key), -1)
        if at < 0:
            raise KeyError(key)
    return at, _end(text, at)


def adjusted(text: str, value: Any) -> str:
    """Return the text of a value, changed where it differs from `value` and nowhere else.

    Members that are new come last, written as those before them are.
    """
    if same(json.loads(text), value):
        return text
    if text[0] == "{" and isinstance(value, dict):
        return _object(text, value)
    if text[0] == "[" and isinstance(value, list) and len(value) == len(json.loads(text)):
        return _array(text, value)
    return json.dumps(value, ensure_ascii=False)


def same(one: Any, other: Any) -> bool:
    """Say whether two values are the same JSON: `1` is neither `true` nor `1.0`, and members have no order."""
    return canonical(one) == canonical(other)


def canonical(value: Any) -> str:
    """Return the one way to write this as JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _object(text: str, value: Mapping[str, Any]) -> str:
    for one in reversed(_members(text, 0)):
        if one.key in value:
            text = text[: one.value] + adjusted(text[one.value : one.end], value[one.key]) + text[one.end :]
    for key in [one.key for one in _members(text, 0) if one.key not in value]:
        text = _without(text, key)
    for key in value:
        if all(one.key != key for one in _members(text, 0)):
            text = _with(text, key, value[key])
    return text


def _array(text: str, value: list[Any]) -> str:
    spans, at = [], _after_space(text, 1)
    while text[at] != "]":
        end = _end(text, at)
        spans.append((at, end))
        at = _next(text, end)
    for (start, end), item in reversed(list(zip(spans, value, strict=True))):
        text = text[:start] + adjusted(text[start:end], item) + text[end:]
    return text


def _without(text: str, key: str) -> str:
    members = _members(text, 0)
    index = next(index for index, one in enumerate(members) if one.key == key)
    if index + 1 < len(members):
        return text[: members[index].start] + text[members[index + 1].start :]
    if index > 0:
        return text[: members[index - 1].end] + text[members[index].end :]
    return "{}"


def _with(text: str, key: str, value: Any) -> str:
    members = _members(text, 0)
    if not members:
        return f"{{{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}}}"
    last = members[-1]
    space = text[_after_space(text, members[-2].end) + 1 : last.start] if len(members) > 1 else text[1 : last.start]
    colon = text[last.key_end : last.value]
    tight = {"separators": (",", ":")} if colon == ":" else {}
    written = json.dumps(value, ensure_ascii=False, **tight)  # type: ignore[arg-type]
    return f"{text[: last.end]},{space}{json.dumps(key, ensure_ascii=False)}{colon}{written}{text[last.end :]}"


def _members(text: str, at: int) -> list[_Member]:
    """Return the members of the object that begins here, in order."""
    members, at = [], _after_space(text, at + 1)
    while text[at] != "}":
        key, key_end = _DECODER.raw_decode(text, at)
        value = _after_space(text, _after_space(text, key_end) + 1)
        end = _end(text, value)
        members.append(_Member(key, at, key_end, value, end))
        at = _next(text, end)
    return members


def _end(text: str, at: int) -> int:
    return _DECODER.raw_decode(text, at)[1]


def _next(text: str, at: int) -> int:
    """Return where the next item or the closing bracket is, after one that ends here."""
    at = _after_space(text, at)
    return _after_space(text, at + 1) if text[at] == "," else at


def _after_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f'"{twice}" stands twice in one object')
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")
