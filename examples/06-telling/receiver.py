"""Receives what Interlock tells, checks that it is Interlock's, and shows each message once."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

KEY = os.environ["RECEIVER_KEY"].encode()
OLDEST = 300  # seconds: an older message is somebody's copy
seen: set[str] = set()


def ours(headers: dict[str, str], body: bytes) -> bool:
    """Say whether the signature is right for exactly this message, sent not long ago."""
    id, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "0")
    expected = hmac.new(KEY, f"{id}.{at}.".encode() + body, hashlib.sha256).digest()
    given = [one[3:] for one in headers.get("webhook-signature", "").split() if one.startswith("v1,")]
    right = any(hmac.compare_digest(base64.b64encode(expected).decode(), one) for one in given)
    return right and at.isdigit() and abs(time.time() - int(at)) < OLDEST


class Receiver(BaseHTTPRequestHandler):
    """Takes one message."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not ours({name.lower(): value for name, value in self.headers.items()}, body):
            self.send_response(401)
            self.end_headers()
            return
        event = json.loads(body)
        if event["id"] not in seen:  # the same id is the same message
            seen.add(event["id"])
            print(event["type"], "|", event["data"]["customData"]["title"], flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
