"""What time is it here, and how much has passed?"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path


class SystemClock:
    """The machine's clocks. CLOCK_BOOTTIME never goes back within a boot and counts while the machine is suspended."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    @cached_property
    def boot(self) -> str:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    async def sleep(self, duration: timedelta) -> None:
        await asyncio.sleep(max(0.0, duration.total_seconds()))
