"""What do tests of remote environments need? A project on a laptop, commands typed there, and machines to run on."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL

from tests.sshd import ROOT, Lan, Machine, a_lan

from interlock.adapters.host.local import LocalHost

TOKEN = "sesame-open-123"
APP = """\
import http.server, json, os, sys, time
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = json.dumps({"version": VERSION, "secret": os.environ.get("TOKEN", "")[:3]})
        self.send_response(BROKEN or 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *args):
        pass
BROKEN = 0
VERSION = "v1"
if "UNLESS" in os.getcwd():
    sys.exit("spoilt")
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
"""


@dataclass
class Laptop:
    """A project's directory on one laptop."""

    place: Path
    hosts: tuple[str, ...]
    port: int
    staging: int
    variables: Mapping[str, str] = field(default_factory=dict)
    address: str = "127.0.0.1"
    more: str = ""

    def write(self, version: str, unless: str = "nowhere at all") -> None:
        """Have the project be this version, which does not start in a directory that is called so."""
        app = self.place / "project" / "app"
        app.mkdir(parents=True, exist_ok=True)
        text = APP.replace('VERSION = "v1"', f'VERSION = "{version}"').replace("UNLESS", unless)
        (app / "app.py").write_text(text)
        (self.place / "project" / "interlock.yaml").write_text(
            "service: shop\n"
            "artefact: {directory: app}\n"
            f'command: ["{sys.executable}", -S, app.py]\n'
            f"hosts: [{', '.join(self.hosts)}]\n"
            "secrets: {TOKEN: env:SHOP_TOKEN}\n"
            "strategy: {canary: {weights: [50%, 100%], first_bake: 2s, bake: 1s, keep: 1s, hold_at_most: 30s, "
            "recovered_for: 1s}}\n"
            "criteria: {sample_every: 1s, without_proof: advance-unproven}\n"
            f"environments:\n  staging: {{port: {self.staging}, hosts: [{self.hosts[0]}], "
            "strategy: {blue-green: {keep: 1s}}}\n"
            f"  production: {{port: {self.port}, address: {self.address}}}\n{self.more}"
        )

    async def run(self, *words: str, within: float = 120) -> tuple[int, str]:
        """Type a command; return its status and all that it said."""
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
            "XDG_STATE_HOME": str(self.place / "state"),
            "TMPDIR": str(self.place / "t"),
            "SHOP_TOKEN": TOKEN,
            **self.variables,
        }
        for name in ("INTERLOCK_STATE", "INTERLOCK_HOME"):
            environment.pop(name, None)
        (self.place / "t").mkdir(parents=True, exist_ok=True)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "interlock", *words),
            cwd=self.place / "project",
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(within):
                out, _ = await child.communicate()
        finally:
            if child.returncode is None:
                os.killpg(child.pid, SIGKILL)
        return child.returncode or 0, out.decode()


@asynccontextmanager
async def a_fleet(*addresses: str, apart: bool = False) -> AsyncIterator[tuple[Lan, list[Machine], Laptop]]:
    """Give a test machines that have Interlock, and a laptop; stop all that runs there at the end.

    `apart` gives each machine a network of its own, so that all can have the same ports.
    """
    async with a_lan() as lan:
        machines = [lan.machine(address, apart=apart) for address in addresses]
        host = LocalHost()
        place = lan.place / "l"
        ports = (await host.free_port(), await host.free_port())
        laptop = Laptop(place, tuple(one.url for one in machines), *ports)
        laptop.address = "0.0.0.0" if apart else "127.0.0.1"
        laptop.write("v1")
        try:
            yield lan, machines, laptop
        finally:
            await laptop.run("down")
