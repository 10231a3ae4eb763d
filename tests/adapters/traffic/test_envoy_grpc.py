"""Is a gRPC service carried, checked and counted? Its failures travel as HTTP 200, with their status in a trailer."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import h2.config
import h2.connection
import h2.events
from tests.adapters.traffic.town import SOON, Town, a_town, eventually, revision

from interlock.adapters.probe.network.grpc import check
from interlock.core.health import Probe, ProbeKind
from interlock.core.route import Route

SERVING = b"\0\0\0\0\2\x08\x01"


class GrpcInstance:
    """Answers every call; a call for the service "fail-N" gets the gRPC status N."""

    async def begin(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def end(self) -> None:
        """Listen no more."""
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        asked: dict[int, bytes] = {}
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                for event in connection.receive_data(data):
                    if isinstance(event, h2.events.DataReceived) and event.stream_id is not None:
                        asked[event.stream_id] = asked.get(event.stream_id, b"") + (event.data or b"")
                    elif isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                        _answer(connection, event.stream_id, asked.pop(event.stream_id, b""))
                writer.write(connection.data_to_send())
        writer.close()


def _answer(connection: h2.connection.H2Connection, stream: int, message: bytes) -> None:
    _, fails, status = message.partition(b"fail-")
    connection.send_headers(stream, [(":status", "200"), ("content-type", "application/grpc")])
    if not fails:
        connection.send_data(stream, SERVING)
    connection.send_headers(stream, [("grpc-status", status.decode() or "0")], end_stream=True)


async def test_grpc_is_carried_checked_by_its_own_health_and_its_faults_are_failures() -> None:
    async with a_town() as town:
        one = GrpcInstance()
        await one.begin()
        await town.open()
        await town.envoy.admit(revision("new", Probe(ProbeKind.GRPC, path="/")), (one.address,))
        await eventually(lambda: _is_healthy(town))
        await town.envoy.steer(Route("production", "new"))
        assert (await town.envoy.verify(Route("production", "new"))).ok
        answers = [await check(f"127.0.0.1:{town.port}", service, SOON) for service in ("", "fail-5", "fail-13")]
        assert [answer.ok for answer in answers] == [True, False, False]
        counted = await town.counters("new")
        assert (counted.started, counted.completed) == (3, 3)
        assert counted.failed == 1  # 13, INTERNAL; 5, NOT_FOUND, is no fault of the server
        one.end()
        await town.envoy.admit(revision("new", Probe(ProbeKind.GRPC, path="/")), ())
        assert not (await check(f"127.0.0.1:{town.port}", "", SOON)).ok
        counted = await town.counters("new")
        assert (counted.started, counted.completed, counted.failed) == (4, 4, 2)


async def _is_healthy(town: Town) -> bool:
    return bool(await town.envoy.healthy("new"))
