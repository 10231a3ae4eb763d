"""What is an engine told of a container of ours: image, variables, limits, mounts, labels?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interlock.adapters.secrets import kept
from interlock.adapters.workload.containers.engine import Json
from interlock.adapters.workload.containers.places import LOOPBACK, reached
from interlock.adapters.workload.slots import Place
from interlock.core.container import Container, Reach, SecretsAs
from interlock.core.image import Image, image_of
from interlock.core.release import Revision
from interlock.ports.host import Host
from interlock.ports.images import Credential
from interlock.ports.workload import WorkloadError

LABEL = "io.interlock"
STATE, SLOT, ADDRESS = f"{LABEL}.state", f"{LABEL}.slot", f"{LABEL}.address"
ENVIRONMENT, REVISION = f"{LABEL}.environment", f"{LABEL}.revision"
SECRETS = "/run/secrets"
_LOG = ("json-file", {"max-size": "10m", "max-file": "2"})


@dataclass(frozen=True, slots=True)
class Spec:
    """All that the containers of a revision are made from. `state` is what our labels and names are told apart by."""

    host: Host
    revision: Revision
    state: str
    network: str
    secrets: Path
    files: Path

    @property
    def container(self) -> Container:
        container = self.revision.release.configuration.container
        if container is None:
            raise WorkloadError(f"{self.revision.name} runs as processes, not as containers")
        return container

    @property
    def image(self) -> Image:
        """The image with its digest; raise WorkloadError when the artefact is none."""
        artefact = self.revision.release.artefact
        image = image_of(artefact)
        if image is None:
            raise WorkloadError(
                f"{self.revision.name}: containers run images, and {artefact.source} ({artefact.digest}) is none: say "
                "`image:` in interlock.yaml"
            )
        return image

    def name(self, slot: int | str) -> str:
        """Return the name of a container; no other of this machine has it."""
        return name_of(self.state, self.revision.name, slot)

    def body(self, slot: int, place: Place) -> Json:
        """Return what an engine is told to create an instance. Raises WorkloadError when a secret is missing."""
        way = reached(self.container, place)
        port = place.port if way is Reach.HOST else self.container.port
        variables = {**self.variables(), "PORT": str(port), "INTERLOCK_SLOT": str(slot)}
        body = self._body(str(slot), variables, self._command(port))
        body["Labels"][ADDRESS] = place.address
        body["HostConfig"]["RestartPolicy"] = {"Name": "unless-stopped"}
        if way is Reach.LOOPBACK:
            body["ExposedPorts"] = {f"{port}/tcp": {}}
            bound = {"HostIp": LOOPBACK, "HostPort": str(place.port)}
            body["HostConfig"]["PortBindings"] = {f"{port}/tcp": [bound]}
        if way is Reach.BRIDGE:
            own = {"IPAMConfig": {"IPv4Address": place.host}}
            body["NetworkingConfig"] = {"EndpointsConfig": {self.network: own}}
        body["HostConfig"]["NetworkMode"] = "host" if way is Reach.HOST else self.network
        return body

    def once(self, name: str, command: tuple[str, ...], variables: Mapping[str, str]) -> Json:
        """Return what an engine is told to create a container whose command is run once, and not again."""
        body = self._body(name, {**variables, **self.variables()}, list(command))
        way = self.container.reach
        body["HostConfig"]["NetworkMode"] = "host" if way is Reach.HOST else self.network
        return body

    def variables(self) -> dict[str, str]:
        """Return what every container of the release has in its environment, beside its image's own."""
        release = self.revision.release
        return {
            **dict(release.configuration.environment),
            **self._secrets(),
            "INTERLOCK_SERVICE": release.service,
            "INTERLOCK_ENVIRONMENT": self.revision.environment,
            "INTERLOCK_REVISION": self.revision.name,
            "INTERLOCK_VERSION": release.version,
        }

    def login(self) -> Credential | None:
        """Return who pulls the image, where the file says so. Raises WorkloadError when the password is missing."""
        user, password = self.container.login
        return Credential(user, self._secret("the registry's password", password)) if user else None

    def hidden(self) -> tuple[str, ...]:
        """Return what no reason may show."""
        return kept(self.secrets)

    def hand_out(self) -> None:
        """Have the secrets in files, for the containers that mount them. Raises WorkloadError, HostError.

        The directory can be opened by our user alone. The files in it can be read by all: a container sees them through
        its mount, as whichever user it runs.
        """
        if self.container.secrets is not SecretsAs.FILES:
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for variable, fingerprint in self.revision.release.configuration.secrets:
            value = self._secret(variable, fingerprint)
            self.host.write(self._directory / variable, os.fsencode(value), mode=0o444, durable=True)

    def _body(self, slot: str, variables: Mapping[str, str], command: list[str]) -> Json:
        configuration, container = self.revision.release.configuration, self.container
        body: Json = {
            "Image": self.image.pinned,
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "Labels": self._labels(slot),
            "StopTimeout": round(configuration.stop_within.total_seconds()),
            "HostConfig": self._limits(),
        }
        if command:
            body["Cmd"] = command
        if container.entrypoint is not None:
            body["Entrypoint"] = list(container.entrypoint)
        if container.user:
            body["User"] = container.user
        return body

    def _limits(self) -> Json:
        one, memory = self.container, self.revision.release.configuration.memory_max
        driver, options = (one.log.driver, dict(one.log.options)) if one.log.driver else _LOG
        limits: dict[str, Any] = {
            "LogConfig": {"Type": driver, "Config": {**options, **dict(one.log.options)}},
            "ReadonlyRootfs": one.read_only,
            "Binds": [*one.volumes, *self._mounted()],
            "Tmpfs": dict(_tmpfs(text) for text in one.tmpfs),
            "Ulimits": [{"Name": name, "Soft": soft, "Hard": hard} for name, soft, hard in one.ulimits],
            "CapAdd": list(one.cap_add),
            "CapDrop": list(one.cap_drop),
            "ExtraHosts": list(one.hosts),
        }
        limits |= {"Init": True} if one.init else {}
        limits |= {"Memory": memory} if memory is not None else {}
        limits |= {"NanoCpus": round(one.cpus * 1e9)} if one.cpus is not None else {}
        limits |= {"PidsLimit": one.pids} if one.pids is not None else {}
        return limits | ({"ShmSize": one.shm_size} if one.shm_size is not None else {})

    def _labels(self, slot: str) -> dict[str, str]:
        release = self.revision.release
        return {
            **dict(self.container.labels),
            STATE: self.state,
            SLOT: slot,
            f"{LABEL}.service": release.service,
            ENVIRONMENT: self.revision.environment,
            REVISION: self.revision.name,
            f"{LABEL}.release": release.identity,
            f"{LABEL}.version": release.version,
        }

    def _command(self, port: int) -> list[str]:
        return [word.replace("{port}", str(port)) for word in self.revision.release.configuration.command]

    @property
    def _directory(self) -> Path:
        return self.files / self.revision.name

    def _mounted(self) -> list[str]:
        if self.container.secrets is not SecretsAs.FILES:
            return []
        names = (variable for variable, _ in self.revision.release.configuration.secrets)
        return [f"{self._directory / name}:{SECRETS}/{name}:ro" for name in names]

    def _secrets(self) -> dict[str, str]:
        pairs = self.revision.release.configuration.secrets
        if self.container.secrets is SecretsAs.FILES:
            return {f"{variable}_FILE": f"{SECRETS}/{variable}" for variable, _ in pairs}
        return {variable: self._secret(variable, name) for variable, name in pairs}

    def _secret(self, variable: str, fingerprint: str) -> str:
        value = self.host.read(self.secrets / fingerprint)
        if value is None:
            raise WorkloadError(
                f"{self.revision.name}: the secret for {variable} ({fingerprint}) is not in {self.secrets};"
                " deploy again where its value can be read"
            )
        return os.fsdecode(value)


def name_of(state: str, revision: str, slot: int | str) -> str:
    return f"interlock-{state}-{revision}-{slot}"


def _tmpfs(text: str) -> tuple[str, str]:
    path, _, options = text.partition(":")
    return path, options
