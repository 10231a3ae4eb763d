"""Users of the service: `users.py PORT` makes a hundred calls a second, and says now and then what became of them."""

import asyncio
import sys
from collections import Counter

import h2.connection
import h2.events

CALL = (":method", "POST"), (":scheme", "http"), (":path", "/shop.v1.Shop/Order"), (":authority", "shop")
GRPC = ("te", "trailers"), ("content-type", "application/grpc")
seen: Counter[str] = Counter()


async def user(name: int) -> None:
    """Make five calls a second, one after the other, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    connection = h2.connection.H2Connection()
    connection.initiate_connection()
    while True:
        stream = connection.get_next_available_stream_id()
        connection.send_headers(stream, [*CALL, *GRPC, ("x-user", str(name))])
        connection.send_data(stream, b"\0\0\0\0\0", end_stream=True)
        seen[await answer(connection, reader, writer)] += 1
        await asyncio.sleep(0.2)


async def answer(
    connection: h2.connection.H2Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str:
    """Wait for the end of the call; return who answered, or what went wrong."""
    headers: dict[bytes, bytes] = {}
    while True:
        writer.write(connection.data_to_send())
        for event in connection.receive_data(await reader.read(65536)):
            if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                headers |= dict(event.headers)
            elif isinstance(event, h2.events.StreamEnded):
                status = headers[b"grpc-status"].decode()
                return headers[b"x-version"].decode() if status == "0" else f"FAILED with status {status}"


async def main() -> None:
    users = [asyncio.create_task(user(number)) for number in range(20)]
    while not any(one.done() for one in users):
        await asyncio.sleep(10)
        print(dict(seen), flush=True)


asyncio.run(main())
