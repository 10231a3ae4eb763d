"""Are the container engines well on which releases run, and the registry that they pull from?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from interlock.adapters.host.local import LocalHost
from interlock.adapters.workload.containers import NEWEST, About, Engine, EngineError
from interlock.app.finding import LEAST_SPACE, Finding, size
from interlock.app.instances import containers
from interlock.app.registries import registry
from interlock.app.secrets import SecretError, value
from interlock.app.state import StateDirectory
from interlock.core.container import Container, Reach
from interlock.core.image import ImageSource
from interlock.ports.images import ImageError
from interlock.ports.workload import WorkloadError

SPACE = 4 * LEAST_SPACE
_DOCKER_DIES = (
    "when this engine restarts, it stops every instance at once and starts it again: write "
    '{"live-restore": true} into /etc/docker/daemon.json and reload it'
)
_PUBLISHED = (
    "published ports are carried by a child of the engine and die with it, whatever live-restore says: leave "
    "docker.reach out, so that instances have addresses of their own"
)
_NO_RESTART = (
    "after a reboot instances come back with the keeper (interlock doctor --unit); with "
    "`systemctl enable podman-restart` without it too"
)


async def examine_engines(
    state: StateDirectory, wanted: Sequence[Container], image: ImageSource | None
) -> list[Finding]:
    """Look at each engine that the file means, or that something runs on, and at the registry."""
    runtime = containers(state, LocalHost())
    engines: dict[str, Engine] = {one.address: one for one in runtime.engines.used()}
    findings: list[Finding] = []
    for container in wanted:
        try:
            address = runtime.engines.meant(container)
        except WorkloadError as error:
            findings.append(Finding("engine", False, str(error)))
            continue
        engines.setdefault(address, runtime.engines.at(address))
    for address, engine in engines.items():
        published = any(one.reach is Reach.LOOPBACK for one in wanted)
        findings += await _engine(address, engine, published=published)
    return [*findings, *await _registry(image)]


async def _engine(address: str, engine: Engine, *, published: bool) -> list[Finding]:
    try:
        about = await engine.about()
    except EngineError as error:
        return [Finding("engine", False, str(error), _rights(address))]
    api = f"API {about.api[0]}.{about.api[1]}"
    runs = f"{about.runtime or 'its own runtime'} on cgroups {about.cgroups or '?'}"
    text = f"{about} at {address}, {api}, {runs}"
    known = about.api <= NEWEST
    advice = f"it speaks no version of the API that we know (up to {NEWEST[0]}.{NEWEST[1]}): upgrade Interlock"
    return [Finding("engine", known, text, advice), *_dies(about, published=published), *_disk(about)]


def _rights(address: str) -> str:
    """Say what to do about a socket that cannot be asked."""
    path = Path(address.removeprefix("unix://"))
    if not path.exists():
        return "start it: systemctl start docker, or systemctl start podman.socket"
    if not os.access(path, os.R_OK | os.W_OK):
        owner = path.stat()
        return f"this user (uid {os.getuid()}) may not open {path}, which is of uid {owner.st_uid}, gid {owner.st_gid}"
    return "see its log: journalctl -u docker"


def _dies(about: About, *, published: bool) -> Iterator[Finding]:
    """Say what becomes of the instances when the engine dies."""
    if about.podman:
        yield Finding("live-restore", True, "containers of Podman need no engine to live")
        yield Finding("reboot", None, "Podman starts nothing by itself at boot", _NO_RESTART)
    elif not about.live_restore:
        yield Finding("live-restore", None, "off: a restart of the engine is one of every instance", _DOCKER_DIES)
    elif published or about.rootless:
        yield Finding("live-restore", None, "on, but instances are reached by published ports", _PUBLISHED)
    else:
        yield Finding("live-restore", True, "on: instances outlive the engine")


def _disk(about: About) -> Iterator[Finding]:
    """Say how much room images and logs have, where that is a directory that we see."""
    try:
        disk = os.statvfs(about.directory)
    except OSError:
        return
    free = disk.f_bavail * disk.f_frsize
    advice = (
        "docker image prune removes what nothing uses; Interlock removes what it pulled, but for the last releases'"
    )
    yield Finding("engine disk", free >= SPACE, f"{size(free)} free at {about.directory}", advice)


async def _registry(image: ImageSource | None) -> list[Finding]:
    """Ask the registry whether it lets us read."""
    if image is None:
        return []
    name, one = "registry", image.image
    try:
        found = await (await registry(one, image.access, value)).manifest(one)
    except (ImageError, SecretError) as error:
        return [Finding(name, False, str(error), f"log in: docker login {one.registry}")]
    return [Finding(name, True, f"{one.name} answers" + ("" if found else "; it has no tag latest, and needs none"))]
