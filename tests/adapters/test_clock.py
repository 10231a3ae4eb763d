from __future__ import annotations

from datetime import UTC, timedelta

from interlock.adapters.clock import SystemClock
from interlock.adapters.host.local import boot_id
from interlock.ports.clock import Clock


async def test_monotonic_time_passes_while_it_sleeps() -> None:
    clock: Clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(timedelta(milliseconds=20))
    await clock.sleep(timedelta(seconds=-1))
    assert clock.monotonic() - before >= 0.02


def test_now_is_utc_and_the_boot_has_the_kernels_name() -> None:
    clock: Clock = SystemClock()
    assert clock.now().tzinfo is UTC
    assert clock.boot == boot_id()
