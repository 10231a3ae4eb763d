"""What does a machine lack to carry a project, and how does it get Interlock?"""

from __future__ import annotations

import re
import shlex
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from interlock.adapters.host.ssh import Ssh
from interlock.app.doctor import GLIBC, MACHINES
from interlock.app.finding import LEAST_SPACE, Finding
from interlock.app.parcel import ours
from interlock.app.road import remotely
from interlock.app.wheel import make
from interlock.ports.host import HostError

_LOOKS_WITHIN = timedelta(seconds=40)
_INSTALLS_WITHIN = timedelta(minutes=15)
_APART_AT_MOST = 5.0

# Needs nothing but a POSIX shell: it runs where there is no Interlock yet, and perhaps no Python.
_LOOK = """
echo "os=$(uname -s)"; echo "machine=$(uname -m)"; echo "now=$(date +%s)"; echo "user=$(id -un)"; echo "uid=$(id -u)"
echo "glibc=$(getconf GNU_LIBC_VERSION 2>/dev/null)"
for p in python3 python3.14 python3.13 python3.12 python3.11; do
  "$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
  echo "python=$p"
  "$p" -c 'import venv, ensurepip' 2>/dev/null && { echo "venv=$p"; break; }
done
echo "free=$(df -Pk "$HOME" 2>/dev/null | awk 'NR==2 {print $4}')"
echo "lowest=$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start 2>/dev/null)"
for e in docker podman; do
  command -v $e >/dev/null 2>&1 || continue
  v=$($e version --format '{{.Server.Version}}' 2>/dev/null) && echo "engine=$e $v" || echo "silent=$e"
done
"""

_INSTALL = """
set -e
umask 077
base="${XDG_DATA_HOME:-$HOME/.local/share}/interlock"
mkdir -p "$base"
venv="$base/$2"
cat > "$base/$1"
"$3" -m venv "$venv"
"$venv/bin/python" -m pip --disable-pip-version-check --no-input --quiet install "$base/$1" >&2
ln -sfn "$venv/bin" "$base/bin.new"
mv -T "$base/bin.new" "$base/bin"
rm -f "$base/$1"
"""


@dataclass(frozen=True, slots=True)
class Looked:
    """What a machine says of itself; `interlock` is the version that it has, "" without one."""

    facts: Mapping[str, str]
    interlock: str
    apart: float

    @property
    def python(self) -> str:
        """The Python that can make a virtual environment, "" when none can."""
        return self.facts.get("venv", "")


async def look(ssh: Ssh) -> Looked:
    """Look at a machine; raise HostError when it cannot be reached."""
    before = time.time()
    ran = await ssh.run("sh", "-c", _LOOK, within=_LOOKS_WITHIN)
    middle = (before + time.time()) / 2
    facts = dict(line.split("=", 1) for line in ran.out.decode(errors="replace").splitlines() if "=" in line)
    has = await ssh.run(*remotely("version"), within=_LOOKS_WITHIN)
    version = has.out.decode(errors="replace").strip() if has.status == 0 else ""
    now = facts.get("now", "")
    return Looked(facts, version, abs(float(now) - middle) if now.isdecimal() else 0.0)


def findings(looked: Looked, address: str, *, containers: bool, ports: tuple[int, ...] = ()) -> Iterator[Finding]:
    """Say what is well and what is not, with what to type there."""
    facts = looked.facts
    yield _kind(facts)
    yield _python(looked)
    has = f"Interlock {looked.interlock}" if looked.interlock else "no Interlock"
    same = looked.interlock == ours()
    yield Finding("interlock", same, has if same else f"{has}, here is {ours()}", f"interlock setup {address}")
    free = int(facts["free"]) * 1024 if facts.get("free", "").isdecimal() else 0
    yield Finding("disk", free >= LEAST_SPACE, f"{free >> 20} MiB free", f"make room: {LEAST_SPACE >> 20} MiB at least")
    together = looked.apart <= _APART_AT_MOST
    apart = f"{looked.apart:.0f} s apart from this machine's"
    yield Finding("clock", together, apart, "run chrony or systemd-timesyncd on both")
    if containers:
        yield _engine(facts)
    low = [port for port in ports if port < int(facts.get("lowest") or 1024)]
    if low:
        root = facts.get("uid") == "0"
        text = f"port {low[0]} is listened on by {facts.get('user', '?')}"
        yield Finding("ports", root, text, f"sudo sysctl -w net.ipv4.ip_unprivileged_port_start={min(low)}")


def _kind(facts: Mapping[str, str]) -> Finding:
    machine, glibc = facts.get("machine", "?"), facts.get("glibc", "")
    found = re.fullmatch(r"glibc (\d+)\.(\d+).*", glibc)
    well = facts.get("os") == "Linux" and machine in MACHINES
    well = well and found is not None and (int(found[1]), int(found[2])) >= GLIBC
    text = f"{facts.get('os', '?')} on {machine}, {glibc or 'another C library'}"
    return Finding("machine", well, text, "use Linux on x86-64 or arm64, with glibc 2.31 or newer")


def _python(looked: Looked) -> Finding:
    if looked.python:
        return Finding("python", True, looked.python)
    if found := looked.facts.get("python"):
        return Finding("python", False, f"{found} has no venv", "sudo apt install python3-venv (Debian, Ubuntu)")
    return Finding(
        "python", False, "no Python 3.11 or newer", "sudo apt install python3 python3-venv (Debian 12 or newer)"
    )


def _engine(facts: Mapping[str, str]) -> Finding:
    if engine := facts.get("engine"):
        return Finding("engine", True, engine)
    if silent := facts.get("silent"):
        user = facts.get("user", "USER")
        text = f"{silent} is there, and does not answer {user}"
        return Finding("engine", False, text, f"sudo systemctl start {silent}; sudo usermod -aG docker {user}")
    return Finding("engine", False, "neither Docker nor Podman", "sudo apt install docker.io (or podman)")


async def install(ssh: Ssh, looked: Looked) -> None:
    """Put this very Interlock there, beside what is there, and then in its place. Raises HostError, WheelError."""
    with tempfile.TemporaryDirectory(prefix="interlock-wheel-") as directory:
        wheel = make(Path(directory))
        name = f"venv-{ours()}-{int(time.time())}"
        ran = await ssh.send(
            wheel, "sh", "-c", _INSTALL, "sh", wheel.name, name, looked.python, within=_INSTALLS_WITHIN
        )
    if ran.status:
        raise HostError(f"{ssh.address}: Interlock could not be installed: {ran.last_words}")


async def reaches(home: Ssh, other: str) -> Finding:
    """Say whether the first machine gets into another one, as its keeper must; with what to type where it does not."""
    words = Ssh(other, Path("/nonexistent")).plain("true")
    ran = await home.run(*words, within=_LOOKS_WITHIN, far=True)
    if ran.status == 0:
        return Finding("reaches", True, f"{home.address} gets into {other}")
    first = _target(home.address)
    key = f"ssh {first} 'test -f ~/.ssh/id_ed25519 || ssh-keygen -q -t ed25519 -N \"\" -f ~/.ssh/id_ed25519'"
    copy = f"ssh -t {first} ssh-copy-id {_target(other)}"
    return Finding("reaches", False, f"{home.address} does not get into {other}: {ran.last_words}", f"{key}; {copy}")


def _target(address: str) -> str:
    """Write an address as ssh takes it on a command line."""
    plain = address.removeprefix("ssh://")
    host, _, port = plain.partition(":")
    return f"-p {port} {shlex.quote(host)}" if port.isdecimal() else shlex.quote(plain)
