"""How soon after a critical alert is visible has the canary no users?

Real releases in the middle of their canary, the real Alertmanager, and nothing else that judges them. Each alert is
injected at another moment of the second in which the keeper asks once.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import struct
import sys
import time
from datetime import timedelta
from pathlib import Path

from tests.adapters.incidents.alertmanager import PROGRAM, SOON, Manager, alertmanager
from tests.e2e.town import HALF, SERVICE, Town, a_town

from bench.envoy import spread
from interlock.adapters.incidents.alertmanager import Alerts
from interlock.core.conditions import Conditions
from interlock.core.incidents import Alertmanager, Incidents
from interlock.core.phase import Phase

GOAL = 1.5
FULL, QUICK = 40, 4


async def inject(town: Town, manager: Manager, number: int, of: int) -> tuple[float, float]:
    """Release, and raise an alert in mid-canary; return after how many seconds it carried nothing, and had no user."""
    source = Alertmanager(manager.url, mine=(f'service="{SERVICE}"',))
    accepts = town.place / f"accepts-{number}"
    wish = town.wish(
        criteria=None,
        bake=timedelta(minutes=2),
        recovered_for=timedelta(seconds=0.2),
        conditions=Conditions(incidents=Incidents((source,))),
        environment=(("ACCEPTS", str(accepts)),),
    )
    run = await town.start(wish)
    await town.until(run, lambda rollout: rollout.weight == HALF, "its first weight")
    await asyncio.sleep(1 + number / of)
    name = f"Broken{number}"
    await manager.fire(alertname=name, severity="critical", service=SERVICE)
    while not await Alerts(lambda _: "").active(source, SOON):
        await asyncio.sleep(0.002)
    visible = time.time()
    ended = await town.over(run)
    assert ended.phase is Phase.ROLLED_BACK and name in ended.reason, ended.reason
    await manager.fire(alertname=name, severity="critical", service=SERVICE, ends=True)
    last = max((at for (at,) in struct.iter_unpack("<d", accepts.read_bytes())), default=visible)
    return _fell_back(town) - visible, max(0.0, last - visible)


def _fell_back(town: Town) -> float:
    """Return when the proxy had taken, and reported, a route without the canary: by the keeper's trace."""
    calls = [line.split(" ") for line in town.trace.read_text().splitlines()]
    return max(float(call[0]) for call in calls if call[1] == "fall_back")


async def measure(times: int) -> bool:
    """Print what was measured; return whether the goal is met."""
    program = shutil.which(PROGRAM)
    if program is None:
        print(f"{PROGRAM} is not installed here: `make parts` installs it", file=sys.stderr)
        return False
    carried, asked = [], []
    async with a_town() as town, alertmanager(Path(program)) as manager:
        await town.ready()
        async with town.traffic(200, 20):
            for number in range(times):
                told, last = await inject(town, manager, number, times)
                carried.append(told)
                asked.append(last)
    p95 = sorted(carried)[len(carried) * 95 // 100]
    print(f"{times} alerts, the keeper asks once a second, 200 requests/s of users")
    print(
        f"alert visible in Alertmanager → canary at 0 %, as Envoy reports it: {spread(carried)} (goal: p95 {GOAL:g} s)"
    )
    print(f"alert visible in Alertmanager → last request of a user accepted by the canary: {spread(asked)}")
    return p95 <= GOAL


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.alerts", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small run, to see that everything works")
    times = QUICK if parser.parse_args().quick else FULL
    return 0 if asyncio.run(measure(times)) else 1


if __name__ == "__main__":
    sys.exit(main())
