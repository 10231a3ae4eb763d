"""What may we ask of the servers and commands that the user wants asked, or told?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Protocol

from interlock.core.gates import Answer
from interlock.core.hooks import Hook


class Hooks(Protocol):
    """Asks hooks; never raises, since what gives no answer has not said yes."""

    async def ask(self, hook: Hook, facts: Mapping[str, Any], within: timedelta) -> Answer:
        """Hand the facts over and wait for the answer; a `final` no is one that asking again will not change.

        The reason is one line, without control characters and secrets. The same question has the same `key` among its
        facts, however often it is asked.
        """
