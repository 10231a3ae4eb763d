"""What does Envoy have to be told? Its xDS resources as plain values: no files, no sockets, no clock.

Clusters, endpoint files and counters are named by revision; stable and canary exist only in the route. A revision has
two clusters over one endpoint file: the serving one, and a preview whose requests enter no user's counters.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from interlock.adapters.traffic.envoy.keys import tap_of
from interlock.core.health import Probe, ProbeKind
from interlock.core.release import Configuration, Entrance, Protocol, Revision, Sticky, StickyBy
from interlock.core.route import Route
from interlock.core.weight import Weight

Resource = dict[str, Any]

# The headers that, with the secret, reach what users cannot: a route made for weight probes, or one revision's preview.
SECRET = "x-interlock-secret"
PREVIEW = "x-interlock-preview"
CHOSEN = "x-interlock-revision"

NOBODY = "~nobody"
_TYPE = "type.googleapis.com/envoy."
_MANAGER = f"{_TYPE}extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_NO_LIMIT = 100_000


def proper(name: str) -> bool:
    """Say whether a revision or an environment may be called so: a dot would split the names of Envoy's counters."""
    return _NAME.fullmatch(name) is not None


def preview_of(revision: str) -> str:
    """Return the name of the revision's preview cluster; no revision's name can hold a tilde."""
    return f"{revision}~preview"


def previewed(cluster: str) -> str:
    """Return the revision whose preview this is."""
    return cluster.removesuffix(preview_of(""))


def document(resources: Sequence[Resource], version: str | None = None) -> bytes:
    """Return an xDS file; without another version it is named after its content: equal files are one version."""
    text = json.dumps({"version_info": version or digest(resources), "resources": resources}, indent=1)
    return text.encode()


def digest(resources: Sequence[Resource]) -> str:
    """Return sixteen hexadecimal digits that name the content."""
    return hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()[:16]


def named(resources: Sequence[Resource], name: str) -> Resource | None:
    """Return the resource of this name, None when there is none."""
    return next((one for one in resources if one["name"] == name), None)


def without(resources: Sequence[Resource], *names: str) -> list[Resource]:
    """Return the resources but those of these names."""
    return [one for one in resources if one["name"] not in names]


def bootstrap(directory: PurePath, socket: PurePath) -> bytes:
    """Return what Envoy starts with: where its files are, and an admin socket only our user can open."""
    content = {
        "node": {"id": "interlock", "cluster": "interlock"},
        "admin": {"address": {"pipe": {"path": str(socket), "mode": 0o600}}},
        "dynamic_resources": {"lds_config": _file(directory / "lds.json"), "cds_config": _file(directory / "cds.json")},
        # Histograms are merged at each flush: what a read shows of latency is at most this old.
        "stats_flush_interval": "1s",
    }
    return json.dumps(content, indent=1).encode()


def endpoints(revision: str, serving: Iterable[str], draining: Iterable[str]) -> Resource:
    """Return where the revision's instances listen; those that drain get no new request and finish what they have."""
    states = {**dict.fromkeys(draining, "DRAINING"), **dict.fromkeys(serving, "HEALTHY")}
    hosts = [{"endpoint": {"address": _address(a)}, "health_status": s} for a, s in sorted(states.items())]
    return {
        "@type": f"{_TYPE}config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": revision,
        "endpoints": [{"lb_endpoints": hosts}],
    }


def addresses(assignment: Resource) -> tuple[frozenset[str], frozenset[str]]:
    """Read `endpoints` back: (serving, draining)."""
    found: dict[str, set[str]] = {"HEALTHY": set(), "DRAINING": set()}
    for group in assignment["endpoints"]:
        for host in group["lb_endpoints"]:
            address = host["endpoint"]["address"]["socket_address"]
            found[host["health_status"]].add(f"{address['address']}:{address['port_value']}")
    return frozenset(found["HEALTHY"]), frozenset(found["DRAINING"])


def clusters(revision: Revision, file: PurePath) -> tuple[Resource, Resource]:
    """Return the revision's serving cluster, which checks its instances' health, and its preview."""
    configuration = revision.release.configuration
    plain = _cluster(revision.name, file, configuration)
    serving = {
        **plain,
        "name": revision.name,
        "health_checks": [_health_check(configuration)],
        "outlier_detection": _OUTLIERS,
    }
    return serving, {**plain, "name": preview_of(revision.name)}


def health_path(cluster: Resource) -> str | None:
    """Return the path by which a serving cluster's instances are asked for their health, None when not by HTTP."""
    checks = (check.get("http_health_check") for check in cluster.get("health_checks", ()))
    return next((str(check["path"]) for check in checks if check), None)


def speaks_grpc(cluster: Resource) -> bool:
    """Say whether a cluster's instances are called by gRPC."""
    known = cluster.get("metadata", {}).get("filter_metadata", {}).get("interlock", {})
    return bool(known.get("protocol") == Protocol.GRPC)


def nobody() -> Resource:
    """Return the cluster that stands in the route for a stable side that is not there yet: it answers 503."""
    assignment = {"cluster_name": NOBODY, "endpoints": []}
    kind = f"{_TYPE}config.cluster.v3.Cluster"
    return {"@type": kind, "name": NOBODY, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def public_listener(environment: str, entrance: Entrance, routes: PurePath, log: PurePath) -> Resource:
    """Return the listener by which users enter; its routes are a file of their own, so that no weight drains it."""
    source = {"route_config_name": environment, "config_source": _file(routes)}
    manager = {"rds": source}
    return _listener(environment, entrance.address, entrance.port, entrance, manager, log, (_tap(environment),))


def preview_listener(revision: str, port: int, log: PurePath) -> Resource:
    """Return the loopback listener that reaches this revision and nothing else."""
    action = {"cluster": preview_of(revision), "timeout": "0s"}
    table = _route_table(revision, [{"match": {"prefix": "/"}, "route": action}])
    return _listener(preview_of(revision), "127.0.0.1", port, Entrance(port), {"route_config": table}, log)


def port_of(listener: Resource) -> tuple[str, int]:
    """Return the address and port on which a listener of ours listens."""
    address = listener["address"]["socket_address"]
    return address["address"], address["port_value"]


def route_table(route: Route, entrance: Entrance, secret: str, *, retries: bool) -> Resource:
    """Return the environment's routes: our own probes with their secret first, then the users'."""
    ours = {"name": SECRET, "string_match": {"exact": secret}}
    picked = {"name": PREVIEW, "string_match": {"suffix": preview_of("")}}
    limits = {"timeout": "0s", "retry_policy": _retry_policy(entrance, retries=retries)}
    probes = _weighted(route, {n: preview_of(n) for n in route.revisions}, named=True)
    users = _weighted(route, {n: n for n in route.revisions}, named=False)
    nobodys = {} if probes else {"response_headers_to_add": [_chosen(NOBODY)]}
    kind = {"@type": f"{_TYPE}config.route.v3.RouteConfiguration"}
    return kind | _route_table(
        route.environment,
        [
            {"match": {"prefix": "/", "headers": [ours, picked]}, "route": {"cluster_header": PREVIEW, **limits}},
            {
                "match": {"prefix": "/", "headers": [ours]},
                **_answer(probes, limits, _probe_key(entrance.sticky)),
                **nobodys,
            },
            {"match": {"prefix": "/"}, **_answer(users, limits, _key(entrance.sticky))},
        ],
    )


def read_document(content: bytes) -> tuple[list[Resource], str]:
    """Read `document` back: (resources, version)."""
    value = json.loads(content)
    return value["resources"], value["version_info"]


def route_version(route: Route, table: Resource, *, prepared: bool = False) -> str:
    """Return the version under which Envoy reports a route: it says in words what the route is.

    So the route in force is read from Envoy itself, and a prepared route, once renamed into its place, is known to be
    in force without a single byte written.
    """
    words = (
        f"stable={route.stable or ''} canary={route.canary or ''} weight={route.weight.points} offset={route.offset}"
    )
    return f"{words} content={digest([table])}{' prepared' if prepared else ''}"


_VERSION = re.compile(
    r"stable=(?P<stable>\S*) canary=(?P<canary>\S*) weight=(?P<weight>\d+) offset=(?P<offset>\d+) "
    r"content=(?P<content>[0-9a-f]{16})(?P<prepared> prepared)?"
)


@dataclass(frozen=True, slots=True)
class Written:
    """What a version says: the route, the digest of its table, and whether it was prepared as a way back."""

    route: Route
    content: str
    prepared: bool


def read_route_version(environment: str, text: str) -> Written | None:
    """Read `route_version` back; None for other texts."""
    match = _VERSION.fullmatch(text)
    if match is None:
        return None
    weight = Weight(int(match["weight"]))
    route = Route(environment, match["stable"] or None, match["canary"] or None, weight, int(match["offset"]))
    return Written(route, match["content"], match["prepared"] is not None)


# Two failed connections in a row take an endpoint out at once, where the health check would need two seconds; answers
# with 5xx never do: they are evidence, and hiding the instance that gives them would hide it. Half must stay in.
_OUTLIERS = {
    "consecutive_5xx": 0,
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 2,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_success_rate": 0,
    "enforcing_local_origin_success_rate": 0,
    "interval": "0.5s",
    "base_ejection_time": "10s",
    "max_ejection_percent": 50,
    "successful_active_health_check_uneject_host": False,
}


def _cluster(revision: str, file: PurePath, configuration: Configuration) -> Resource:
    spoken = "http2_protocol_options" if configuration.speaks_http2 else "http_protocol_options"
    options = {
        "@type": f"type.googleapis.com/{_HTTP}",
        # Many servers close an idle connection after 5 s, and a request sent into that closing is a 503: be first.
        "common_http_protocol_options": {"idle_timeout": "4s"},
        "explicit_http_config": {spoken: {}},  # without TLS that is HTTP/2 by prior knowledge
    }
    limits = dict.fromkeys(("max_connections", "max_pending_requests", "max_requests", "max_retries"), _NO_LIMIT)
    grpc = configuration.protocol is Protocol.GRPC
    told = {"metadata": {"filter_metadata": {"interlock": {"protocol": Protocol.GRPC.value}}}} if grpc else {}
    return {
        "@type": f"{_TYPE}config.cluster.v3.Cluster",
        **told,
        "type": "EDS",
        "connect_timeout": "1s",
        # In turn: by least requests, an instance that fails fast draws requests to itself, and one that hangs hides.
        "lb_policy": "ROUND_ROBIN",
        "eds_cluster_config": {"service_name": revision, "eds_config": _file(file)},
        "ignore_health_on_host_removal": True,
        # 0: with nobody healthy the side fails visibly (503), instead of asking instances known to be dead.
        # No merge window: by default workers hear up to a second late who is healthy and who drains, and a drained
        # instance, seen without a request under way, would still be sent some.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "circuit_breakers": {"thresholds": [limits]},
        "typed_extension_protocol_options": {_HTTP: options},
    }


def _health_check(configuration: Configuration) -> Resource:
    readiness = configuration.readiness
    return {
        "timeout": _seconds(readiness.timeout),
        "interval": "1s",
        "no_traffic_interval": "1s",  # 60 s otherwise, as long as a canary has no traffic
        "unhealthy_interval": "0.2s",
        "no_traffic_healthy_interval": "1s",
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        **_question(readiness, "HTTP2" if configuration.speaks_http2 else "HTTP1"),
    }


def _question(readiness: Probe, codec: str) -> Resource:
    match readiness.kind:
        case ProbeKind.HTTP:
            # Without the second range a single 500 would take the instance out, whatever the threshold.
            accepted, counted = [{"start": 200, "end": 400}], [{"start": 400, "end": 600}]
            question = {"path": readiness.path, "host": "localhost", "codec_client_type": codec}
            return {"http_health_check": question | {"expected_statuses": accepted, "retriable_statuses": counted}}
        case ProbeKind.GRPC:
            return {"grpc_health_check": {"service_name": readiness.path.strip("/")}}
        case ProbeKind.TCP | ProbeKind.COMMAND:
            return {"tcp_health_check": {}}


def _listener(
    name: str,
    address: str,
    port: int,
    entrance: Entrance,
    routes: Resource,
    log: PurePath,
    first: Sequence[Resource] = (),
) -> Resource:
    manager = {
        "@type": _MANAGER,
        "stat_prefix": name,
        **routes,
        "http_filters": [*first, _filter("grpc_stats", "FilterConfig"), _filter("router", "Router")],
        "stream_idle_timeout": _seconds(entrance.idle_timeout),
        "use_remote_address": True,
        "xff_num_trusted_hops": entrance.sticky.trusted_hops,
        # Nobody is internal (an empty list would mean every private address): from those who are, Envoy takes time-outs
        # and retries by header.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "server_header_transformation": "PASS_THROUGH",
        "http_protocol_options": {"accept_http_10": True},
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "access_log": [_access_log(log)],
    }
    return {
        "@type": f"{_TYPE}config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _filter(name: str, kind: str) -> Resource:
    return {"name": name, "typed_config": {"@type": f"{_TYPE}extensions.filters.http.{name}.v3.{kind}"}}


def _tap(environment: str) -> Resource:
    """Idle until users are to be counted."""
    kind, known = f"{_TYPE}extensions.filters.http.tap.v3.Tap", {"admin_config": {"config_id": tap_of(environment)}}
    return {
        "name": "tap",
        "typed_config": {"@type": kind, "common_config": known},
    }


def _access_log(log: PurePath) -> Resource:
    """Only requests that did not go the plain way: cut, refused, given up, or with nobody to answer them."""
    line = {
        "at": "%START_TIME(%s.%3f)%",
        "milliseconds": "%DURATION%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",  # without its query, which may hold what is nobody's business
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "why": "%RESPONSE_CODE_DETAILS%",
        "cluster": "%UPSTREAM_CLUSTER_RAW%",
        "instance": "%UPSTREAM_HOST%",
    }
    kind = f"{_TYPE}extensions.access_loggers.file.v3.FileAccessLog"
    return {
        "name": "cut",
        "filter": {"response_flag_filter": {}},
        "typed_config": {"@type": kind, "path": str(log), "log_format": {"json_format": line}},
    }


def _route_table(name: str, routes: Sequence[Resource]) -> Resource:
    host = {"name": "all", "domains": ["*"], "routes": list(routes), "request_headers_to_remove": [SECRET, PREVIEW]}
    return {"name": name, "validate_clusters": False, "virtual_hosts": [host]}


def _weighted(route: Route, names: Mapping[str, str], *, named: bool) -> Resource | None:
    """Return the route's intervals in their fixed order; None when nobody has any share."""
    if not any(revision and points for revision, points in route.intervals()):
        return None
    shares = []
    for revision, points in route.intervals():
        share: Resource = {"name": names[revision] if revision else NOBODY, "weight": points}
        if named:
            share["response_headers_to_add"] = [_chosen(revision or NOBODY)]
        shares.append(share)
    return {"clusters": shares}


def _chosen(revision: str) -> Resource:
    return {"header": {"key": CHOSEN, "value": revision}}


def _answer(shares: Resource | None, limits: Resource, key: Resource | None) -> Resource:
    if shares is None:
        body = {"inline_string": "no release has traffic here yet\n"}
        return {"direct_response": {"status": 503, "body": body}}
    if key is None:
        return {"route": {"weighted_clusters": shares, **limits}}
    return {"route": {"weighted_clusters": {**shares, "use_hash_policy": True}, "hash_policy": [key], **limits}}


def _key(sticky: Sticky) -> Resource | None:
    match sticky.by:
        case StickyBy.HEADER:
            return {"header": {"header_name": sticky.name}}
        case StickyBy.COOKIE:
            return {"cookie": {"name": sticky.name}}  # no ttl: the application's own, Envoy never sets one
        case StickyBy.SOURCE_ADDRESS:
            return {"connection_properties": {"source_ip": True}}
        case StickyBy.NOTHING:
            return None


def _probe_key(sticky: Sticky) -> Resource | None:
    """Like the users' key; but a probe cannot choose the address it comes from, and takes a bucket at random there."""
    return None if sticky.by is StickyBy.SOURCE_ADDRESS else _key(sticky)


def _retry_policy(entrance: Entrance, *, retries: bool) -> Resource:
    """Envoy heeds a try's time-out only until the answer begins: a long answer or a stream passes whole."""
    limit = {"per_try_timeout": _seconds(entrance.request_timeout)}
    if not retries:
        return {**limit, "num_retries": 0}
    # Only what no instance has begun to work on is tried again, and not where it was just refused.
    predicate = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
    return {
        **limit,
        "retry_on": "connect-failure,refused-stream",
        "num_retries": 2,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.05s"},
        "retry_host_predicate": [
            {"name": "previous_hosts", "typed_config": {"@type": f"type.googleapis.com/{predicate}"}}
        ],
        "host_selection_retry_max_attempts": 3,
    }


def _file(path: PurePath) -> Resource:
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def _address(address: str) -> Resource:
    host, _, port = address.rpartition(":")
    return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}


def _seconds(duration: timedelta) -> str:
    return f"{duration.total_seconds():.3f}s"
