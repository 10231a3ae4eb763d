"""What do tests of other machines need? A real sshd on a loopback address, with keys and configuration of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from interlock.adapters.host.ssh import CONFIG

ROOT = Path(__file__).parents[1]


@dataclass
class Machine:
    """One machine: its address, and where what it keeps lies."""

    address: str
    place: Path
    port: int
    network: str = ""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """As interlock.yaml names it."""
        return f"ssh://{os.environ.get('USER') or 'root'}@{self.address}:{self.port}"

    def state(self, service: str) -> Path:
        """Return where it keeps a project's state."""
        return self.place / "state" / "interlock" / service


class Lan:
    """Some machines, and the one that the test itself is."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.machines: list[Machine] = []
        self.config = place / "ssh_config"
        self.key = place / "key"
        self._switch = ""

    def prepare(self) -> None:
        """Make the key by which everybody gets in everywhere, and the client's configuration."""
        self._keygen(self.key)
        self.config.write_text(
            f"Host *\n  IdentityFile {self.key}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {self.place / 'known_hosts'}\n  GlobalKnownHostsFile /dev/null\n"
        )
        (self.place / "known_hosts").touch()

    def machine(self, address: str, *, apart: bool = False, variables: Mapping[str, str] | None = None) -> Machine:
        """Start a machine's sshd, whose commands find Interlock and a place of their own for state.

        With `apart` it is in a network of its own, whose first three numbers are those of the address. `variables` are
        what its commands have besides.
        """
        place = self.place / address.replace(".", "-")
        place.mkdir()
        network = self._network(address) if apart else ""
        port = 22 if apart else _free(address)
        self._keygen(place / "host")
        shutil.copy(f"{self.key}.pub", place / "authorized")
        known = (place / "host.pub").read_text().split()[:2]
        with (self.place / "known_hosts").open("a") as file:
            file.write(f"{address if port == 22 else f'[{address}]:{port}'} {' '.join(known)}\n")
        path = os.pathsep.join((str(place / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]))
        given = {
            "PATH": path,
            "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT))),
            "XDG_STATE_HOME": str(place / "state"),
            "INTERLOCK_FRONT": str(place / "front"),
            CONFIG: str(self.config),
            "TMPDIR": str(place / "t"),
            **(variables or {}),
        }
        (place / "t").mkdir()
        (place / "bin").mkdir()
        program = place / "bin" / "interlock"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m interlock "$@"\n')
        program.chmod(0o755)
        (place / "sshd_config").write_text(
            f"Port {port}\nListenAddress {address}\nHostKey {place / 'host'}\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"AuthorizedKeysFile {place / 'authorized'}\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"
            "AllowStreamLocalForwarding yes\nMaxStartups 100\n"
            f"SetEnv {' '.join(f'{name}={value}' for name, value in given.items())}\n"
        )
        machine = Machine(address, place, port, network)
        self.machines.append(machine)
        self.start(machine)
        return machine

    def start(self, machine: Machine) -> None:
        """Have its sshd running, and wait until it answers."""
        Path("/run/sshd").mkdir(exist_ok=True)
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        log = (machine.place / "sshd.log").open("ab")
        inside = ["ip", "netns", "exec", machine.network] if machine.network else []
        argv = [*inside, sshd, "-D", "-e", "-f", str(machine.place / "sshd_config")]
        machine.process = subprocess.Popen(argv, stdout=log, stderr=log)
        log.close()
        for _ in range(600):
            with suppress(OSError), socket.create_connection((machine.address, machine.port), 1):
                return
            if machine.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError((machine.place / "sshd.log").read_text())

    def end(self) -> None:
        """Stop every sshd that was started here."""
        for machine in self.machines:
            if machine.process is not None and machine.process.poll() is None:
                machine.process.send_signal(SIGTERM)
                machine.process.wait(20)
        for machine in self.machines:
            if machine.network:
                self._close(machine.network)
        if self._switch:
            self._close(self._switch)

    def _network(self, address: str) -> str:
        """Make a network for a machine; skip the test where the kernel or the sandbox makes none."""
        name = f"{self.place.name}-{len(self.machines)}"
        try:
            if not self._switch:  # a network of its own: rules of this machine's firewall do not reach into it
                self._switch = f"{self.place.name}-s"
                _ip("netns", "add", self._switch)
                _ip("-n", self._switch, "link", "add", "switch", "type", "bridge")
                _ip("-n", self._switch, "link", "set", "switch", "up")
                self._plug(f"r{name[-9:]}", None, f"{address.rpartition('.')[0]}.1")
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
            self._plug(f"m{name[-9:]}", name, address)
        except (OSError, subprocess.CalledProcessError) as problem:
            self._close(name)
            said = getattr(problem, "stderr", b"") or b""
            pytest.skip(f"networks cannot be made here: {problem} {said.decode(errors='replace').strip()}")
        return name

    def _plug(self, link: str, network: str | None, address: str) -> None:
        """Put a machine's network, or this one, on the switch, under an address."""
        there = ("-n", network) if network else ()
        _ip("link", "add", link, "type", "veth", "peer", "name", f"{link}s")
        _ip("link", "set", f"{link}s", "netns", self._switch)
        _ip("-n", self._switch, "link", "set", f"{link}s", "master", "switch", "up")
        if network:
            _ip("link", "set", link, "netns", network)
        _ip(*there, "addr", "add", f"{address}/24", "dev", link)
        _ip(*there, "link", "set", link, "up")

    def _close(self, network: str) -> None:
        """End what still runs in a network of ours, and the network."""
        found = subprocess.run(["ip", "netns", "pids", network], check=False, capture_output=True, text=True)
        for pid in found.stdout.split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), SIGKILL)
        subprocess.run(["ip", "netns", "del", network], check=False, capture_output=True)

    def _keygen(self, file: Path) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(file)], check=True)


@asynccontextmanager
async def a_lan() -> AsyncIterator[Lan]:
    """Give a test its machines, and leave nothing of them. The place has a short path, as sockets need."""
    lan = Lan(Path(tempfile.mkdtemp(prefix="il-")))
    before = os.environ.get(CONFIG)
    lan.prepare()
    os.environ[CONFIG] = str(lan.config)
    try:
        yield lan
    finally:
        os.environ.pop(CONFIG)
        if before is not None:
            os.environ[CONFIG] = before
        await asyncio.to_thread(lan.end)
        shutil.rmtree(lan.place, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _free(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])
