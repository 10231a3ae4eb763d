"""How long does an agent wait for `infra-observe`, and does it stand ten thousand random calls?

A real rollout is in the middle of its canary, with users, while its state is asked for: in this process, over standard
input and output, and over HTTP. Beside it stands the least that the protocol's library can do: a tool that says "ok".
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.server.mcpserver import MCPServer
from tests.e2e.agents import project
from tests.e2e.town import Town

from bench.traffic import ROOT
from interlock.surfaces.mcp.server import server_of

OK = """
from mcp.server.mcpserver import MCPServer
server = MCPServer("ok", log_level="WARNING")
@server.tool()
async def ok() -> str:
    return "ok"
server.run()
"""
LONG = timedelta(minutes=30)
OTHERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("query_metrics there, of what is known", "query_metrics", {"seconds": 0}),
    ("list_rollouts there", "list_rollouts", {}),
)


def main() -> None:
    """Print what was measured, and what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m bench mcp")
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    missed = asyncio.run(measured(20 if quick else 2000, 2 if quick else 10))
    missed += random_calls(300 if quick else 10_000)
    sys.exit(1 if missed and not quick else 0)


async def measured(calls: int, starts: int) -> int:
    """Measure all of it; return how many goals were missed."""
    with tempfile.TemporaryDirectory(prefix="interlock-bench-") as directory:
        town = Town(Path(directory))
        await town.begin()
        try:
            await town.ready()
            async with town.traffic(rate=50):
                run = await town.start(town.wish(bake=LONG, hold_at_most=LONG))
                await asyncio.sleep(5)
                return await _all(town, run, calls, starts)
        finally:
            await town.end()


async def _all(town: Town, run: str, calls: int, starts: int) -> int:
    of, missed = project(town), 0
    path = town.place / "interlock.yaml"
    ours = ["-m", "interlock", "-f", str(path), "mcp"]
    least = await _started(["-c", OK], starts)
    missed += _print("start, to the first list of tools", await _started(ours, starts, town), 1000, least)
    small = MCPServer[Any]("ok", log_level="WARNING")

    @small.tool()
    async def ok() -> str:
        return "ok"

    async with Client(small) as client:
        floor = await _calls(client, "ok", {}, calls)
    async with Client(server_of(of)) as client:
        took = await _calls(client, "get_rollout", {"rollout": run}, calls)
        missed += _print("get_rollout in this process", took, 1, floor)
    async with Client(_server(["-c", OK])) as client:
        floor = await _calls(client, "ok", {}, calls)
    async with Client(_server(ours, town)) as client:
        took = await _calls(client, "get_rollout", {"rollout": run}, calls)
        missed += _print("get_rollout over standard input and output", took, 5, floor)
        for what, tool, arguments in OTHERS:
            _print(what, await _calls(client, tool, arguments, calls // 4), None, floor)
    async with _http(town, ours) as client:
        _print("get_rollout over HTTP", await _calls(client, "get_rollout", {"rollout": run}, calls // 2), None, floor)
    await of.close()
    return missed


def _server(argv: list[str], town: Town | None = None) -> StdioServerParameters:
    more = {"INTERLOCK_STATE": str(town.state.path)} if town else {}
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", **more}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # what is installed has its bytecode
    return StdioServerParameters(command=sys.executable, args=argv, env=environment)


async def _started(argv: list[str], times: int, town: Town | None = None) -> list[float]:
    """Return in milliseconds how long it takes until a server that is started has said which tools it has."""
    took = []
    for number in range(times + 1):
        since = time.perf_counter()
        async with Client(_server(argv, town)) as client:
            await client.list_tools()
            if number:  # the first one writes the bytecode
                took.append(1000 * (time.perf_counter() - since))
    return took


async def _calls(client: Client, tool: str, arguments: dict[str, Any], times: int) -> list[float]:
    """Return in milliseconds how long each call takes, one after the other."""
    took = []
    for _ in range(max(times, 5)):
        since = time.perf_counter()
        result = await client.call_tool(tool, arguments)
        took.append(1000 * (time.perf_counter() - since))
        assert not result.is_error, result
    return took


@asynccontextmanager
async def _http(town: Town, argv: list[str]) -> AsyncIterator[Client]:
    import httpx2
    from mcp.client.streamable_http import streamable_http_client

    server = _server([*argv, "--http", "--port", "0"], town)
    process = await asyncio.create_subprocess_exec(
        server.command, *server.args, env=server.env, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        url = (await process.stdout.readline()).decode().strip()
        bearer = {"Authorization": f"Bearer {town.state.mcp_token.read_text().strip()}"}
        http = httpx2.AsyncClient(headers=bearer, timeout=60)
        async with http, Client(streamable_http_client(url, http_client=http)) as client:
            yield client
    finally:
        process.terminate()
        await process.wait()


def _print(what: str, took: list[float], goal: float | None, floor: list[float]) -> int:
    """Print the median, p95 and how many times the least that is; return whether the goal was missed."""
    middle, late = statistics.median(took), _at(took, 0.95)
    times = middle / statistics.median(floor)
    wanted = "" if goal is None else f", goal {goal:g} ms: {'met' if middle <= goal else 'MISSED'}"
    print(f"{what}: median {middle:.2f} ms, p95 {late:.2f} ms; {times:.1f} × an empty tool{wanted}", flush=True)
    return int(goal is not None and middle > goal)


def _at(took: list[float], share: float) -> float:
    return sorted(took)[min(len(took) - 1, int(share * len(took)))]


def random_calls(number: int) -> int:
    """Make random calls on real rollouts; return 1 when anything broke."""
    since = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "tests/e2e/test_mcp_anything.py", "-q", "-n0", "-p", "no:cacheprovider"],
        cwd=ROOT,
        env={**os.environ, "INTERLOCK_CALLS": str(number), "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
    )
    took = time.perf_counter() - since
    ok = done.returncode == 0
    print(f"{number:,} random calls in {took:.0f} s: {'all held' if ok else done.stdout[-3000:]}", flush=True)
    return int(not ok)


if __name__ == "__main__":
    main()
