"""Can we listen on this port, and if not, who does?"""

from __future__ import annotations

import errno
import socket
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_LISTENS = "0A"  # TCP_LISTEN in /proc/net/tcp


def obstacle(address: str, port: int) -> str | None:
    """Say why nothing of ours can listen there, None when it can.

    Asked before Envoy is told: Envoy listens with SO_REUSEPORT, and would share a port whose owner does the same.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past the TIME_WAIT of an earlier Envoy
        try:
            attempt.bind((address, port))
        except OSError as error:
            return _words(error, address, port)
    return None


def _words(error: OSError, address: str, port: int) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {address} is taken{_by_whom(port)}; stop that program, or choose another port"
        case errno.EACCES:
            return f"this user may not listen on port {port}; choose one of 1024 or more"
        case errno.EADDRNOTAVAIL:
            return f"{address} is not an address of this machine"
        case _:
            return f"cannot listen on {address}:{port}: {error.strerror}"


def _by_whom(port: int) -> str:
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    for process in _PROC.glob("[0-9]*") if wanted else ():
        with suppress(OSError):  # another user's, or gone meanwhile
            if any(str(fd.readlink()) in wanted for fd in (process / "fd").iterdir()):
                return f" by {(process / 'comm').read_text().strip()} (pid {process.name})"
    return ""


def _listening(port: int) -> list[str]:
    inodes = []
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            for line in (_PROC / "net" / table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.append(fields[9])
    return inodes
