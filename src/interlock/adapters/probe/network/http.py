"""What was answered over HTTP, and is it what was expected?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from interlock.adapters.http import HttpError, Response, ask
from interlock.adapters.probe.network import h2c
from interlock.core.health import Answer

LONGEST_BODY = 1 << 20
_ABSENT = object()
_QUOTED = 120

# What h11 says of the first bytes of HTTP/2, which no line of HTTP/1.1 can begin with.
_NOT_HTTP1 = "illegal request line"
_ANSWERED_IN_HTTP2 = "; does the service speak HTTP/2 (`protocol: h2c` or `grpc`)?"


async def get(
    target: str, path: str, timeout: timedelta, *, method: str = "GET", host: str | None = None, http2: bool = False
) -> Response | Answer:
    """Ask once; return the response, or an answer that says why there is none."""
    headers = (("user-agent", "interlock-probe"), ("accept", "*/*"))
    try:
        if http2:
            response = await h2c.ask(target, method, path, headers, timeout=timeout)
        else:
            response = await ask(target, method, path, (("Host", host or target), *headers), timeout=timeout)
    except HttpError as problem:
        return Answer(False, f"{problem}{_ANSWERED_IN_HTTP2 if _NOT_HTTP1 in str(problem) else ''}")
    except Exception as problem:  # a path or a method that HTTP does not allow
        return Answer(False, f"{method} {path} at {target}: {problem}")
    if len(response.body) > LONGEST_BODY:
        return Answer(False, f"{method} {path} at {target}: the answer is longer than {LONGEST_BODY >> 20} MiB")
    return response


def fields_equal(response: Response, expected: Sequence[tuple[str, str]], what: str) -> Answer:
    """Compare dotted fields of a JSON body with what is expected of them, as text."""
    if not expected:
        return Answer(True)
    body = _json(response.body)
    if body is _ABSENT:
        return Answer(False, f"{what} was answered {response.status} without JSON{said(response)}; {_wanted(expected)}")
    for name, value in expected:
        found = _find(body, name)
        if found is _ABSENT:
            return Answer(False, f"{what}: the answer has no field {name}{said(response)}, expected {value}")
        if _text(found) != value:
            return Answer(False, f"{what}: field {name} is {_cut(_text(found))}, expected {value}")
    return Answer(True)


def field_of(response: Response, name: str) -> str | None:
    """Return a dotted field of the JSON body as text, None when there is no such field."""
    found = _find(_json(response.body), name)
    return None if found is _ABSENT else _text(found)


def said(response: Response) -> str:
    """Quote the beginning of a body, for reasons that people read."""
    text = " ".join(response.body[: 4 * _QUOTED].decode(errors="replace").split())
    shown = _cut("".join(c for c in text if c.isprintable()))
    return f" ({shown})" if shown else ""


def _json(body: bytes) -> Any:
    """Numbers stay the text they were: 1.0 is not 1, and no digit is lost."""
    try:
        return json.loads(body, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return _ABSENT


class _Number(str):
    """A number as it was written."""


def _find(value: Any, name: str) -> Any:
    """Follow a dotted name; a key that has dots itself is found too, and a digit picks from a list."""
    if isinstance(value, dict) and name in value:
        return value[name]
    first, dot, rest = name.partition(".")
    if isinstance(value, dict) and dot and first in value:
        return _find(value[first], rest)
    if isinstance(value, list) and first.isdecimal() and int(first) < len(value):
        return _find(value[int(first)], rest) if dot else value[int(first)]
    return _ABSENT


def _text(value: Any) -> str:
    """Spell a value as JSON does, but a string without its quotes: true, false, null, 1.50, [1,2]."""
    if isinstance(value, str):
        return str(value)
    return _spell(value)


def _spell(value: Any) -> str:
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k, ensure_ascii=False)}:{_spell(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_spell, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _wanted(expected: Sequence[tuple[str, str]]) -> str:
    return "expected " + ", ".join(f"{name}: {value}" for name, value in expected)


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"
