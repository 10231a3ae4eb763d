"""May we write this rollout?"""

from __future__ import annotations

import asyncio

from interlock.ports.store import Store


class Claim:
    """Our ownership of one rollout, taken with the first write that succeeds; from then on earlier owners are fenced.

    On a full disk nothing can be claimed, and going back cannot wait until there is space. That is safe on one machine,
    where the lock on the state directory made us the only owner before; what we write is claimed first all the same.
    """

    def __init__(self, store: Store, id: str, owner: str) -> None:
        self._store, self._id, self._owner = store, id, owner
        self._epoch: int | None = None
        self._claiming = asyncio.Lock()

    @property
    def held(self) -> bool:
        """Whether it is on record that the rollout is ours."""
        return self._epoch is not None

    async def epoch(self) -> int:
        """Return the epoch to write under; claim the rollout if that could not be done yet. Raises StoreError."""
        async with self._claiming:
            if self._epoch is None:
                self._epoch = await self._store.claim(self._id, self._owner)
            return self._epoch
