"""Does a link in a mail open the gate of those on call, by its button alone, and once, at a server of its own?"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from bench.traffic import ROOT
from tests.adapters.notify.sink import MailSink, listening
from tests.e2e.town import DEADLINE, Town, eventually

from interlock.adapters.web import Answer, ask
from interlock.app.secrets import key_for
from interlock.core.channel import Channel, Mail, Security
from interlock.core.conditions import Conditions
from interlock.core.link import CHANNEL, Link
from interlock.core.on_call import OnCall, Roster
from interlock.core.phase import Phase
from interlock.core.plan import StrategyName
from interlock.core.steps import Gate, GateName

ADA = "ada@example.org"
PAGE = "https://deploy.example.org/interlock"
SOON = timedelta(seconds=30)
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@asynccontextmanager
async def served(town: Town) -> AsyncIterator[str]:
    """Run `interlock serve` for a town; yield its address."""
    argv = (sys.executable, "-m", "interlock", "serve", "--port", "0")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "INTERLOCK_STATE": str(town.state.path)}
    server = await asyncio.create_subprocess_exec(
        *argv, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert server.stdout is not None
    try:
        line = (await asyncio.wait_for(server.stdout.readline(), DEADLINE)).decode()
        found = re.search(r"http://127\.0\.0\.1:\d+", line)
        assert found is not None, line
        yield found[0]
    finally:
        server.send_signal(signal.SIGINT)
        said = (await asyncio.wait_for(server.stdout.read(), DEADLINE)).decode()
        await asyncio.wait_for(server.wait(), DEADLINE)
    assert "Traceback" not in said and "eyJ" not in said, "it says nothing of who asked what"


async def token(town: Town) -> str:
    """Return what `interlock serve --token` prints."""
    argv = (sys.executable, "-m", "interlock", "serve", "--token")
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "INTERLOCK_STATE": str(town.state.path)}
    asked = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=asyncio.subprocess.PIPE)
    said, _ = await asyncio.wait_for(asked.communicate(), DEADLINE)
    return said.decode().strip()


async def post(url: str, body: str, headers: Mapping[str, str]) -> Answer:
    return await ask("POST", url, headers=headers, body=body.encode(), timeout=SOON)


async def waiting(town: Town, sink: MailSink) -> str:
    """Begin a release that waits for ada, who is on call; return its run."""
    call = OnCall(Roster((ADA, "grace")), acknowledge=True, within=timedelta(minutes=2))
    mail = Mail(("team@example.org",), "interlock@example.org", "127.0.0.1", sink.port, Security.NOTHING)
    plan = await town.plan(town.wish(strategy=StrategyName.BLUE_GREEN))
    (stage,) = plan.stages
    steps = (Gate(GateName.ON_CALL, call.within), *stage.steps)
    stage = replace(stage, steps=steps, conditions=Conditions(on_call=call))
    plan = replace(plan, stages=(stage,), channels=(Channel("team", mail, ("failed",)),), links=PAGE)
    run = await town.app.start(plan)
    await town.until(run, lambda one: one.phase is Phase.WAITING, "those on call")
    await eventually(lambda: len(sink.mails) == 1, "ada has mail")
    return run


async def test_the_button_of_a_mailed_link_opens_the_gate_and_to_open_the_link_does_not(town: Town) -> None:
    sink = MailSink()
    async with listening(sink), served(town) as site:
        run = await waiting(town, sink)
        (mail,) = sink.mails
        assert mail["To"] == ADA
        text = mail.get_content()
        found = re.search(rf"^{re.escape(PAGE)}/acknowledge\?token=(\S+)\s*$", text, re.MULTILINE)
        assert found is not None, text
        given, id = found[1], (await town.rollout(run)).id

        for method in ("GET", "HEAD", "GET"):  # as what looks through mail does
            page = await ask(method, f"{site}/acknowledge?token={given}", timeout=SOON)
            assert page.status == 200
        assert ADA in page.body.decode() and id in page.body.decode() and b"<button" in page.body
        key, later = key_for(town.state.secrets, CHANNEL), datetime.now(UTC) + timedelta(minutes=1)
        for wrong, status in (
            (Link("acknowledge", id, ADA, datetime.now(UTC) - timedelta(seconds=1)).token(key), 410),
            (Link("acknowledge", id, ADA, later).token(b"x" * 32), 403),
            (Link("acknowledge", id, "stranger@example.org", later).token(key), 409),
        ):
            answer = await post(f"{site}/acknowledge", f"token={wrong}", FORM)
            assert answer.status == status, answer.body.decode()
        assert (await town.rollout(run)).acknowledged is None, "nothing of that has acknowledged"
        assert (await town.rollout(run)).phase is Phase.WAITING

        for _ in range(2):
            answer = await post(f"{site}/acknowledge", f"token={given}", FORM)
            assert answer.status == 200 and f"By {ADA}" in answer.body.decode()
        ended = await town.over(run)
        assert ended.phase is Phase.SUCCEEDED and ended.acknowledged is not None
        assert (ended.acknowledged.by, ended.acknowledged.channel) == (ADA, CHANNEL)
        orders = [one.text for one in await town.entries(run) if one.kind == "order"]
        assert orders == [f"acknowledged by {ADA}, on call"]
        late = await ask("GET", f"{site}/acknowledge?token={given}", timeout=SOON)
        assert "Acknowledged" in late.body.decode()


async def test_a_program_that_shows_the_token_acknowledges_and_another_does_not(town: Town) -> None:
    sink = MailSink()
    async with listening(sink), served(town) as site:
        run = await waiting(town, sink)
        url = f"{site}/api/v1/rollouts/{(await town.rollout(run)).id}:acknowledge"
        body = json.dumps({"name": ADA, "reason": "the rota bot asked me"})
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {await token(town)}"}
        refused = await post(url, body, {**headers, "Authorization": "Bearer guessed"})
        assert refused.status == 401 and refused.headers["content-type"] == "application/problem+json"
        nobody = await post(url, json.dumps({"name": "mallory"}), headers)
        assert nobody.status == 409 and "mallory is not on call now" in nobody.json()["detail"]
        assert (await town.rollout(run)).acknowledged is None
        taken = await post(url, body, headers)
        assert taken.status == 200 and taken.json()["acknowledged"]["channel"] == "api"
        ended = await town.over(run)
        assert ended.phase is Phase.SUCCEEDED and ended.acknowledged is not None
        assert ended.acknowledged.by.startswith(f"{ADA} (said by ") and "unproven" in ended.acknowledged.by
        assert ended.acknowledged.reason == "the rota bot asked me"
        gone = await post(url, body, headers)
        assert gone.status in (200, 409), "it is over, and was acknowledged"
