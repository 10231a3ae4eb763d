"""Which requests were cut, and by whom? Reads the proxy's log of requests that did not go the plain way."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import PurePath
from typing import Any

from interlock.ports.host import Host

LARGEST = 8 * 1024 * 1024

# What Envoy writes when the instance's side ended a request: connection closed, stream reset, answer broken off.
_BY_THE_INSTANCE = frozenset(("UC", "UR", "UPE"))


def cut_requests(host: Host, log: PurePath, clusters: Collection[str], since: datetime) -> tuple[str, ...]:
    """Return the requests that instances of these clusters broke off since then, such as "GET /orders"."""
    lines = (line for file in (older(log), log) for line in _lines(host.read(file) or b""))
    return tuple(f"{line['method']} {line['path']}" for line in lines if _is_cut(line, clusters, since))


def older(log: PurePath) -> PurePath:
    """Return where the log goes when it has grown to its limit; what was there before is lost."""
    return log.with_name(f"{log.name}.1")


def _lines(content: bytes) -> Iterator[dict[str, Any]]:
    for line in content.splitlines():
        try:
            yield json.loads(line)
        except ValueError:  # a line half written, on a disk that is full
            continue


def _is_cut(line: dict[str, Any], clusters: Collection[str], since: datetime) -> bool:
    ended = float(line["at"]) + line["milliseconds"] / 1000
    flags = set((line["flags"] or "").split(","))
    return line["cluster"] in clusters and ended >= since.timestamp() and bool(flags & _BY_THE_INSTANCE)
