"""How do agents come in? By the Model Context Protocol, on standard input and output or over HTTP."""

from __future__ import annotations

import argparse
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

if TYPE_CHECKING:  # agents' part is imported by this command only
    from interlock.app.agents import Project

PORT = 8799


class NotInstalled(Exception):
    """The optional part is not there; the message says how to get it."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(usage=parser.error)
    parser.add_argument("--http", action="store_true", help="over HTTP on 127.0.0.1, with a token")
    parser.add_argument(
        "--port", type=_port, default=None, metavar="PORT", help=f"with --http; 0 is any free one (default: {PORT})"
    )
    parser.add_argument("--new-token", action="store_true", help="with --http: make a new token first")


def run(call: Call) -> Exit:
    options = call.options
    if not options.http and (options.port is not None or options.new_token):
        options.usage("expected --port and --new-token with --http only")
    gc.disable()  # what is imported is no garbage: to search it meanwhile took a tenth of the start
    try:
        import mcp  # noqa: F401
    except ImportError as missing:
        raise NotInstalled(f"agents come in by an optional part: pip install 'interlock[mcp]' ({missing})") from None
    from interlock.app.agents import Project
    from interlock.app.project import file_of

    call.goes_on = "stopped: deployments under way go on without it"
    project = Project(call.state, lambda: file_of(options.file, Path.cwd()))
    return _over_http(call, project) if options.http else _over_stdio(project)


def _over_stdio(project: Project) -> Exit:
    from interlock.surfaces.mcp.server import server_of

    server = server_of(project)
    gc.freeze()
    gc.enable()
    server.run()
    return Exit.OK


def _over_http(call: Call, project: Project) -> Exit:
    import asyncio

    from interlock.surfaces.mcp.http import address_of, listen, serve, token_of
    from interlock.surfaces.mcp.server import server_of

    token = token_of(call.state, new=call.options.new_token)
    with listen(PORT if call.options.port is None else call.options.port) as line:
        call.say(f"{address_of(line)}\nthe token is in {call.state.mcp_token}")
        server = server_of(project)
        gc.freeze()
        gc.enable()
        asyncio.run(serve(server, line, token))
    return Exit.OK


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to 65535, found "{text}"')
    return int(text)
