"""What holds in an environment, when the top level of the file says one thing and the environment another?

Mappings are merged key by key, everything else (lists too) is replaced. A block that names another kind of thing (tcp
instead of http, rolling instead of canary) replaces the whole block.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from interlock.config.block import Block

B = TypeVar("B", bound=Block)


def merge(own: B, default: Block, names: Iterable[str]) -> B:
    """Return `own` with what it does not say itself taken from `default`, for the fields `names`."""
    update = {name: _merged(own, default, name) for name in names if name in default.model_fields_set}
    return own.model_copy(update=update)


def _merged(own: Block, default: Block, name: str) -> Any:
    if name not in own.model_fields_set:
        return getattr(default, name)
    mine, theirs = getattr(own, name), getattr(default, name)
    match mine, theirs:
        case dict(), dict():
            return {**theirs, **mine}
        case Block(), Block() if _alike(mine, theirs):
            return merge(mine, theirs, type(mine).model_fields)
    return mine


def _alike(mine: Block, theirs: Block) -> bool:
    """Say whether both speak of the same kind of thing; a block that names no kind speaks of the default's."""
    return type(mine) is type(theirs) and (not mine.named_kind or mine.kind == theirs.kind)
