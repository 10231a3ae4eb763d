"""A tiny service: it says which version it is, as a header and in JSON."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

VERSION = "v1"


class Shop(BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"version": VERSION, "database": "ok"}).encode()
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
