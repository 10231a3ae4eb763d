"""How are the judge's values made as quickly as values that could be changed?

The `__init__` of a frozen dataclass calls `object.__setattr__` for each field, which takes thrice as long as to fill
the slot itself; with a dozen values for each sample that was a quarter of the judge's time. Nothing else differs: the
values are as frozen as before.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, TypeVar

T = TypeVar("T")


def quick(cls: type[T]) -> type[T]:
    """Let a dataclass with `frozen` and `slots` fill its slots directly. No field may have a default factory."""
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    assert all(field.default_factory is MISSING for field in fields(cls)), cls  # type: ignore[arg-type]
    slots = {f"fill_{name}": vars(cls)[name].__set__ for name in names}
    made: dict[str, Any] = {}
    body = "".join(f"    fill_{name}(self, {name})\n" for name in names)
    exec(f"def __init__(self, {', '.join(names)}):\n{body}", slots, made)  # as `dataclass` itself does
    init = made["__init__"]
    original: Any = cls.__init__
    init.__defaults__, init.__annotations__ = original.__defaults__, original.__annotations__
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    cls.__init__ = init  # type: ignore[method-assign]
    return cls
