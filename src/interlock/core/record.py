"""How does a value of the core become a stored record, and come back?

Records are JSON by kind and field name. A field that a newer version added takes its default when an old record lacks
it, so that records of old releases stay readable; a field we do not know is an error, never silently dropped.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


class _Misfit(ValueError):
    """A record that does not fit, with the field's name in the message already."""


def plain(value: object) -> Any:
    """Turn a value into what JSON can hold: durations in seconds, moments in ISO 8601, a union by its kind."""
    if is_dataclass(value) and not isinstance(value, type):
        return {"kind": type(value).__name__} | {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, date):  # a moment is one, too
        return value.isoformat()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset)):
        return [plain(item) for item in value]
    return value


def restore(kind: type[T], record: Any) -> T:
    """Build a value of `kind` from its record; raise ValueError with the field's name when it does not fit."""
    restored: T = _restore(kind, record, getattr(kind, "__name__", str(kind)))
    return restored


def _restore(kind: Any, record: Any, where: str) -> Any:
    try:
        return _restore_kind(kind, record, where)
    except _Misfit:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise _Misfit(f"{where}: {record!r} does not fit: {error}") from error


def _restore_kind(kind: Any, record: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return _restore_union(arguments, record, where)
    if origin is tuple and not isinstance(record, (list, tuple)):
        raise _Misfit(f"{where}: expected a list, found {record!r}")
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple(_restore(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(record))
    if origin is tuple:
        return tuple(
            _restore(a, item, f"{where}[{i}]") for i, (a, item) in enumerate(zip(arguments, record, strict=True))
        )
    if origin is not None and issubclass(origin, Mapping):
        return {_restore_key(arguments[0], k): _restore(arguments[1], v, f"{where}.{k}") for k, v in record.items()}
    if is_dataclass(kind):
        return _restore_fields(typing.cast(type, kind), record, where)
    if kind is timedelta:
        return timedelta(seconds=record)
    if kind is datetime:
        return datetime.fromisoformat(record)
    if kind is date:
        return date.fromisoformat(record)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(record)
    if kind is float and isinstance(record, int) and not isinstance(record, bool):
        return float(record)
    if kind is Any or kind is object or (isinstance(record, kind) and not (kind is int and isinstance(record, bool))):
        return record
    raise _Misfit(f"{where}: expected {kind.__name__}, found {record!r}")


def _restore_union(members: tuple[Any, ...], record: Any, where: str) -> Any:
    if record is None and type(None) in members:
        return None
    concrete = [m for m in members if m is not type(None)]
    if len(concrete) == 1:  # nothing to tell apart; and a field of its own may be called kind, as a probe's is
        return _restore(concrete[0], record, where)
    if isinstance(record, Mapping) and "kind" in record:
        for member in concrete:
            if getattr(member, "__name__", "") == record["kind"]:
                return _restore(member, record, where)
        raise _Misfit(f"{where}: unknown kind {record['kind']!r}")
    for member in concrete:
        if isinstance(member, type) and isinstance(record, member):
            return record
    raise _Misfit(f"{where}: {record!r} is none of {', '.join(m.__name__ for m in concrete)}")


def _restore_fields(kind: type, record: Any, where: str) -> Any:
    if not isinstance(record, Mapping):
        raise _Misfit(f"{where}: expected the fields of {kind.__name__}, found {record!r}")
    hints = _hints(kind)
    known = {f.name: f for f in fields(kind)}
    unknown = record.keys() - known.keys() - {"kind"}
    if unknown:
        raise _Misfit(
            f"{where}: {kind.__name__} has no field {sorted(unknown)[0]!r}; was it written by a newer version?"
        )
    missing = [n for n, f in known.items() if n not in record and f.default is MISSING and f.default_factory is MISSING]
    if missing:
        raise _Misfit(f"{where}: {kind.__name__} lacks {missing[0]!r}")
    return kind(**{name: _restore(hints[name], record[name], f"{where}.{name}") for name in known if name in record})


def _restore_key(kind: Any, key: str) -> Any:
    return float(key) if kind is float else int(key) if kind is int else key


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)
