"""Can this instance take traffic, or does it still live? One probe, one answer, whatever the other side does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import assert_never

from interlock.adapters.probe.network import command, grpc, http
from interlock.core.health import Answer, Probe, ProbeKind
from interlock.core.release import Protocol


async def check(
    probe: Probe,
    address: str,
    directory: Path,
    environment: Mapping[str, str],
    protocol: Protocol = Protocol.HTTP1,
) -> Answer:
    """Ask the instance at `address` (host:port), in the HTTP that it speaks. Never raises.

    A command runs in `directory` with `environment`.
    """
    match probe.kind:
        case ProbeKind.HTTP:
            return await _over_http(probe, address, http2=protocol is not Protocol.HTTP1)
        case ProbeKind.TCP:
            return await _over_tcp(probe, address)
        case ProbeKind.GRPC:
            return await grpc.check(address, probe.path.strip("/"), probe.timeout)
        case ProbeKind.COMMAND:
            return await command.check(probe.command, directory, environment, probe.timeout)
        case _:
            assert_never(probe.kind)


async def _over_http(probe: Probe, address: str, *, http2: bool) -> Answer:
    response = await http.get(address, probe.path, probe.timeout, http2=http2)
    if isinstance(response, Answer):
        return response
    if not 200 <= response.status < 400:
        return Answer(False, f"GET {probe.path} was answered {response.status}{http.said(response)}, expected 200–399")
    return http.fields_equal(response, probe.fields, f"GET {probe.path}")


async def _over_tcp(probe: Probe, address: str) -> Answer:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(probe.timeout.total_seconds()):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except TimeoutError:
        return Answer(False, f"no connection to {address} within {probe.timeout.total_seconds():g} s")
    except OSError as problem:
        return Answer(False, f"no connection to {address}: {problem.strerror or problem}")
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return Answer(True)
