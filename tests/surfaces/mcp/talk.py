"""Says a few things to a server, by whichever generation of the library is installed: `talk.py URL|- TOKEN|- ARGV…`.

Prints one JSON document of what it heard. It imports nothing of ours: it runs where only the library is.
"""

import asyncio
import json
import sys
from contextlib import asynccontextmanager
from typing import Any

import mcp
from mcp.types import Implementation

ME = Implementation(name="talk", version="1")


@asynccontextmanager
async def speaking(url: str, token: str, argv: list[str]) -> Any:
    """Open a session."""
    headers = {"Authorization": f"Bearer {token}"}
    server = mcp.StdioServerParameters(command=argv[0], args=argv[1:], env=None) if argv else None
    if hasattr(mcp, "Client"):
        if server is not None:
            async with mcp.Client(server, client_info=ME) as client:
                yield client
            return
        import httpx2
        from mcp.client.streamable_http import streamable_http_client

        http = httpx2.AsyncClient(headers=headers, timeout=60)
        async with http, mcp.Client(streamable_http_client(url, http_client=http), client_info=ME) as client:
            yield client
        return
    from mcp.client import streamable_http
    from mcp.client.stdio import stdio_client

    earlier: Any = streamable_http  # what it has there has another name by now
    transport = earlier.streamablehttp_client(url, headers) if server is None else stdio_client(server)
    async with transport as streams, mcp.ClientSession(streams[0], streams[1], client_info=ME) as client:
        await client.initialize()
        yield client


def heard(result: Any) -> dict[str, Any]:
    """Return an answer's text, fields, and whether it is an error, whatever they are called here."""
    return {
        "text": "\n".join(block.text for block in result.content),
        "error": getattr(result, "is_error", getattr(result, "isError", None)),
        "fields": getattr(result, "structured_content", getattr(result, "structuredContent", None)),
    }


async def main(url: str, token: str, *argv: str) -> None:
    """Say it."""
    progress: list[str] = []

    async def hear(done: float, total: float | None, text: str | None = None) -> None:
        progress.append(text or "")

    async with speaking(url, token, list(argv)) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        prompts = [one.name for one in (await client.list_prompts()).prompts]
        gates = heard(await client.call_tool("check_preconditions", {}))
        plan = heard(await client.call_tool("plan_deployment", {"version": "v1"}, progress_callback=hear))
        read = await client.read_resource(plan["fields"]["resource"])
        wrong = heard(await client.call_tool("abort", {"force": True}))
    said = {"tools": tools, "prompts": prompts, "gates": gates, "plan": plan, "wrong": wrong, "progress": progress}
    print(json.dumps({**said, "read": read.contents[0].text}))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
