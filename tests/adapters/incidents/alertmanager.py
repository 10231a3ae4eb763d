"""The real Alertmanager, for tests and measurements: alerts that begin and end, silences, and what inhibits what."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from interlock.adapters.host.local import LocalHost
from interlock.adapters.web import WebError, ask

PROGRAM = "prometheus-alertmanager"
SOON = timedelta(seconds=10)
STARTS_WITHIN = 30.0
CONFIGURATION = """\
route: {receiver: nobody, group_by: [alertname]}
receivers: [{name: nobody}]
inhibit_rules:
  - source_matchers: [alertname="RegionDown"]
    target_matchers: [severity="critical"]
    equal: [region]
"""


@dataclass(frozen=True)
class Manager:
    """One that runs."""

    url: str

    async def fire(self, *, ends: bool = False, summary: str = "", **labels: str) -> None:
        """Begin an alert, or end it; what is sent is in the next answer."""
        now = datetime.now(UTC)
        alert: dict[str, Any] = {"labels": labels, "annotations": {"summary": summary} if summary else {}}
        alert["startsAt"] = (now - timedelta(minutes=1)).isoformat()
        alert["endsAt"] = (now - timedelta(seconds=1) if ends else now + timedelta(hours=1)).isoformat()
        await self._post("/api/v2/alerts", [alert])

    async def silence(self, **labels: str) -> None:
        """Silence whatever has these labels, for an hour."""
        matchers = [{"name": name, "value": value, "isRegex": False} for name, value in labels.items()]
        now = datetime.now(UTC)
        period = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(hours=1)).isoformat()}
        await self._post(
            "/api/v2/silences", {"matchers": matchers, "createdBy": "a test", "comment": "known", **period}
        )

    async def _post(self, path: str, body: object) -> None:
        headers: Mapping[str, str] = {"Content-Type": "application/json"}
        sent = await ask("POST", self.url + path, headers=headers, body=json.dumps(body).encode(), timeout=SOON)
        sent.good()


@asynccontextmanager
async def alertmanager(program: Path) -> AsyncIterator[Manager]:
    """Run one on a free port, and leave nothing of it."""
    place = Path(tempfile.mkdtemp(prefix="interlock-am-"))
    (place / "am.yml").write_text(CONFIGURATION)
    address = f"127.0.0.1:{await LocalHost().free_port()}"
    flags = (f"--config.file={place / 'am.yml'}", f"--storage.path={place / 'data'}", "--cluster.listen-address=")
    try:
        async with running(program, *flags, f"--web.listen-address={address}", log=place / "log"):
            await answers(f"http://{address}/-/ready", place / "log")
            yield Manager(f"http://{address}")
    finally:
        shutil.rmtree(place, ignore_errors=True)


@asynccontextmanager
async def running(program: Path, *flags: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a program until the block is left."""
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(program, *flags, stdout=output, stderr=output)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def answers(url: str, log: Path) -> None:
    """Wait until a server says that it is ready."""
    deadline = asyncio.get_running_loop().time() + STARTS_WITHIN
    while True:
        try:
            (await ask("GET", url, timeout=SOON)).good()
            return
        except WebError as error:
            assert asyncio.get_running_loop().time() < deadline, f"{error}\n{log.read_text()[-2000:]}"
            await asyncio.sleep(0.05)
