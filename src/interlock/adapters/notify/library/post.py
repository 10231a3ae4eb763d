"""What becomes of a message that a library sends in a process of its own?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interlock.adapters.child import ChildError, answer
from interlock.ports.notify import Undelivered, Unwanted


async def send(module: str, task: Mapping[str, Any], within: timedelta) -> Any:
    """Have a module of this package send one message, and return what it says of that.

    Raises Undelivered, or Unwanted when it never will be taken.
    """
    try:
        return await answer(f"notify.library.{module}", task, within, goes_out=True)
    except ChildError as error:
        raise (Unwanted if error.final else Undelivered)(f"{module}: {error}") from None
