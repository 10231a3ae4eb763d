"""How does a call on a port travel to another machine, and its answer back? By the types that the port declares.

What may be called from afar is a table: nothing else is. Mutating calls carry the epoch of who leads (see `app.hand`).
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Awaitable, Callable
from functools import cache
from typing import Any

from interlock.core.record import plain, restore
from interlock.ports.metrics import Metrics
from interlock.ports.probe import Prober
from interlock.ports.traffic import Traffic
from interlock.ports.workload import Workload

PORTS: dict[str, type] = {"traffic": Traffic, "workload": Workload, "metrics": Metrics, "prober": Prober}
_LOOKING = frozenset(
    {
        *("traffic.healthy", "traffic.route", "traffic.verify", "traffic.keys", "traffic.in_flight"),
        *("traffic.cut_since", "traffic.preview", "workload.launchable", "workload.instances", "workload.environments"),
        *("workload.revisions", "workload.log_tail", "metrics.read", "metrics.read_previews"),
        *("prober.smoke", "prober.identify"),
    }
)
_MOVING = frozenset(
    {
        *("traffic.open", "traffic.admit", "traffic.steer", "traffic.prepare", "traffic.fall_back", "traffic.drain"),
        *("traffic.dismiss", "traffic.forget", "workload.ensure", "workload.stop", "workload.fetch"),
    }
)


def moves(name: str) -> bool:
    """Say whether a call changes anything; raise KeyError for what nobody may call from afar."""
    if name not in _LOOKING | _MOVING:
        raise KeyError(f"{name} cannot be called from another machine")
    return name in _MOVING


def question(name: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Write the arguments of a call by the names that the port gives them."""
    return {key: plain(value) for key, value in zip(_signature(name)[0], arguments, strict=False)}


def answered(name: str, record: Any) -> Any:
    """Read what was answered, as the port's type."""
    return _read(_signature(name)[1], record)


async def answer(name: str, record: dict[str, Any], ports: dict[str, Any]) -> Any:
    """Carry out a call that came from afar on this machine's own adapters; return its answer as it travels."""
    moves(name)
    port, _, method = name.partition(".")
    hints, _ = _signature(name)
    arguments = {key: _read(hints[key], value) for key, value in record.items()}
    done: Callable[..., Any] = getattr(ports[port], method)
    result = done(**arguments)
    return plain(await result if isinstance(result, Awaitable) else result)


def _read(kind: Any, record: Any) -> Any:
    if kind is type(None):
        return None
    if typing.get_origin(kind) is frozenset:
        return frozenset(record)  # of names and addresses only
    result: Any = restore(kind, record)
    return result


@cache
def _signature(name: str) -> tuple[dict[str, Any], Any]:
    port, _, method = name.partition(".")
    function = inspect.unwrap(getattr(PORTS[port], method))
    hints = typing.get_type_hints(function)
    returned = hints.pop("return", type(None))
    return {key: hints[key] for key in inspect.signature(function).parameters if key != "self"}, returned
