"""Which rollouts were there?"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import count, output


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=count, default=20, metavar="N", help="how many (default 20)")
    output(parser)


async def run(call: Call) -> Exit:
    from interlock.surfaces.cli.show import document
    from interlock.surfaces.cli.show.table import history

    rollouts = await call.app.history(call.options.n)
    if call.json:
        call.document({"type": "history", "rollouts": [document.rollout(one) for one in rollouts]})
    elif rollouts:
        for line in history(rollouts, datetime.now(UTC)):
            call.console.print(line)
    else:
        call.say("nothing has been deployed from here yet. Begin with: interlock deploy VERSION")
    return Exit.OK
