"""Which service is released, to which environments, and how?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from interlock.core.agents import Limits
from interlock.core.channel import Channel, DeploymentLog
from interlock.core.conditions import Conditions
from interlock.core.criteria import Criteria
from interlock.core.flag import FlagSource, FlagUse
from interlock.core.hooks import Hook
from interlock.core.image import ImageSource
from interlock.core.migration import Migration
from interlock.core.plan import StrategyName
from interlock.core.release import Artefact, Configuration, Entrance, Release, fingerprint, naming
from interlock.core.source import Source
from interlock.core.strategy import Pace
from interlock.core.verification import Verification
from interlock.core.weight import Weight

# What staging proves for production, as far as the file says the same for both. How many instances there are, their
# variables, secrets and limits are an environment's own.
_PROVEN = ("command", "readiness", "liveness", "unhealthy_after", "identify", "smoke_tests", "protocol", "container")


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment of the file, with everything that holds in it.

    `weights` is None where the plan chooses them by the measured traffic, and for the strategies that have none.
    `criteria` is None where health and smoke tests alone are the evidence. `references` are (variable, reference);
    `common` names the configuration that no environment has for itself. `flags` move with a release; all flags are kept
    by `flag_source`.
    """

    service: str
    name: str
    entrance: Entrance
    strategy: StrategyName
    weights: tuple[Weight, ...] | None
    pace: Pace
    criteria: Criteria | None
    configuration: Configuration
    references: tuple[tuple[str, str], ...] = ()
    common: str = ""
    conditions: Conditions = Conditions()
    hooks: tuple[Hook, ...] = ()
    migration: Migration | None = None
    flags: tuple[FlagUse, ...] = ()
    flag_source: FlagSource | None = None

    @property
    def approve(self) -> bool:
        """Whether a person must agree before the first weight."""
        return self.pace.approve

    def secret_references(self) -> tuple[tuple[str, str], ...]:
        """Return (variable, reference): ``env:NAME``, or ``file:PATH`` with an absolute path."""
        return self.references

    def login_references(self) -> tuple[str, ...]:
        """Return the password by which images are pulled, if there is one."""
        container = self.configuration.container
        return (container.login[1],) if container is not None and container.login[1] else ()

    def release(self, version: str, artefact: Artefact, secrets: Mapping[str, str]) -> Release:
        """Make the release of an artefact here; `secrets` has the fingerprint of each reference.

        Raises KeyError for a reference that has none.
        """
        fingerprints = tuple((variable, secrets[reference]) for variable, reference in self.references)
        configuration = replace(self.configuration, secrets=fingerprints)
        if (container := configuration.container) is not None and container.login[1]:
            login = (container.login[0], secrets[container.login[1]])
            configuration = replace(configuration, container=replace(container, login=login))
        return Release(self.service, version, artefact, configuration, self.common)


@dataclass(frozen=True)
class File:
    """The content of interlock.yaml.

    The last environment is production, those before it are staging, in the order of release; there are at least two.
    """

    path: Path
    service: str
    artefact: Source
    environments: tuple[Environment, ...]
    proof_valid_for: timedelta
    channels: tuple[Channel, ...] = ()
    log: DeploymentLog | None = None
    links: str = ""
    image: ImageSource | None = None
    agents: Limits = Limits()

    @property
    def production(self) -> Environment:
        """The environment with the users."""
        return self.environments[-1]

    @property
    def staging(self) -> tuple[Environment, ...]:
        """The environments that prove a release for production."""
        return self.environments[:-1]

    def environment(self, name: str) -> Environment:
        """Return one environment; raise KeyError when the file has none of this name."""
        for environment in self.environments:
            if environment.name == name:
                return environment
        known = ", ".join(e.name for e in self.environments)
        raise KeyError(f"{self.path.name} has no environment {name}; it has {known}")

    @cached_property
    def unproven(self) -> tuple[str, ...]:
        """What staging cannot prove, because the file says something else for production."""
        return tuple(name for name in _PROVEN if not _same(self.environments, name))


def with_verification(environments: tuple[Environment, ...], demanded: Verification | None) -> tuple[Environment, ...]:
    """Ask in every environment what must be proven of the image."""
    return tuple(replace(one, conditions=replace(one.conditions, image=demanded)) for one in environments)


def with_common(environments: tuple[Environment, ...], artefact: Source) -> tuple[Environment, ...]:
    """Give each environment the name of the configuration that is the same in all of them."""
    shared: dict[str, Any] = {n: getattr(environments[0].configuration, n) for n in _PROVEN if _same(environments, n)}
    built = {"build": artefact.build, "include": artefact.include, "exclude": artefact.exclude}
    common = fingerprint(naming({**shared, **built}))
    return tuple(replace(environment, common=common) for environment in environments)


def _same(environments: tuple[Environment, ...], name: str) -> bool:
    return len({repr(getattr(e.configuration, name)) for e in environments}) == 1
