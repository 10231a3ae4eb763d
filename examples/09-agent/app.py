"""A tiny shop. From v2 on it has a new feature, for those to whom the flag in FLAGS gives it, and a bug in it."""

import json
import os
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "v1"


def bucket(user: str) -> int:
    """Return in which hundredth of all users this one is."""
    return zlib.crc32(user.encode()) % 100


def gets_new_feature(user: str) -> bool:
    """Say whether the flag gives this user the feature, by the file as it is now (docs/flags.md has real clients)."""
    flag = json.loads(Path(os.environ["FLAGS"]).read_text())["flags"]["new_feature"]
    if flag["state"] != "ENABLED" or "targeting" not in flag:
        return False
    return bucket(user) < dict(flag["targeting"]["fractional"])["on"]


class Shop(BaseHTTPRequestHandler):
    """Answers every request, but those of users whose data the new feature cannot bear: there are few of them."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        user = self.headers.get("X-User", "")
        bad = VERSION != "v1" and user != "" and gets_new_feature(user) and bucket(user) >= 5
        self.answer(500 if bad else 200)

    def answer(self, status: int) -> None:
        """Say which version this is."""
        body = json.dumps({"version": VERSION, "database": "ok"}).encode()
        self.send_response(status)
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
