"""A tiny service: it says which version it is. FAILS is the share of requests that it answers with 500."""

import json
import os
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "v1"
FAILS = 0.0


class Shop(BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        fails = self.path != "/ready" and random.random() < FAILS
        body = json.dumps({"version": VERSION, "path": self.path}).encode()
        self.send_response(500 if fails else 200)
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
