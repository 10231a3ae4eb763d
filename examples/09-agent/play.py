"""Plays an agent without a model: the specification's whole workflow, by the tools of `infra-observe` alone.

`play.py begin VERSION` checks, builds (with --image), plans and starts; it ends, and the rollout goes on. `play.py
follow RUN` waits, gives the new feature to 5 % and then to 25 % of the users, looks how they fare, and takes all of it
back when that is not well. Over standard input and output, or over HTTP with --url and --token FILE. It speaks both
generations of the protocol's library: whichever is installed.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mcp
from mcp.types import Implementation

ME, FLAG = Implementation(name="play", version="1"), "new_feature"


@asynccontextmanager
async def speaking(options: argparse.Namespace) -> AsyncIterator[Any]:
    """Speak with the server: by the newer library's Client, or the older one's ClientSession."""
    parameters = mcp.StdioServerParameters(command="interlock", args=["mcp"], env=dict(os.environ))
    if hasattr(mcp, "Client"):
        if not options.url:
            async with mcp.Client(parameters, client_info=ME) as client:
                yield client
            return
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        http = httpx2.AsyncClient(headers=_bearer(options), timeout=90)
        async with http, mcp.Client(streamable_http_client(options.url, http_client=http), client_info=ME) as client:
            yield client
        return
    from mcp.client.stdio import stdio_client
    from mcp.client.streamable_http import streamablehttp_client

    transport = streamablehttp_client(options.url, _bearer(options)) if options.url else stdio_client(parameters)
    async with transport as streams, mcp.ClientSession(streams[0], streams[1], client_info=ME) as client:
        await client.initialize()
        yield client


def _bearer(options: argparse.Namespace) -> dict[str, str]:
    return {"Authorization": f"Bearer {Path(options.token).read_text().strip()}"}


class Agent:
    """Calls tools, and says aloud what they answer."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def call(self, tool: str, /, *, quiet: bool = False, **arguments: Any) -> dict[str, Any]:
        """Call a tool; return its fields. An error ends the play."""
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(block.text for block in result.content)
        if getattr(result, "is_error", getattr(result, "isError", False)):
            sys.exit(f"{tool}: {text}")
        if not quiet:
            print(f"--- {tool} {arguments}\n{text}", flush=True)
        fields: Any = getattr(result, "structured_content", None) or getattr(result, "structuredContent", None)
        return dict(fields)


async def begin(agent: Agent, version: str, image: str) -> None:
    """Check, build, plan and start."""
    gates = await agent.call("check_preconditions")
    if not gates["open"]:
        sys.exit("a gate is closed: nothing is begun")
    if image:
        await agent.call("docker_build_push", image=image, tag=version)
    plan = await agent.call("plan_deployment", version=version)
    started = await agent.call("start_deployment", plan=plan["plan"])
    again = await agent.call("start_deployment", plan=plan["plan"])
    assert again["run"] == started["run"] and again["outcome"] == "already", "twice is once"
    print(f"STARTED {started['run']}", flush=True)


async def follow(agent: Agent, run: str) -> None:
    """Wait, coordinate the flag, go back where users are harmed, and report."""
    asked, ramped = False, False
    while True:
        until = "change" if asked else "attention"
        now = await agent.call("wait_rollout", rollout=run, timeout_s=10, until=until, quiet=True)
        last = now["rollouts"][-1]
        print(f"{last['environment']} {last['phase']}: {last['step_text']}", flush=True)
        if now["needs"] and not asked:
            asked = True
            print(f"NEEDS A PERSON: {now['needs']['command']}", flush=True)
        if now["over"]:
            break
        if last["environment"] == "production" and last["phase"] == "watching" and not ramped:
            ramped = True
            await ramp(agent, run)
    await agent.call("deployment_report", rollout=run)
    if last["going_back"]:
        await agent.call("incident_report", rollout=run)
        print((await agent.call("query_metrics", rollout=run, seconds=2, quiet=True))["now"], flush=True)


async def ramp(agent: Agent, run: str) -> None:
    """Give the feature to 5 % of the users, then to 25 %, and take it back when more than 1 % of requests fail."""
    for percentage in (5, 25):
        await agent.call(
            "toggle_feature_flag",
            flag_name=FLAG,
            action="update_strategy",
            environment="production",
            rollout_percentage=percentage,
        )
        await asyncio.sleep(1)
        measured = await agent.call("query_metrics", rollout=run, seconds=2)
        if any((side["error_rate"] or 0) > 0.01 for side in measured["now"].values()):
            print(f"TOO MANY FAIL AT {percentage} %: the flag goes off, and the release back", flush=True)
            await agent.call("toggle_feature_flag", flag_name=FLAG, action="disable", environment="production")
            if not (await agent.call("get_rollout", rollout=run, quiet=True))["rollouts"][-1]["going_back"]:
                await agent.call("rollback", reason=f"more than 1 % fail with {FLAG} at {percentage} %")
            return


async def main() -> None:
    """Play one of the two parts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", choices=("begin", "follow"))
    parser.add_argument("what", metavar="VERSION|RUN")
    parser.add_argument("--image", default="", help="also build and push this image first")
    parser.add_argument("--url", default="", help="over HTTP")
    parser.add_argument("--token", default="", help="the file with the token for it")
    options = parser.parse_args()
    async with speaking(options) as client:
        agent = Agent(client)
        await (begin(agent, options.what, options.image) if options.part == "begin" else follow(agent, options.what))


if __name__ == "__main__":
    asyncio.run(main())
