"""How do people and programs that are not on this machine reach it?"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from ipaddress import ip_address

from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.exits import Exit

PORT = 7878


class NotInstalled(Exception):
    """What serves is an optional part, and is not here."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--address", default="127.0.0.1", type=_address, metavar="IP", help="listen there; default: 127.0.0.1"
    )
    parser.add_argument("--port", default=PORT, type=_port, metavar="N", help=f"default: {PORT}; 0: any that is free")
    token = parser.add_mutually_exclusive_group()
    token.add_argument("--token", action="store_true", help="print the token that programs must show, and end")
    token.add_argument("--new-token", action="store_true", help="make another one; the old one opens nothing then")


def run(call: Call) -> Exit:
    from interlock.app.tokens import renew, token

    if call.options.token or call.options.new_token:
        print(renew(call.state) if call.options.new_token else token(call.state), flush=True)
        return Exit.OK
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise NotInstalled("what serves is not installed: pip install 'interlock[server]'")
    import asyncio

    from interlock.surfaces.api import serve

    token(call.state)
    call.goes_on = "stopped serving; whatever is under way goes on"
    asyncio.run(serve(call.app, call.options.address, call.options.port, lambda where: _ready(call, where)))
    return Exit.OK


def _ready(call: Call, where: str) -> None:
    call.say(f"Interlock answers on {where} to links from messages, and to programs that show the token")
    call.say("The token is printed by: interlock serve --token")
    if not ip_address(call.options.address).is_loopback:
        call.warn(f"warning: {where} is not encrypted and others can reach it: put something with TLS in front of it")


def _address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f'expected an IP address such as "127.0.0.1", found "{text}"') from None


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'expected a port from 0 to 65535, found "{text}"')
    return int(text)
