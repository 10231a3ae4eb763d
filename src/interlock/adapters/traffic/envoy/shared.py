"""What does an Envoy in front of several services have to be told? Claims on shared ports, as plain values.

A claim is what one environment has of a port: host names and paths, and a certificate. Names decide first (exact before
wildcard before all), then the longest path. Where a name has no route of its own, what is claimed for all names holds.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from interlock.adapters.traffic.envoy.config import Resource
from interlock.core.release import Front, Tls

_TYPE = "type.googleapis.com/envoy."
_MANAGER = f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_EVERYWHERE = frozenset({"0.0.0.0", "::"})
_NO_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Claim:
    """What one environment has of a shared port. `owner` is a proper name, `said` whose it is in words.

    `target` is host:port of the listener behind, on this machine.
    """

    owner: str
    said: str
    address: str
    port: int
    front: Front
    target: str

    @property
    def names(self) -> tuple[str, ...]:
        """Host names as Envoy has them: `*` is all."""
        return self.front.names or ("*",)

    @property
    def paths(self) -> tuple[str, ...]:
        """Paths, without a slash at the end; the empty one is all."""
        return tuple(path.rstrip("/") for path in self.front.paths) or ("",)


def conflict(claim: Claim, others: Iterable[Claim]) -> str | None:
    """Say what of a claim another one has already, None when they go together."""
    for other in others:
        if other.owner == claim.owner or not _meet(claim, other):
            continue
        if (claim.front.tls is None) != (other.front.tls is None):
            return (
                f"port {claim.port} is shared with {other.said}, which has {_tls_in_words(other)}: a port has one way"
            )
        for name in sorted({*claim.names} & {*other.names}):
            if claim.front.tls != other.front.tls:
                return f"{name} at port {claim.port} has another certificate at {other.said}: a name has one"
            for path in sorted({*claim.paths} & {*other.paths}):
                return f"{name}{path or '/'} at port {claim.port} is {other.said}'s already"
    return None


def _meet(claim: Claim, other: Claim) -> bool:
    together = claim.address == other.address or bool(_EVERYWHERE & {claim.address, other.address})
    return together and claim.port == other.port


def _tls_in_words(claim: Claim) -> str:
    return "TLS" if claim.front.tls else "no TLS"


def certificates(claims: Iterable[Claim]) -> dict[str, Tls]:
    """Return the certificates that are needed, by the names that Envoy has for them."""
    return {secret_name(claim.front.tls): claim.front.tls for claim in claims if claim.front.tls}


def secret_name(tls: Tls) -> str:
    """Name a pair of files."""
    return f"tls-{hashlib.sha256(f'{tls.certificate}|{tls.key}'.encode()).hexdigest()[:12]}"


def secret(tls: Tls, certificate: str, key: str) -> Resource:
    """Return a certificate as Envoy takes it, with the key's text in it: both are replaced at once, or neither."""
    pair = {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}
    kind = f"{_TYPE}extensions.transport_sockets.tls.v3.Secret"
    return {"@type": kind, "name": secret_name(tls), "tls_certificate": pair}


def clusters(claims: Iterable[Claim]) -> list[Resource]:
    """Return one cluster for each environment: its own Envoy, by whichever HTTP the user speaks."""
    return [_cluster(claim) for claim in sorted(claims, key=lambda one: one.owner)]


def tables(claims: Iterable[Claim]) -> dict[str, Resource]:
    """Return the routes of each listener, by its name."""
    return {name: _table(name, port, routes) for name, (_, port, routes) in _by_port(claims).items()}


def listeners(claims: Iterable[Claim], directory: PurePath) -> list[Resource]:
    """Return one listener for each shared port. With TLS it has a chain for each certificate: a new one drains none."""
    claims = tuple(claims)
    made = []
    for name, (address, port, _) in sorted(_by_port(claims).items()):
        here = [one for one in claims if (one.address, one.port) == (address, port) and one.front.tls]
        chains = [*_chains(here, name, directory)] if here else [{"filters": [_manager(name, directory)]}]
        inspector = {"@type": f"{_TYPE}extensions.filters.listener.tls_inspector.v3.TlsInspector"}
        made.append(
            {
                "@type": f"{_TYPE}config.listener.v3.Listener",
                "name": name,
                "address": {"socket_address": {"address": address, "port_value": port}},
                **({"listener_filters": [{"name": "tls", "typed_config": inspector}]} if here else {}),
                "per_connection_buffer_limit_bytes": 1024 * 1024,
                "filter_chains": chains,
            }
        )
    return made


def _chains(claims: list[Claim], name: str, directory: PurePath) -> Iterator[Resource]:
    by_secret: dict[str, set[str]] = {}
    for claim in claims:
        if claim.front.tls:
            by_secret.setdefault(secret_name(claim.front.tls), set()).update(claim.names)
    for one, names in sorted(by_secret.items()):
        match = {} if "*" in names else {"filter_chain_match": {"server_names": sorted(names)}}
        yield {**match, "name": one, "filters": [_manager(name, directory)], "transport_socket": _tls(one, directory)}


def _tls(name: str, directory: PurePath) -> Resource:
    source = {"path_config_source": {"path": str(directory / f"sds-{name}.json")}, "resource_api_version": "V3"}
    common = {
        # Mozilla's intermediate set of 2023 is what Envoy takes of its own accord from 1.2 on.
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_certificate_sds_secret_configs": [{"name": name, "sds_config": source}],
    }
    kind = f"{_TYPE}extensions.transport_sockets.tls.v3.DownstreamTlsContext"
    return {"name": "tls", "typed_config": {"@type": kind, "common_tls_context": common}}


_Routes = list[tuple[tuple[str, ...], tuple[str, ...], Claim | int]]


def _by_port(claims: Iterable[Claim]) -> dict[str, tuple[str, int, _Routes]]:
    """Return by listener: its address, port, and (names, paths, whose they are, or the port to be sent to)."""
    found: dict[str, tuple[str, int, _Routes]] = {}
    for claim in claims:
        _routes_at(found, claim.address, claim.port).append((claim.names, claim.paths, claim))
        if claim.front.tls and claim.front.redirect:
            _routes_at(found, claim.address, claim.front.redirect).append((claim.names, claim.paths, claim.port))
    return found


def _routes_at(found: dict[str, tuple[str, int, _Routes]], address: str, port: int) -> _Routes:
    name = f"front-{re.sub(r'[^0-9a-f]', '-', address)}-{port}"  # a dot would split the names of Envoy's counters
    return found.setdefault(name, (address, port, []))[2]


def _table(name: str, port: int, routes: _Routes) -> Resource:
    names = sorted({one for names, _, _ in routes for one in names})
    hosts = []
    for host in names:
        own = [(path, whose) for named, paths, whose in routes if host in named for path in paths]
        general = [(path, whose) for named, paths, whose in routes if "*" in named and host != "*" for path in paths]
        ordered = [*_longest_first(own), *_longest_first(general)]
        domains = ["*"] if host == "*" else [host, f"{host}:{port}"]
        hosts.append({"name": host, "domains": domains, "routes": [_route(path, whose) for path, whose in ordered]})
    kind = f"{_TYPE}config.route.v3.RouteConfiguration"
    return {"@type": kind, "name": name, "validate_clusters": False, "virtual_hosts": hosts}


def _longest_first(routes: list[tuple[str, Claim | int]]) -> list[tuple[str, Claim | int]]:
    """Order by path; at one path what is served comes before what is sent elsewhere."""
    return sorted(routes, key=lambda one: (-len(one[0]), isinstance(one[1], int)))


def _route(path: str, whose: Claim | int) -> Resource:
    match = {"path_separated_prefix": path} if path else {"prefix": "/"}
    if isinstance(whose, int):
        return {"match": match, "redirect": {"https_redirect": True, "port_redirect": whose, "response_code": _MOVED}}
    action: dict[str, Any] = {"cluster": whose.owner, "timeout": "0s", "retry_policy": _AGAIN}
    if path and whose.front.strip:
        pattern = {"regex": f"^{re.escape(path)}/*"}
        action["regex_rewrite"] = {"pattern": pattern, "substitution": "/"}
    return {"match": match, "route": action}


_MOVED = "PERMANENT_REDIRECT"  # 308: a POST stays one
# The Envoy behind is away for a moment when it is started anew. What it has not begun is tried again; nothing else is.
_AGAIN = {
    "retry_on": "connect-failure,refused-stream",
    "num_retries": 6,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.5s"},
}


def _manager(name: str, directory: PurePath) -> Resource:
    routes = {"path_config_source": {"path": str(directory / f"rds-{name}.json")}, "resource_api_version": "V3"}
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "rds": {"route_config_name": name, "config_source": routes},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_TYPE}extensions.filters.http.router.v3.Router"}}
        ],
        # Time-outs are those of the Envoy behind, which knows the service.
        "stream_idle_timeout": "0s",
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,  # or /shop/../till would be the shop's
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
    }
    return {"name": "http", "typed_config": manager}


def _cluster(claim: Claim) -> Resource:
    host, _, port = claim.target.rpartition(":")
    address = {"socket_address": {"address": host, "port_value": int(port)}}
    options = {"@type": f"type.googleapis.com/{_HTTP}", "use_downstream_protocol_config": {}}
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    return {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        "name": claim.owner,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": claim.owner,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {_HTTP: options},
    }
