"""What does the shop answer? Each order after as long as its database takes, or, in a broken version, an error."""

import asyncio
import json
import os
import random
import signal

VERSION = "v1"
BROKEN = 0.0  # the share of orders that fail


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of one connection, one after the other."""
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            writer.write(await answer(head.split(b" ")[1].decode()))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def answer(path: str) -> bytes:
    """Return the whole response to a request for `path`."""
    if path == "/healthz":
        return response("200 OK", {"version": VERSION, "database": "ok", "cache": "ok"})
    await asyncio.sleep(random.lognormvariate(-4.4, 0.4))  # the database: mostly 12 ms, one time in a hundred over 30
    if random.random() < BROKEN:
        return response("500 Internal Server Error", {"error": "no such column: discount"})
    return response("200 OK", {"version": VERSION, "order": random.randrange(10**9)})


def response(status: str, body: dict[str, object]) -> bytes:
    """Write a response; every one says which version gave it."""
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nX-Version: {VERSION}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


async def main() -> None:
    """Serve on the port given in PORT until SIGTERM; by then all requests under way have been answered."""
    await asyncio.sleep(0.2)  # it loads its catalogue
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await asyncio.start_server(converse, "127.0.0.1", int(os.environ["PORT"]), backlog=1024)
    print(f"{VERSION} serves on port {os.environ['PORT']}", flush=True)
    await ended.wait()


if __name__ == "__main__":
    asyncio.run(main())
