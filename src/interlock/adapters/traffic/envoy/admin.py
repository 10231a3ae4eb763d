"""What does Envoy say of itself? Its admin socket, read into values."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from interlock.adapters.http import HttpError, ask
from interlock.ports.traffic import TrafficError

LDS = "listener_manager.lds"
CDS = "cluster_manager.cds"
_PATIENCE = timedelta(seconds=2)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What Envoy made of one xDS file: the version it uses, and how many it could not read or would not take."""

    version: str = ""
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as Envoy sees it: `fit` when it would send it requests, `active` requests under way there."""

    fit: bool
    active: int


class Admin:
    """Envoy's admin socket. Every verb raises TrafficError when no answer comes within two seconds."""

    def __init__(self, socket: PurePath) -> None:
        self.socket = socket

    async def version(self) -> str:
        """Return the program's version, such as 1.40.0."""
        return str((await self._json("/server_info"))["version"]).split("/")[1]

    async def live(self) -> bool:
        """Say whether Envoy has finished starting: it has read its files and checked its endpoints once."""
        return (await self._ask("GET", "/ready"))[0] == 200

    async def subscription(self, name: str) -> Subscription:
        """Return the state of one subscription: LDS, CDS, `eds(...)` or `rds(...)`."""
        found = await self.stats(rf"^{re.escape(name)}\.(version_text|update_rejected|update_failure)$")
        refused = int(found.get(f"{name}.update_rejected", 0)) + int(found.get(f"{name}.update_failure", 0))
        return Subscription(str(found.get(f"{name}.version_text", "")), refused)

    async def stats(self, pattern: str) -> Mapping[str, Any]:
        """Return the counters, gauges and texts whose whole name matches the pattern."""
        answer = await self._json(f"/stats?format=json&filter={quote(pattern)}")
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}

    async def endpoints(self, cluster: str) -> Mapping[str, Endpoint] | None:
        """Return the cluster's endpoints by address, None when there is no such cluster."""
        found = (await self._json(f"/clusters?format=json&filter={quote(f'^{re.escape(cluster)}$')}")).get(
            "cluster_statuses", ()
        )
        hosts = next((status.get("host_statuses", ()) for status in found if status["name"] == cluster), None)
        return None if hosts is None else {_address(host): _endpoint(host) for host in hosts}

    async def listeners(self) -> frozenset[str]:
        """Return the names of the listeners that listen."""
        found = (await self._json("/listeners?format=json")).get("listener_statuses", ())
        return frozenset(listener["name"] for listener in found)

    async def under_way(self) -> int:
        """Return how many requests are under way at all listeners but this socket's own."""
        found = await self.stats(r"^http\..*\.downstream_rq_active$")
        return sum(int(value) for name, value in found.items() if not name.startswith("http.admin."))

    async def stop_listening(self) -> None:
        """Close the listeners; requests under way go on, and their connections close after them."""
        await self._ask("POST", "/drain_listeners")

    async def reopen_logs(self) -> None:
        """Have Envoy open its access log anew, after the old one was renamed."""
        await self._ask("POST", "/reopen_logs")

    async def _json(self, path: str) -> dict[str, Any]:
        status, body = await self._ask("GET", path)
        try:
            answer = json.loads(body)
        except ValueError as error:
            raise TrafficError(
                f"{path} at Envoy's admin socket {self.socket}: {status}, not JSON: {body[:80]!r}"
            ) from error
        if not isinstance(answer, dict):
            raise TrafficError(f"{path} at Envoy's admin socket {self.socket}: expected an object, found {body[:80]!r}")
        return answer

    async def _ask(self, method: str, path: str) -> tuple[int, bytes]:
        try:
            response = await ask(f"unix:{self.socket}", method, path, timeout=_PATIENCE)
        except HttpError as error:
            raise TrafficError(
                f"Envoy does not answer: {error}; does it run? See envoy.log in the state directory"
            ) from error
        return response.status, response.body


def eds(cluster: str) -> str:
    """Return the name of a cluster's subscription to its endpoint file."""
    return f"cluster.{cluster}"


def rds(environment: str) -> str:
    """Return the name of an environment's subscription to its route file."""
    return f"http.{environment}.rds.{environment}"


def _address(host: Mapping[str, Any]) -> str:
    address = host["address"]["socket_address"]
    return f"{address['address']}:{address['port_value']}"


def _endpoint(host: Mapping[str, Any]) -> Endpoint:
    health = dict(host["health_status"])
    stated = health.pop("eds_health_status", "HEALTHY")
    active = next((int(s.get("value", 0)) for s in host["stats"] if s["name"] == "rq_active"), 0)
    # What is left are reasons against: failed_active_health_check, pending_active_hc, failed_outlier_check, …
    return Endpoint(stated == "HEALTHY" and not any(health.values()), active)
