"""A tiny service with a database: it says which version it is, and how many orders there are."""

import json
import os
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "v1"
QUESTION = "SELECT count(*) FROM orders"


def orders() -> tuple[str, int]:
    """Say how the database is, and count the orders in it."""
    try:
        with closing(sqlite3.connect(os.environ["SHOP_DATABASE"])) as database:
            return "ok", database.execute(QUESTION).fetchone()[0]
    except sqlite3.Error as error:
        return str(error), 0


class Shop(BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        database, count = orders()
        body = json.dumps({"version": VERSION, "database": database, "orders": count}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


class Server(ThreadingHTTPServer):
    """Lets more than five connections wait."""

    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
