"""The real Prometheus, for tests and measurements: it scrapes what it is told to, and knows rules."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.adapters.incidents.alertmanager import answers, running

from interlock.adapters.host.local import LocalHost
from interlock.adapters.web import ask

PROGRAM = "prometheus"
SOON = timedelta(seconds=10)


@dataclass(frozen=True)
class Monitor:
    """One that runs."""

    url: str

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return what an instant query finds."""
        answer = await ask("GET", f"{self.url}/api/v1/query?{urlencode({'query': expression})}", timeout=SOON)
        found: list[dict[str, Any]] = answer.good().json()["data"]["result"]
        return found


def job(
    name: str, targets: Mapping[str, Mapping[str, str]], path: str = "/metrics", every: str = "1s"
) -> dict[str, Any]:
    """Scrape these addresses, each with labels of its own."""
    configs = [{"targets": [address], "labels": dict(labels)} for address, labels in targets.items()]
    timeout = every if every.endswith("ms") else "1s"
    return {
        "job_name": name,
        "metrics_path": path,
        "scrape_interval": every,
        "scrape_timeout": timeout,
        "static_configs": configs,
    }


@asynccontextmanager
async def prometheus(
    program: Path,
    *jobs: Mapping[str, Any],
    rules: tuple[Mapping[str, Any], ...] = (),
    alerts_to: str = "",
    features: str = "",
) -> AsyncIterator[Monitor]:
    """Run one on a free port that evaluates its rules each second, and leave nothing of it."""
    place = Path(tempfile.mkdtemp(prefix="interlock-prom-"))
    configuration: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": list(jobs),
        "rule_files": [str(place / "rules.yml")],
    }
    if alerts_to:
        address = alerts_to.removeprefix("http://")
        manager = {"api_version": "v2", "static_configs": [{"targets": [address]}]}
        configuration["alerting"] = {"alertmanagers": [manager]}
    (place / "rules.yml").write_text(json.dumps({"groups": [{"name": "rules", "rules": list(rules)}]}))
    (place / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
    flags: tuple[str, ...] = (f"--enable-feature={features}",) if features else ()
    address = f"127.0.0.1:{await LocalHost().free_port()}"
    flags += (f"--config.file={place / 'prometheus.yml'}", f"--storage.tsdb.path={place / 'data'}")
    try:
        async with running(program, *flags, f"--web.listen-address={address}", log=place / "log"):
            await answers(f"http://{address}/-/ready", place / "log")
            yield Monitor(f"http://{address}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
