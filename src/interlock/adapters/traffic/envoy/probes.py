"""Does the proxy really give the canary its share? Asks it, with random keys of our own, and weighs the answers."""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from math import comb

from interlock.adapters.http import Connection, HttpError
from interlock.adapters.traffic.envoy.config import CHOSEN, NOBODY, SECRET
from interlock.core.release import Sticky, StickyBy
from interlock.core.route import Route
from interlock.ports.traffic import Verified

PROBES = 200
FALSE_ALARM = 1e-6

# A gRPC service is called: it need not answer anything else. Every server answers this call, if only that it has no
# such method. We speak HTTP/1.1 to Envoy, which says the same in HTTP/2 to the instance; trailers are not waited for.
_GRPC = (("Content-Type", "application/grpc"), ("TE", "trailers"))
_NOTHING = b"\0\0\0\0\0"  # an empty message, for the server as a whole

_CONNECTIONS = 10
_EACH_WITHIN = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Question:
    """Where and how to ask: the public listener, what an instance answers cheaply, the secret, the users' key."""

    target: str
    path: str
    secret: str
    sticky: Sticky
    grpc: bool = False


async def probe(question: Question) -> Mapping[str, int]:
    """Ask 200 times over ten connections, so over every worker; return how often each revision was chosen.

    What was chosen counts, whatever its answer: a broken canary is the judge's affair. "" counts those without answer.
    """
    share, rest = divmod(PROBES, _CONNECTIONS)
    counts = await asyncio.gather(*(_some(question, share + (n < rest)) for n in range(_CONNECTIONS)))
    return sum(counts, Counter())


def weigh(route: Route, chosen: Mapping[str, int]) -> Verified:
    """Compare how often the canary was chosen with its weight, by the exact binomial bound at 1e-6."""
    total, missing = sum(chosen.values()), chosen.get("", 0)
    hits = chosen.get(route.canary, 0) if route.canary else 0
    known = {*route.revisions, NOBODY, ""}
    if strangers := [name for name in chosen if name not in known]:
        return Verified(False, f"probes were answered by {strangers[0]}, which the route does not name", total, hits)
    if missing:
        late = f"{missing} of {total} probes of {route.environment} had no answer from our proxy in"
        return Verified(False, f"{late} {_EACH_WITHIN.total_seconds():g} s", total, hits)
    if within_bound(total, hits, route.weight.share, FALSE_ALARM):
        return Verified(True, "", total, hits)
    found = f"{hits} of {total} probes ({100 * hits / max(1, total):.1f} %) reached {route.canary}"
    return Verified(False, f"{found}, its weight is {route.weight}; does another proxy listen there?", total, hits)


def within_bound(total: int, hits: int, rate: float, false_alarm: float) -> bool:
    """Say whether so many hits are likely enough at this rate: the exact two-sided test (Clopper and Pearson 1934)."""
    below = sum(_binomial(total, k, rate) for k in range(hits + 1))
    above = sum(_binomial(total, k, rate) for k in range(hits, total + 1))
    return 2 * min(below, above) >= false_alarm


def _binomial(total: int, hits: int, rate: float) -> float:
    return comb(total, hits) * rate**hits * (1 - rate) ** (total - hits)


async def _some(question: Question, times: int) -> Counter[str]:
    chosen: Counter[str] = Counter()
    method, more, body = ("POST", _GRPC, _NOTHING) if question.grpc else ("GET", (), b"")
    async with Connection(question.target) as connection:
        for _ in range(times):
            headers = ((SECRET, question.secret), *_key(question.sticky), *more)
            try:
                answer = await connection.ask(method, question.path, headers, body, timeout=_EACH_WITHIN)
                chosen[answer.header(CHOSEN) or ""] += 1
            except HttpError:
                chosen[""] += 1
                break  # one silence per connection is enough to know
    return chosen


def _key(sticky: Sticky) -> tuple[tuple[str, str], ...]:
    match sticky.by:
        case StickyBy.HEADER:
            return ((sticky.name, secrets.token_hex(8)),)
        case StickyBy.COOKIE:
            return (("Cookie", f"{sticky.name}={secrets.token_hex(8)}"),)
        case StickyBy.SOURCE_ADDRESS | StickyBy.NOTHING:
            return ()
