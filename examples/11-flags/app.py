"""A shop whose new checkout is behind a flag, which it asks for by OpenFeature, from a file in flagd's format.

FAILS is the share of all requests that it answers with 500, FEATURE_FAILS the same of those with the new checkout.
"""

import json
import os
import random
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

VERSION = "v1"
FAILS = 0.0
FEATURE_FAILS = 0.0

COUNTED: Counter[tuple[str, str]] = Counter()
COUNTING = Lock()


class Shop(BaseHTTPRequestHandler):
    """Answers every request; a user is whoever X-User says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/metrics":
            self.answer(200, metrics(), "text/plain; version=0.0.4")
        elif self.path == "/ready":
            self.answer(200, json.dumps({"version": VERSION}))
        else:
            self.checkout()

    def checkout(self) -> None:
        new = VERSION != "v1" and has_new_checkout(self.headers.get("X-User", ""))
        fails = random.random() < FAILS or (new and random.random() < FEATURE_FAILS)
        status = 500 if fails else 200
        with COUNTING:
            COUNTED[str(status), "on" if new else "off"] += 1
        self.answer(status, json.dumps({"version": VERSION, "new_checkout": new}))

    def answer(self, status: int, body: str, kind: str = "application/json") -> None:
        sent = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


class Server(ThreadingHTTPServer):
    """Lets more than five connections wait."""

    request_queue_size = 1024


def has_new_checkout(user: str) -> bool:
    """Ask for the flag; the old checkout is what everybody gets while it is off."""
    context = EvaluationContext(targeting_key=user)
    return api.get_client().get_boolean_value("new_checkout", False, context)


def metrics() -> str:
    """Show what was counted, with the variant of the flag under the name that OpenTelemetry gives it."""
    lines = ["# TYPE http_requests_total counter"]
    with COUNTING:
        for (code, variant), count in sorted(COUNTED.items()):
            lines.append(f'http_requests_total{{code="{code}",feature_flag_result_variant="{variant}"}} {count}')
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    flags = os.environ["FLAGS"]
    api.set_provider(FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=flags))
    Server(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
