"""A shop that answers every checkout with status 200, also when the payment was refused; only it knows the difference.

It counts its checkouts and shows them at /metrics, in Prometheus' text format, as any client library would.
"""

import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock

VERSION = "v1"
REFUSED_EVERY = 1000  # one payment of so many is refused
EDGES = (0.05, 0.1, 0.5, float("inf"))


class Counts:
    """What has happened since this instance began; everything begins at 0, so that nothing is ever missing."""

    def __init__(self) -> None:
        self.lock, self.checkouts, self.refused, self.seconds = Lock(), 0, 0, 0.0
        self.payments = dict.fromkeys(EDGES, 0)

    def checkout(self, seconds: float) -> bool:
        """Count one checkout and how long its payment took; say whether it was paid."""
        with self.lock:
            self.checkouts += 1
            self.seconds += seconds
            for edge in EDGES:
                self.payments[edge] += seconds <= edge
            refused = self.checkouts % REFUSED_EVERY == 0
            self.refused += refused
            return not refused

    def page(self) -> str:
        """Return the counters as Prometheus reads them."""
        with self.lock:
            buckets = [
                f'payment_seconds_bucket{{le="{"+Inf" if edge == EDGES[-1] else edge}"}} {count}'
                for edge, count in self.payments.items()
            ]
            return "\n".join(
                [
                    "# TYPE checkouts_total counter",
                    f'checkouts_total{{result="paid"}} {self.checkouts - self.refused}',
                    f'checkouts_total{{result="refused"}} {self.refused}',
                    "# TYPE payment_seconds histogram",
                    *buckets,
                    f"payment_seconds_sum {self.seconds}",
                    f"payment_seconds_count {self.checkouts}",
                    "",
                ]
            )


COUNTS = Counts()


class Shop(BaseHTTPRequestHandler):
    """Answers every request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/metrics":
            return self.answer(COUNTS.page(), "text/plain; version=0.0.4")
        if self.path == "/ready":
            return self.answer("{}", "application/json")
        began = time.monotonic()
        paid = COUNTS.checkout(time.monotonic() - began)
        return self.answer(json.dumps({"version": VERSION, "paid": paid}), "application/json")

    def answer(self, text: str, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Version", VERSION)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Say nothing of single requests."""


class Server(ThreadingHTTPServer):
    """Lets more than five connections wait."""

    request_queue_size = 1024


if __name__ == "__main__":
    Server(("127.0.0.1", int(os.environ["PORT"])), Shop).serve_forever()
