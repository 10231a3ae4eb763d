"""How are durations, rates, sizes and the like written in the file?

Each reader takes what YAML gave and returns a value of the core, or raises ValueError with a whole sentence part:
"expected …, found …". A bare number has no unit, so it is refused wherever a unit is meant.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from interlock.core.metric import Series
from interlock.core.weight import ALL, NONE, Weight

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_PART = r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)"
_DURATION = re.compile(rf"{_PART}(?:\s*{_PART})*")
_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,6})?)\s*%")
_PER_SECOND = re.compile(r"(\d+(?:\.\d+)?)\s*/\s*s")
_TIMES = re.compile(r"(\d+(?:\.\d+)?)\s*[x×]?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kMGT]i?B|KiB|B)")
_SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZES |= {"KiB": 2**10, "kiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST_NAME = re.compile(r"(?:\*\.)?(?!-)[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*")
_MACHINE = re.compile(
    r"ssh://(?:[A-Za-z0-9_][A-Za-z0-9_.-]*@)?(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_LONGEST = timedelta(days=366)


def found(value: object) -> str:
    """Say what stands in the file, in words that fit after "found"."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"' if len(value) <= 60 else f'"{value[:57]}…"'
        case int() | float():
            return f"{value}"
        case dict():
            return "a mapping"
    return "a list"


def guess(text: str, known: Iterable[str]) -> str:
    """Return the question after the nearest known word, or nothing when none is near."""
    near = difflib.get_close_matches(text, [*known], n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""


def duration(value: object, *, zero: bool = False) -> timedelta:
    """Read ``90s``, ``15m``, ``1h30m`` or ``500ms``, up to a year."""
    expected = 'expected a duration such as "90s", "15m" or "1h30m"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'{expected}, found {value} without a unit; did you mean "{value}s"?')
    if not isinstance(value, str) or not _DURATION.fullmatch(value.strip()):
        raise ValueError(f"{expected}, found {found(value)}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, value))
    if seconds == 0 and not zero:
        raise ValueError(f"expected a duration above zero, found {found(value)}")
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f'expected a duration of at most "366d", found {found(value)}')
    return timedelta(milliseconds=round(seconds * 1000))


def rate(value: object) -> float:
    """Read ``1%`` as 0.01; between 0 % and 100 %, both excluded."""
    expected = 'expected a percentage between 0% and 100% such as "1%"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'{expected}, found {value} without "%"; did you mean "{_as_percent(value)}"?')
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) < 100:
        raise ValueError(f"{expected}, found {found(value)}")
    return float(match[1]) / 100


def _as_percent(value: float) -> str:
    """Guess: a number below 1 was meant as a fraction."""
    return f"{value * 100:g}%" if value < 1 else f"{value:g}%"


def factor(value: object) -> float:
    """Read ``2x`` or ``2`` as 2.0; above 1, since it says how many times a limit."""
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    match = _TIMES.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not 1 < float(match[1]) <= 1000:
        raise ValueError(f'expected a factor above 1 such as "2x", found {found(value)}')
    return float(match[1])


def times(value: object) -> float:
    """Read ``2x`` or ``0.5`` as a factor; above 0."""
    text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
    match = _TIMES.fullmatch(text.strip()) if isinstance(text, str) else None
    if match is None or not 0 < float(match[1]) <= 100:
        raise ValueError(f'expected a factor above 0 and at most 100 such as "1x", found {found(value)}')
    return float(match[1])


def per_second(value: object) -> float:
    """Read ``20/s`` as 20.0, up to 200."""
    expected = 'expected requests per second, above 0 and at most 200, such as "20/s"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'{expected}, found {value} without a unit; did you mean "{value}/s"?')
    match = _PER_SECOND.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not 0 < float(match[1]) <= 200:
        raise ValueError(f"{expected}, found {found(value)}")
    return float(match[1])


def size(value: object) -> int:
    """Read ``512MiB`` or ``1.5GB`` as bytes."""
    expected = 'expected a size such as "512MiB" or "2GiB"'
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'{expected}, found {value} without a unit; did you mean "{value}MiB"?')
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{expected}, found {found(value)}")
    return round(float(match[1]) * _SIZES[match[2]])


def weight(value: object) -> Weight:
    """Read ``5%`` as a weight; never 0 %."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise ValueError(f'expected a percentage such as "5%", found {value} without "%"; did you mean "{value}%"?')
    if not isinstance(value, str):
        raise ValueError(f'expected a percentage such as "5%", found {found(value)}')
    parsed = Weight.parse(value)
    if parsed == NONE:
        raise ValueError(f'expected a weight above 0%, found "{value}"')
    return parsed


def weights(value: object) -> tuple[Weight, ...] | None:
    """Read ``auto`` as None, or a list of weights that rise to 100 %."""
    if value == "auto":
        return None
    if not isinstance(value, list) or not value:
        what = "an empty list" if value == [] else found(value)
        raise ValueError(f"expected auto, or a list such as [5%, 25%, 100%], found {what}")
    read = [_item(item, at) for at, item in enumerate(value)]
    for at, (before, after) in enumerate(pairwise(read), 1):
        if after <= before:
            raise _at(at, f"expected more than the {before} before it, found {after}: weights must rise")
    if read[-1] != ALL:
        raise _at(len(read) - 1, f"expected 100 % as the last weight, found {read[-1]}; add 100%")
    return tuple(read)


def _item(value: object, at: int) -> Weight:
    try:
        return weight(value)
    except ValueError as problem:
        raise _at(at, str(problem)) from problem


def _at(item: int, text: str) -> PydanticCustomError:
    """Say which item of a list is meant, so that the error gets its place."""
    return PydanticCustomError("item", "{text}", {"text": text, "item": item})


def name(value: str) -> str:
    """Accept what can name a directory, a process label and a cluster."""
    if not _NAME.fullmatch(value):
        raise ValueError(
            "expected a name of lower-case letters, digits and hyphens, beginning with a letter, "
            f"at most 40 long, found {found(value)}"
        )
    return value


def variable(value: str) -> str:
    """Accept the name of an environment variable that is not one of ours."""
    if not _VARIABLE.fullmatch(value):
        raise ValueError(f"expected the name of an environment variable such as LOG_LEVEL, found {found(value)}")
    if value == "PORT" or value.startswith("INTERLOCK_"):
        raise ValueError(f"expected a variable of your own, found {value}, which Interlock sets for each instance")
    return value


def reference(value: object) -> str:
    """Accept ``env:NAME`` or ``file:PATH``; what stands there instead may be a secret, so it is never repeated."""
    if isinstance(value, str):
        kind, _, rest = value.partition(":")
        if (kind == "env" and _VARIABLE.fullmatch(rest)) or (kind == "file" and rest.strip()):
            return value
    raise ValueError(
        "expected a reference, env:NAME or file:PATH, found something else (not repeated here, in case it is a secret)"
    )


def path(value: str) -> str:
    """Accept the path of a request."""
    if not value.startswith("/"):
        raise ValueError(f'expected a path that begins with "/", found {found(value)}; did you mean "/{value}"?')
    return value


def header(value: str) -> str:
    """Accept the name of a header or a cookie (RFC 9110, token)."""
    if not _HEADER.fullmatch(value):
        raise ValueError(f"expected the name of a header or cookie, found {found(value)}")
    return value


def subdirectory(value: str) -> str:
    """Accept a directory inside the project."""
    if value.startswith("/") or ".." in value.split("/"):
        raise ValueError(f'expected a directory inside the project such as "." or "app", found {found(value)}')
    return value.rstrip("/") or "."


def regex(value: str) -> str:
    """Accept what Python's re can compile."""
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"expected a regular expression, found {found(value)}: {problem}") from problem
    return value


def series(value: str) -> str:
    """Accept the name of a counter, with labels or without."""
    return str(Series.parse(value))


def address(value: str) -> str:
    """Accept an IP address to listen on."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError as problem:
        raise ValueError(f'expected an IP address such as "127.0.0.1" or "0.0.0.0", found {found(value)}') from problem


def host_name(value: str) -> str:
    """Accept a host name that users ask for (RFC 1123), or `*.example.com` for all directly below."""
    if not _HOST_NAME.fullmatch(value):
        raise ValueError(f"expected a host name such as shop.example.com or *.example.com, found {found(value)}")
    return value.lower()


def file_path(value: str) -> str:
    """Accept the path of a file."""
    if not value.strip() or "\0" in value:
        raise ValueError(f"expected the path of a file, found {found(value)}")
    return value


def machine(value: str) -> str:
    """Accept ``ssh://[user@]host[:port]``: nothing that ssh could take for an option."""
    match = _MACHINE.fullmatch(value)
    if match is None or int(match["port"] or 22) not in range(1, 65536):
        raise ValueError(f"expected a machine such as ssh://deploy@shop-1.example.com, found {found(value)}")
    return value


def _text(reader: Any, example: str) -> tuple[Any, WithJsonSchema]:
    """Make a type that is written as text in the file and is a value of the core here."""
    return PlainValidator(reader), WithJsonSchema({"type": "string", "examples": [example]})


Duration = Annotated[timedelta, *_text(duration, "90s")]
Pause = Annotated[timedelta, *_text(partial(duration, zero=True), "0s")]
Rate = Annotated[float, *_text(rate, "1%")]
Factor = Annotated[float, PlainValidator(factor), WithJsonSchema({"type": ["string", "number"], "examples": ["2x"]})]
Times = Annotated[float, PlainValidator(times), WithJsonSchema({"type": ["string", "number"], "examples": ["1x"]})]
PerSecond = Annotated[float, *_text(per_second, "20/s")]
Size = Annotated[int, *_text(size, "512MiB")]
Shares = Annotated[
    tuple[Weight, ...] | None,
    PlainValidator(weights),
    WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "array", "minItems": 1, "items": {"type": "string"}}]}),
]
Reference = Annotated[str, *_text(reference, "env:NAME")]
Name = Annotated[str, AfterValidator(name)]
Variable = Annotated[str, AfterValidator(variable)]
UrlPath = Annotated[str, AfterValidator(path)]
HeaderName = Annotated[str, AfterValidator(header)]
Subdirectory = Annotated[str, AfterValidator(subdirectory)]
Regex = Annotated[str, AfterValidator(regex)]
Selector = Annotated[str, AfterValidator(series)]
Address = Annotated[str, AfterValidator(address)]
HostName = Annotated[str, AfterValidator(host_name)]
FilePath = Annotated[str, AfterValidator(file_path)]
Machine = Annotated[str, AfterValidator(machine)]
Paths = Annotated[tuple[UrlPath, ...], Field(strict=False, min_length=1)]
Argv = Annotated[tuple[str, ...], Field(strict=False, min_length=1)]
Globs = Annotated[tuple[str, ...], Field(strict=False)]
