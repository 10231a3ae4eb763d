"""A tiny gRPC service, on h2 alone: every method answers with an empty message, and says which version it is.

A real one uses grpcio or its like, and registers the health service; what goes over the wire is the same.
"""

import asyncio
import os

import h2.config
import h2.connection
import h2.events

VERSION = "v1"
STATUS = "0"  # what becomes of each call: 0 is OK, 14 UNAVAILABLE
EMPTY, SERVING = b"\0\0\0\0\0", b"\0\0\0\0\2\x08\x01"
HEALTH = b"/grpc.health.v1.Health/Check"


class Shop(asyncio.Protocol):
    """One connection, with as many calls at a time as there are."""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport, self.called = transport, {}
        self.connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.connection.initiate_connection()
        self.transport.write(self.connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.called[event.stream_id] = dict(event.headers)[b":path"]
            elif isinstance(event, h2.events.DataReceived):
                self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id, self.called.pop(event.stream_id) == HEALTH)
        self.transport.write(self.connection.data_to_send())

    def answer(self, stream: int, health: bool) -> None:
        headers = [(":status", "200"), ("content-type", "application/grpc"), ("x-version", VERSION)]
        self.connection.send_headers(stream, headers)
        self.connection.send_data(stream, SERVING if health else EMPTY)
        self.connection.send_headers(stream, [("grpc-status", "0" if health else STATUS)], end_stream=True)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Shop, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
