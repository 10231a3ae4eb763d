"""How many users are there? Taps the next requests of an environment, and forgets all of them but their keys' digests.

Envoy counts requests, not who sends them. Its tap filter, idle otherwise, shows their headers for a few seconds, on the
admin socket only: nothing is written to a disk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from interlock.adapters.http import HttpError, ask
from interlock.core.release import Sticky, StickyBy
from interlock.ports.traffic import TrafficError

REQUESTS_AT_MOST = 500
_MORE = timedelta(seconds=2)
_TRUSTED_ADDRESS = "x-envoy-external-address"  # Envoy's own, of the hop that is believed, whoever else sent it


def tap_of(environment: str) -> str:
    """Return the name by which the environment's tap is asked for."""
    return f"keys-{environment}"


async def keys(socket: PurePath, environment: str, sticky: Sticky, within: timedelta) -> frozenset[str]:
    """Return digests of the keys of the requests that end within this time, of the first 500 at most."""
    body = json.dumps(_tap(environment, within)).encode()
    try:
        answer = await ask(f"unix:{socket}", "POST", "/tap", body=body, timeout=within + _MORE)
    except HttpError as error:
        raise TrafficError(f"Envoy's requests cannot be tapped: {error}") from error
    if answer.status != 200:
        raise TrafficError(f"Envoy's requests cannot be tapped: {answer.status} {answer.body[:200]!r}")
    found = (_key(trace["http_buffered_trace"], sticky) for trace in _documents(answer.body))
    return frozenset(hashlib.sha256(key.encode()).hexdigest()[:16] for key in found if key)


def _tap(environment: str, within: timedelta) -> dict[str, Any]:
    buffered = {"max_traces": REQUESTS_AT_MOST, "timeout": f"{within.total_seconds():.3f}s"}
    sink = {"format": "JSON_BODY_AS_STRING", "buffered_admin": buffered}
    nothing = {"max_buffered_rx_bytes": 0, "max_buffered_tx_bytes": 0}
    output = {**nothing, "sinks": [sink]}
    return {"config_id": tap_of(environment), "tap_config": {"match": {"any_match": True}, "output_config": output}}


def _documents(body: bytes) -> Iterator[dict[str, Any]]:
    """Read the traces, which follow one another without anything between."""
    text, at, decoder = body.decode(errors="replace").strip(), 0, json.JSONDecoder()
    while at < len(text):
        try:
            document, end = decoder.raw_decode(text, at)
        except ValueError:  # the last one may be cut off
            return
        yield document
        at = end + len(text[end:]) - len(text[end:].lstrip())


def _key(trace: Mapping[str, Any], sticky: Sticky) -> str:
    headers = {one["key"].lower(): one["value"] for one in trace["request"]["headers"]}
    match sticky.by:
        case StickyBy.HEADER:
            return str(headers.get(sticky.name.lower(), ""))
        case StickyBy.COOKIE:
            return _cookie(headers.get("cookie", ""), sticky.name)
        case StickyBy.SOURCE_ADDRESS:
            return str(headers.get(_TRUSTED_ADDRESS, ""))
    return ""


def _cookie(header: str, name: str) -> str:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value.strip('"')
    return ""
