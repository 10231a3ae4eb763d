"""How long do a thousand simulated rollouts of fifteen minutes take on one core?"""

from __future__ import annotations

import time
from datetime import timedelta

from tests.core.examples import revision, stage_of

from interlock.app.simulate import Simulation, simulate, usual
from interlock.app.traffic import Users
from interlock.core.criteria import Criteria
from interlock.core.plan import StrategyName
from interlock.core.steps import spell
from interlock.core.strategy import Pace
from interlock.core.trial import What
from interlock.core.weight import ALL, Weight

RUNS, GOAL = 1000, 60
FIVE = timedelta(minutes=5)
PACE = Pace((Weight(1000), Weight(5000), ALL), FIVE, FIVE, FIVE)
USERS = Users(100.0, 0.001, 0.001)


def main() -> None:
    """Print what a healthy release takes, which is watched to the end, and how all of the usual ones end."""
    stage = stage_of(StrategyName.CANARY, revision("v2"), revision("v1"), PACE)
    bakes = spell(stage.shortest)
    print(f"{USERS.rate:g} requests/s, {RUNS:,} rollouts of each, {bakes} of bakes, samples of 5 s, one process")
    for scenario in usual(USERS, Criteria()):
        began = time.process_time()
        (result,) = simulate(Simulation(stage, (scenario,), RUNS))
        took = time.process_time() - began
        back, through = (100 * result.share(what) for what in (What.ROLLED_BACK, What.THROUGH))
        goal = f" (goal {GOAL})" if scenario.name == "healthy" else ""
        print(
            f"{scenario.name}: {took:.0f} s of CPU{goal}; rolled back {back:.1f} %, through {through:.1f} %, "
            f"median {result.seconds(0.5):.0f} s, p95 {result.seconds(0.95):.0f} s"
        )


if __name__ == "__main__":
    main()
