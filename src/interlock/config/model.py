"""What may stand in interlock.yaml?

Each class is one block of the file, each field one setting with its default and its description: from here come the
validation, the JSON Schema, the table in docs/file.md and the test of the starter. Defaults are the core's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from interlock.config.agents import AgentsBlock
from interlock.config.block import Block
from interlock.config.cohort import CohortBlock
from interlock.config.container import DockerBlock
from interlock.config.flags import FlagsBlock
from interlock.config.gates import GatesBlock
from interlock.config.hooks import HookBlock, MigrationBlock
from interlock.config.image import ImageBlock
from interlock.config.notify import ChannelBlock, DocsBlock, LinksBlock
from interlock.config.quantity import (
    Address,
    Argv,
    Duration,
    Factor,
    FilePath,
    Globs,
    HeaderName,
    HostName,
    Machine,
    Name,
    Paths,
    Pause,
    PerSecond,
    Rate,
    Reference,
    Regex,
    Selector,
    Shares,
    Size,
    Subdirectory,
    Times,
    UrlPath,
    Variable,
    found,
)
from interlock.core.criteria import Criteria
from interlock.core.health import Probe, SmokeTest
from interlock.core.load import Recipe
from interlock.core.metric import Prometheus
from interlock.core.release import Configuration, Entrance, Front, Sticky
from interlock.core.source import Source
from interlock.core.strategy import Pace

_configuration, _criteria, _pace, _probe = Configuration(command=()), Criteria(), Pace(), Probe()
_recipe, _prometheus = Recipe(), Prometheus("")
_entrance, _source, _test, _sticky = Entrance(port=0), Source(root=""), SmokeTest(name=""), Sticky()
_front = Front()


RULES = frozenset({"error-rate", "latency-p99", "catastrophe", "hanging", "shared-incident"})
"""What the judge calls its own findings: no metric that the user names may be called so."""


class ArtefactBlock(Block):
    directory: Subdirectory = Field(_source.directory, description="the part of the project that is released")
    git: str = Field(
        ".", description="the repository that git refs given to `deploy` belong to; by default the project's own"
    )
    build: Argv = Field(
        _source.build,
        description="a command run in a copy of the files before they are packed, not through a shell; "
        "what it leaves behind is packed",
    )
    build_within: Duration = Field(_source.build_within, description="how long the build may take")
    include: Globs = Field(_source.include, description="pack only what matches one of these patterns; by default all")
    exclude: Globs = Field(_source.exclude, description="do not pack what matches one of these patterns")

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"directory": text}

    SHORT_PATTERN = "^[^/]"


class Check(Block):
    http: UrlPath = Field(_probe.path, description="ask this path; a status from 200 to 399 is well")
    tcp: Literal[True] = Field(True, description="be content with a connection")
    grpc: str = Field("", description="call grpc.health.v1.Health/Check for this service; `''` is the whole server")
    command: Argv = Field(_probe.command, description="run this; exit status 0 is well")
    fields: dict[str, str] = Field(
        default_factory=dict, description="what the JSON answer must say, by dotted name (with `http`)"
    )
    timeout: Duration = Field(_probe.timeout, description="how long the answer may take")

    KINDS = ("http", "tcp", "grpc", "command")
    GUESS = "http"
    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {"tcp": {"tcp": True}}
    SHORT_PATTERN = "^/"

    @classmethod
    def expand(cls, text: str) -> Any:
        if text.startswith("/"):
            return {"http": text}
        if text in cls.SHORT:
            return dict(cls.SHORT[text])
        raise ValueError(f'expected a path such as "/ready", "tcp", or a mapping, found {found(text)}')

    @property
    def conflict(self) -> str | None:
        """Say what does not go together, also after a merge."""
        if self.fields and self.kind != "http":
            return f"expected fields together with http, found them with {self.kind}"
        return None

    @model_validator(mode="after")
    def _no_conflict(self) -> Self:
        if self.conflict:
            raise ValueError(self.conflict)
        return self


class Health(Block):
    readiness: Check = Field(default_factory=Check, description="when an instance may take traffic")
    liveness: Check | None = Field(None, description="when an instance lives; without it, as long as its process does")
    unhealthy_after: int = Field(
        _configuration.unhealthy_after,
        ge=1,
        le=100,
        description="so many failed liveness checks in a row end an instance",
    )
    memory_max: Size | None = Field(
        None, description="an instance that holds more resident memory is restarted and counts as unhealthy"
    )


class IdentifyBlock(Block):
    header: HeaderName = Field("", description="the response header that carries the version")
    field: str = Field("", min_length=1, description="the dotted field of a JSON answer that carries the version")
    path: UrlPath = Field("/", description="the path to ask")

    KINDS = ("header", "field")


class Smoke(Block):
    name: str = Field("", description="what the test is called in reports; by default what it does")
    path: UrlPath = Field(_test.path, description="ask this path through the preview")
    method: Literal["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"] = Field(
        "GET", description="the method of the request"
    )
    status: int = Field(_test.status, ge=100, le=599, description="the status wanted")
    fields: dict[str, str] = Field(default_factory=dict, description="what the JSON answer must say, by dotted name")
    matches: Regex | None = Field(None, description="a regular expression that must be found in the body")
    command: Argv = Field(_test.command, description="or run this, with INTERLOCK_PREVIEW_URL; exit status 0 is well")
    grpc: str | None = Field(
        _test.grpc, description="or call grpc.health.v1.Health/Check for this service; `''` is the whole server"
    )
    timeout: Duration = Field(_test.timeout, description="how long the test may take")

    @model_validator(mode="after")
    def _a_command_asks_nothing(self) -> Self:
        asks = self.model_fields_set & {"path", "method", "status", "fields", "matches"}
        for instead in sorted(self.model_fields_set & {"command", "grpc"}):
            if more := sorted(asks | self.model_fields_set & {"command", "grpc"} - {instead}):
                raise ValueError(f"expected {instead} or {more[0]}, found both; make two tests of it")
        return self


class StickyBlock(Block):
    header: HeaderName = Field("", description="users are told apart by this request header")
    cookie: HeaderName = Field("", description="users are told apart by this cookie of the application")
    source_address: Literal[True] = Field(True, description="users are told apart by their address")
    nothing: Literal[True] = Field(True, description="each request is on its own")
    trusted_hops: int = Field(
        _sticky.trusted_hops,
        ge=0,
        le=16,
        description="so many proxies in front of ours are believed about the address (X-Forwarded-For)",
    )

    KINDS = ("header", "cookie", "source_address", "nothing")
    GUESS = "nothing"
    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "source_address": {"source_address": True},
        "nothing": {"nothing": True},
    }


class Plain(Block):
    """What every strategy has."""

    keep: Pause = Field(_pace.keep, description="how long the old revision is kept warm at 100 %, to go back at once")
    hold_at_most: Pause = Field(
        _pace.hold_at_most, description="a watch without enough evidence waits so much longer, then goes back"
    )
    recovered_for: Duration = Field(
        _pace.recovered_for, description="health and error rate must be back to normal so long after a rollback"
    )


class BlueGreen(Plain):
    pass


class TlsBlock(Block):
    certificate: FilePath = Field(description="the PEM file of the certificate and those that it hangs on")
    key: FilePath = Field(description="the PEM file of its key, without a passphrase")


class FrontBlock(Block):
    names: tuple[HostName, ...] = Field(
        _front.names, strict=False, description="users who ask for one of these host names come here; by default all"
    )
    paths: tuple[UrlPath, ...] = Field(
        _front.paths, strict=False, description="and for one of these paths, or what is below; by default all"
    )
    strip: bool = Field(_front.strip, description="take that path off before an instance sees the request")
    tls: TlsBlock | None = Field(None, description="users come by TLS; the files are read again when they change")
    redirect: int | None = Field(
        None, ge=1, le=65535, description="users of this plain port are sent to the one by TLS"
    )

    @model_validator(mode="after")
    def _to_tls(self) -> Self:
        if self.redirect is not None and self.tls is None:
            raise ValueError("expected tls beside redirect, found none: where would users be sent?")
        if self.strip and not self.paths:
            raise ValueError("expected paths beside strip, found none: nothing could be taken off")
        return self


class LoadBlock(Block):
    rate: PerSecond = Field(
        _recipe.rate, description="so many requests of our own are sent to the preview of each side"
    )
    requests: int | None = Field(
        _recipe.requests,
        ge=1,
        le=1_000_000,
        description="how many are sent to each side; by default as many as prove a healthy release, with some to spare",
    )
    paths: Paths = Field(_recipe.paths, description="what is asked for, in turn; stable must answer it well")
    method: Literal["GET", "HEAD", "GRPC"] = Field(
        "GET",
        description="how it is asked for; `GRPC`, the default of a service that speaks it, calls the paths as methods "
        "with an empty message",
    )
    when: Literal["always", "needed"] = Field(
        "always",
        description="`always` before each weight that is watched; `needed` only where users' traffic cannot prove a "
        "bake in time, which `load: auto` stands for",
    )

    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {"auto": {"when": "needed"}}


class Rolling(Plain):
    first_bake: Duration = Field(_pace.first_bake, description="how long the first weight is watched")
    bake: Duration = Field(_pace.bake, description="how long each later weight is watched")
    load: LoadBlock | None = Field(
        None, description="try each new side on requests of our own before its users come; by default none are sent"
    )


class Canary(Rolling):
    weights: Shares = Field(
        None, description="the shares of the traffic, one after another; `auto` chooses them by the measured traffic"
    )


class StrategyBlock(Block):
    canary: Canary = Field(default_factory=Canary, description="growing weights, each watched until proven")
    blue_green: BlueGreen = Field(
        default_factory=BlueGreen, alias="blue-green", description="all at once, the old side kept beside"
    )
    rolling: Rolling = Field(default_factory=Rolling, description="one instance after another")

    KINDS = ("canary", "blue-green", "rolling")
    GUESS = "canary"
    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {"canary": {"canary": {}}, "blue-green": {"blue-green": {}}} | {
        "rolling": {"rolling": {}}
    }

    @property
    def chosen(self) -> Plain:
        """The settings of the strategy that is written, or meant."""
        chosen: Plain = getattr(self, self.kind.replace("-", "_"))
        return chosen


class MetricBlock(Block):
    bad: Selector = Field("", description="the counter of bad events, such as `checkout_failures_total`")
    of: Selector = Field("", description='the counter of all of them, such as `checkouts_total{kind="card"}`')
    histogram: Selector = Field("", description="or a histogram of durations, such as `payment_seconds`")
    slower_than: Duration | None = Field(
        None, description="what takes longer is bad; must be one of its edges (of a native one the nearest is taken)"
    )
    limit: Rate = Field(description="a higher share of bad events is too much")
    weight: Times = Field(
        1.0,
        description="its part of the odds against a release, as many times what latency has; all parts sum to one",
    )

    @model_validator(mode="after")
    def _bad_by_all(self) -> Self:
        given = self._named() & {"bad", "of", "histogram", "slower_than"}
        if given not in ({"bad", "of"}, {"histogram", "slower_than"}):
            what = " and ".join(sorted(given)) or "none of them"
            raise ValueError(f"expected bad and of, or histogram and slower_than, found {what}")
        return self


class PrometheusBlock(Block):
    url: str = Field(pattern="^https?://", description="where it answers; whatever speaks its HTTP API will do")
    token: Reference | None = Field(None, description="the token to ask with, by reference: `env:NAME` or `file:PATH`")
    revision: str = Field(
        _prometheus.revision,
        pattern="^[a-zA-Z_][a-zA-Z0-9_]*$",
        description="the label of each series that has the revision's name, which an instance finds in "
        "`INTERLOCK_REVISION`",
    )
    instances: tuple[str, ...] = Field(
        _prometheus.instances,
        strict=False,
        min_length=1,
        description="the labels that tell one instance from another",
    )
    stale_after: Duration = Field(
        _prometheus.stale_after,
        description="what was collected longer ago is not seen; a multiple of the interval at which it is",
    )
    requests: Selector = Field(
        "", description="judge users' requests, too, by this counter, in place of the proxy's own (with the next two)"
    )
    failures: Selector = Field("", description='the counter of those that failed: `http_requests_total{code=~"5.."}`')
    latency: Selector = Field("", description="the histogram of their durations, classic or native")

    SHORT_PATTERN = "^https?://"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"url": text}

    @model_validator(mode="after")
    def _one_source_of_requests(self) -> Self:
        given = self._named() & {"requests", "failures", "latency"}
        if len(given) not in (0, 3):
            raise ValueError(f"expected requests, failures and latency together, found {' and '.join(sorted(given))}")
        return self


class MetricsBlock(Block):
    path: UrlPath = Field("/metrics", description="the path at which each instance shows them")
    prometheus: PrometheusBlock | None = Field(
        None, description="or the Prometheus that collects them: its address, or more about it"
    )

    KINDS = ("path", "prometheus")
    GUESS = "path"
    SHORT_PATTERN = "^/"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"path": text}


class CriteriaBlock(Block):
    error_rate: Rate = Field(_criteria.error_rate, description="a higher share of failed requests is too much")
    latency_factor: Factor = Field(
        _criteria.latency_factor, description="a p99 latency so many times the old revision's is too much"
    )
    latency_p99: Duration | None = Field(
        _criteria.latency_p99, description="a fixed limit for the p99 latency, in place of `latency_factor`"
    )
    catastrophe_rate: Rate = Field(
        _criteria.catastrophe_rate, description="a share of failed requests that ends the rollout without more ado"
    )
    alpha: Rate = Field(
        _criteria.alpha, description="how probably a healthy release may be rolled back, in the whole rollout"
    )
    beta: Rate = Field(_criteria.beta, description="how probably a step with a bad release may be called proven")
    margin: Factor = Field(
        _criteria.margin, description="a release must be proven to stay below so many times the limit"
    )
    stable_ratio: Factor = Field(
        _criteria.stable_ratio, description="a canary up to so many times as bad as the stable side is not blamed"
    )
    hang_after: Duration = Field(_criteria.hang_after, description="a request without answer for so long has failed")
    incident_at_most: Duration = Field(
        _criteria.incident_at_most,
        description="trouble that both sides share is put down to the canary after so long all the same",
    )
    warm_up: Pause = Field(
        _criteria.warm_up, description="for so long after the first traffic only a catastrophe counts"
    )
    sample_every: Duration = Field(_criteria.sample_every, description="how often the counters are read")
    without_proof: Literal["hold", "advance-unproven", "rollback"] = Field(
        _criteria.without_proof.value, description="what to do when a watch is over and proves nothing either way"
    )
    blind_at_most: Duration = Field(
        _criteria.blind_at_most, description="without samples for so long, the rollout goes back"
    )
    baseline: Literal["stable", "history", "fixed"] = Field(
        _criteria.baseline.value,
        description="beside what a release is judged: the stable side at the same time, its last 60 minutes, or the "
        "limits alone (needs `latency_p99`); only `stable` excuses what befalls both sides",
    )
    metrics: dict[Name, MetricBlock] = Field(
        default_factory=dict, description="bad events that only the application counts, by a name of your choice"
    )
    cohort: CohortBlock | None = Field(
        None, description="while a flag is given to some users, judge those with it beside those without, by this"
    )

    @model_validator(mode="after")
    def _names_of_their_own(self) -> Self:
        for name in self.metrics:
            if name in RULES:
                raise ValueError(f"expected a metric's name that no rule of ours has, found {name}")
        return self

    @property
    def conflict(self) -> str | None:
        """Say what does not go together, also after a merge."""
        if self.baseline == "fixed" and self.latency_p99 is None:
            return "expected latency_p99 with baseline: fixed, found none: no limit could be learnt from stable"
        return None


class Settings(Block):
    """What may stand at the top level, as a default, and in each environment."""

    command: Argv = Field(
        _configuration.command,
        description="the argv of one instance, run in the artefact's directory, not through a shell; "
        "the port to listen on is in the variable PORT. With `docker`, the image's own by default",
    )
    platform: Literal["process", "docker"] | None = Field(
        None,
        description="what runs the instances: `process`, or `docker`, which is Podman too; by default `process`, and "
        "`docker` where an `image` is released",
    )
    docker: DockerBlock | None = Field(None, description="how instances run as containers of an image")
    protocol: Literal["http1", "h2c", "grpc"] | None = Field(
        None,
        description="what an instance speaks on its port: `http1`, `h2c` (HTTP/2 without TLS) or `grpc`; "
        "by default `http1`, and `grpc` where readiness is asked by it",
    )
    instances: int = Field(_configuration.instances, ge=1, le=1000, description="how many run at full strength")
    env: dict[Variable, str] = Field(
        default_factory=dict, description="environment variables, as they stand here: nothing is expanded"
    )
    secrets: dict[Variable, Reference] = Field(
        default_factory=dict,
        description="environment variables by reference: `env:NAME` of the shell that deploys, or `file:PATH`",
    )
    health: Health = Field(default_factory=Health, description="when an instance is well")
    identify: IdentifyBlock | None = Field(None, description="where an answer says which version gave it")
    smoke_tests: tuple[Smoke, ...] = Field(
        (), strict=False, description="what a new revision must pass before it gets traffic"
    )
    sticky: StickyBlock = Field(
        default_factory=StickyBlock, description="what keeps a user on one side while the weight stands"
    )
    strategy: StrategyBlock = Field(default_factory=StrategyBlock, description="the way to the new revision")
    criteria: CriteriaBlock = Field(
        default_factory=CriteriaBlock, description="by which numbers a release is judged under real traffic"
    )
    metrics: MetricsBlock = Field(
        default_factory=MetricsBlock,
        description="where each instance shows its own counters (Prometheus' text format), or who collects them",
    )
    flags: FlagsBlock = Field(
        default_factory=FlagsBlock, description="who keeps the feature flags, and how a release moves which of them"
    )
    start: Duration = Field(_configuration.start_within, description="how long an instance may take to be ready")
    drain: Duration = Field(_configuration.drain_within, description="how long requests under way may take to end")
    stop: Duration = Field(_configuration.stop_within, description="from SIGTERM to SIGKILL")
    address: Address = Field(_entrance.address, description="the IP address on which users come in")
    hosts: tuple[Machine, ...] = Field(
        _entrance.hosts,
        strict=False,
        description="the machines, each as `ssh://[USER@]HOST[:PORT]`; the state lives on production's first. "
        "By default this machine",
    )
    request_timeout: Duration = Field(
        _entrance.request_timeout, description="an instance that sends nothing for so long has failed the request"
    )
    idle_timeout: Duration = Field(_entrance.idle_timeout, description="a stream without a byte for so long is closed")


class EnvironmentBlock(Settings):
    port: int = Field(ge=1, le=65535, description="the port on which users come in")
    front: FrontBlock | None = Field(
        None, description="share the port with other services of this machine, by host name and path, or have TLS on it"
    )
    approve: bool = Field(_pace.approve, description="wait for a person before the first weight")
    approve_within: Duration = Field(_pace.approve_within, description="how long to wait for that person")
    gates: GatesBlock = Field(
        default_factory=GatesBlock, description="what must be so in the world around a release, at the start and on"
    )
    hooks: tuple[HookBlock, ...] = Field(
        (), strict=False, description="servers and commands that are asked before it goes on, or told what became of it"
    )
    migration: MigrationBlock | None = Field(
        None, description="what is done once with a new release before it starts; by default nothing"
    )


class FileBlock(Settings):
    service: Name = Field(description="the name of what is released")
    artefact: ArtefactBlock = Field(default_factory=ArtefactBlock, description="the files that are released")
    image: ImageBlock | None = Field(None, description="or the image that is released, built or there already")
    environments: dict[Name, EnvironmentBlock] = Field(
        description="in the order of release: staging first, production last"
    )
    proof_valid_for: Duration = Field(
        timedelta(days=7), description="how long a release that passed staging may wait for production"
    )
    notify: tuple[ChannelBlock, ...] = Field((), strict=False, description="who is told what becomes of a deployment")
    docs: DocsBlock | None = Field(
        None, description="the deployment log in a git repository: a text is its file; by default none is kept"
    )
    links: LinksBlock | None = Field(
        None, description="put links into messages by which people act: the address where `interlock serve` is reached"
    )
    agents: AgentsBlock = Field(
        default_factory=AgentsBlock, description="what is left to programs that act for people, by `interlock mcp`"
    )

    @model_validator(mode="after")
    def _channels_of_their_own(self) -> Self:
        names = [one.name for one in self.notify]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"expected each channel under notify with a name of its own, found {twice[0]} twice")
        return self
