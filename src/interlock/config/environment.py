"""What holds in one environment, in values of the core?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from interlock.config import flags
from interlock.config.cohort import cohort
from interlock.config.conditions import conditions
from interlock.config.container import DockerBlock, container
from interlock.config.file import Environment
from interlock.config.hooks import hooks, migration
from interlock.config.merge import merge
from interlock.config.model import (
    Canary,
    Check,
    CriteriaBlock,
    EnvironmentBlock,
    FileBlock,
    FrontBlock,
    IdentifyBlock,
    LoadBlock,
    MetricBlock,
    MetricsBlock,
    Plain,
    Rolling,
    Settings,
    Smoke,
    StickyBlock,
    StrategyBlock,
)
from interlock.core.container import Container
from interlock.core.criteria import Control, Criteria, WithoutProof
from interlock.core.health import GRPC_HEALTH, Identify, Probe, ProbeKind, SmokeTest
from interlock.core.load import GRPC, Recipe
from interlock.core.metric import Counted, Metric, Prometheus, Ratio, Series, Slower
from interlock.core.plan import StrategyName
from interlock.core.release import Configuration, Entrance, Front, Protocol, Sticky, StickyBy, Tls
from interlock.core.strategy import Pace
from interlock.core.weight import Weight

# Where nobody is judged there are no users to watch: a short look at health is enough.
_LOOK = timedelta(seconds=5)
_QUICK = Pace(first_bake=_LOOK, bake=_LOOK, keep=_LOOK, recovered_for=_LOOK, judged=False)
_SWITCH = StrategyBlock.model_validate("blue-green")


def settle(file: FileBlock, name: str) -> EnvironmentBlock:
    """Return all settings of one environment: its own, and for the rest those of the top level.

    The top level's `strategy` and `criteria` are meant for where users are judged, so they hold in production (the
    last environment) and wherever `criteria` are written; elsewhere the sides are switched after a short look.
    """
    own = file.environments[name]
    if judged(file, name):
        return _one_place(merge(own, file, Settings.model_fields), own)
    merged = _one_place(merge(own, file, Settings.model_fields.keys() - {"strategy", "criteria"}), own)
    return merged if "strategy" in own.model_fields_set else merged.model_copy(update={"strategy": _SWITCH})


def judged(file: FileBlock, name: str) -> bool:
    """Say whether releases are judged by their traffic here."""
    return name == [*file.environments][-1] or "criteria" in file.environments[name].model_fields_set


def environment(file: FileBlock, name: str, block: EnvironmentBlock, root: Path) -> Environment:
    """Make the core's values of an environment's settings; `root` is where relative paths begin."""
    first = name == next(iter(file.environments))
    pace = _pace(block, judged=judged(file, name), staged=not first)
    where = place_of_flags(file, name, block, root)
    return Environment(
        service=file.service,
        name=name,
        entrance=_entrance(block, root),
        strategy=StrategyName(block.strategy.kind),
        weights=_weights(block.strategy.chosen, pace),
        pace=pace,
        criteria=_criteria(block, pace.hold_at_most, root) if pace.judged else None,
        configuration=_configuration(block, file, root),
        references=tuple((variable, _absolute(r, root)) for variable, r in sorted(block.secrets.items())),
        conditions=conditions(block.gates, root),
        hooks=hooks(block.hooks, root),
        migration=migration(block.migration),
        flags=flags.uses(block.flags, file.environments[name].flags, where, _LOOK),
        flag_source=flags.source(block.flags, where),
    )


def place_of_flags(file: FileBlock, name: str, block: EnvironmentBlock, root: Path) -> flags.Where:
    """Say what the settings of flags need to know of the environment that they hold in."""
    chosen = block.strategy.chosen
    weights = Pace().weights if isinstance(chosen, Canary) else None
    if isinstance(chosen, Canary) and chosen.weights is not None:
        weights = chosen.weights
    auto = isinstance(chosen, Canary) and chosen.weights is None
    return flags.Where(name, root, name == [*file.environments][-1], judged(file, name), weights, auto)


def _one_place(merged: EnvironmentBlock, own: EnvironmentBlock) -> EnvironmentBlock:
    return _one_source(merged.model_copy(update={"flags": flags.one_place(merged.flags, own.flags)}), own)


def _entrance(block: EnvironmentBlock, root: Path) -> Entrance:
    own = (block.port, block.address, _sticky(block.sticky), block.request_timeout, block.idle_timeout)
    return Entrance(*own, _front(block.front, root) if block.front else None, block.hosts)


def _front(block: FrontBlock, root: Path) -> Front:
    tls = Tls(str(root / block.tls.certificate), str(root / block.tls.key)) if block.tls else None
    return Front(block.names, block.paths, block.strip, tls, block.redirect or 0)


def _one_source(merged: EnvironmentBlock, own: EnvironmentBlock) -> EnvironmentBlock:
    """Let an environment take as a secret what is plain elsewhere, and the other way round."""
    env = {name: value for name, value in merged.env.items() if name not in own.secrets}
    secrets = {name: value for name, value in merged.secrets.items() if name not in own.env}
    return merged.model_copy(update={"env": env, "secrets": secrets})


def _pace(block: EnvironmentBlock, *, judged: bool, staged: bool) -> Pace:
    chosen: Plain = block.strategy.chosen
    written = {name: getattr(chosen, name) for name in chosen.model_fields_set - {"weights", "load"}}
    pace = replace(Pace() if judged else _QUICK, **written)
    if isinstance(chosen, Canary) and chosen.weights is not None:
        pace = replace(pace, weights=chosen.weights)
    if isinstance(chosen, Rolling) and chosen.load is not None:
        pace = replace(pace, load=_load(chosen.load, protocol(block)))
    approve = block.approve or block.gates.approvals is not None
    return replace(pace, staged=staged, approve=approve, approve_within=block.approve_within)


def _load(block: LoadBlock, spoken: Protocol) -> Recipe:
    recipe = Recipe(block.rate, block.requests, block.paths, block.method, block.when == "always")
    if spoken is not Protocol.GRPC or "method" in block.model_fields_set:
        return recipe
    paths = block.paths if "paths" in block.model_fields_set else (GRPC_HEALTH,)
    return replace(recipe, method=GRPC, paths=paths)


def _weights(chosen: Plain, pace: Pace) -> tuple[Weight, ...] | None:
    """Return the canary's weights; None leaves them to the plan, which needs something to prove."""
    if not isinstance(chosen, Canary) or (chosen.weights is None and pace.judged):
        return None
    return pace.weights


def _criteria(block: EnvironmentBlock, hold_at_most: timedelta, root: Path) -> Criteria:
    written, collects = block.criteria, _prometheus(block.metrics, root)
    translated = {"without_proof", "baseline", "metrics", "cohort"}
    numbers = {name: getattr(written, name) for name in CriteriaBlock.model_fields if name not in translated}
    return Criteria(
        **numbers,
        without_proof=WithoutProof(written.without_proof),
        hold_at_most=hold_at_most,
        baseline=Control(written.baseline),
        metrics=tuple(_metric(name, one, block.metrics.path, collects) for name, one in written.metrics.items()),
        counted=_counted(block.metrics, collects),
        cohort=cohort(written.cohort, block.metrics.path, collects),
    )


def _metric(name: str, block: MetricBlock, path: str, collects: Prometheus | None) -> Metric:
    where = (path, None) if collects is None else ("", collects)
    if block.slower_than is not None:
        return Metric(name, block.limit, Slower(Series.parse(block.histogram), block.slower_than), block.weight, *where)
    return Metric(name, block.limit, Ratio(Series.parse(block.bad), Series.parse(block.of)), block.weight, *where)


def _prometheus(block: MetricsBlock, root: Path) -> Prometheus | None:
    one = block.prometheus
    if one is None:
        return None
    token = _absolute(one.token, root) if one.token else ""
    return Prometheus(one.url.rstrip("/"), one.revision, one.instances, one.stale_after, token)


def _counted(block: MetricsBlock, collects: Prometheus | None) -> Counted | None:
    if collects is None or block.prometheus is None or not block.prometheus.requests:
        return None
    named = (block.prometheus.requests, block.prometheus.failures, block.prometheus.latency)
    return Counted(collects, *map(Series.parse, named))


def _configuration(block: EnvironmentBlock, file: FileBlock, root: Path) -> Configuration:
    health = block.health
    return Configuration(
        command=block.command,
        instances=block.instances,
        environment=tuple(sorted(block.env.items())),
        readiness=_probe(health.readiness),
        liveness=_probe(health.liveness) if health.liveness else None,
        memory_max=health.memory_max,
        unhealthy_after=health.unhealthy_after,
        identify=_identify(block.identify) if block.identify else None,
        smoke_tests=tuple(_smoke(test) for test in block.smoke_tests),
        start_within=block.start,
        drain_within=block.drain,
        stop_within=block.stop,
        protocol=protocol(block),
        container=_container(block, file, root) if containerised(block, file) else None,
    )


def _container(block: EnvironmentBlock, file: FileBlock, root: Path) -> Container:
    made = container(block.docker or DockerBlock())
    registry = file.image.registry if file.image is not None else None
    if registry is None or registry.password is None:
        return made
    return replace(made, login=(registry.user, _absolute(registry.password, root)))


def containerised(block: EnvironmentBlock, file: FileBlock) -> bool:
    """Say whether instances run as containers here: where it is said, where it is said how, or of which image."""
    if block.platform is not None:
        return block.platform == "docker"
    return block.docker is not None or file.image is not None


def protocol(block: EnvironmentBlock) -> Protocol:
    """Return what an environment's instances speak: what is written, or what their readiness is asked by."""
    if block.protocol is not None:
        return Protocol(block.protocol)
    return Protocol.GRPC if block.health.readiness.kind == "grpc" else Protocol.HTTP1


def _probe(check: Check) -> Probe:
    kind = ProbeKind(check.kind)
    path = {ProbeKind.HTTP: check.http, ProbeKind.GRPC: check.grpc}.get(kind, "")
    command = check.command if kind is ProbeKind.COMMAND else ()
    return Probe(kind, path, tuple(sorted(check.fields.items())), command, check.timeout)


def _identify(block: IdentifyBlock) -> Identify:
    return Identify(block.header or None, block.field or None, block.path)


def _smoke(test: Smoke) -> SmokeTest:
    fields = tuple(sorted(test.fields.items()))
    return SmokeTest(
        _name(test), test.path, test.method, test.status, fields, test.matches, test.command, test.timeout, test.grpc
    )


def _name(test: Smoke) -> str:
    if test.grpc is not None:
        return test.name or f"health of {test.grpc or 'the server'}"
    return test.name or (" ".join(test.command) if test.command else f"{test.method} {test.path}")


def _sticky(block: StickyBlock) -> Sticky:
    by = StickyBy(block.kind.replace("_", "-"))
    name = {StickyBy.HEADER: block.header, StickyBy.COOKIE: block.cookie}.get(by, "")
    return Sticky(by, name, block.trusted_hops)


def _absolute(reference: str, root: Path) -> str:
    kind, _, rest = reference.partition(":")
    return f"file:{root / rest}" if kind == "file" else reference
