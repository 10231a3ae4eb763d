"""At which engine, and at which address, does a container run?

The engine that is found first stays the one that is meant: it is written down, so that another value of DOCKER_HOST
tomorrow does not leave today's containers alone.

Containers with addresses of their own are in a network of this state directory's, at addresses that we choose and that
stay theirs: an engine gives the address of a container that ended to the next one that starts, which may be another
revision's, and for a moment the proxy would send it what was meant for the other side.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from interlock.adapters.workload.containers.engine import Engine, EngineError, Json
from interlock.adapters.workload.slots import Place, PlaceTaken
from interlock.core.container import Container, Reach
from interlock.ports.host import Host
from interlock.ports.workload import WorkloadError

LOOPBACK = "127.0.0.1"
_STATIC = "io.interlock.addresses"


def sockets(environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Yield the addresses at which an engine may answer, first what takes precedence."""
    variables = os.environ if environment is None else environment
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        if variables.get(name, "").startswith("unix://"):
            yield variables[name]
    own = variables.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    yield "unix:///var/run/docker.sock"
    yield f"unix://{own}/docker.sock"
    yield "unix:///run/podman/podman.sock"
    yield f"unix://{own}/podman/podman.sock"


def found(environment: Mapping[str, str] | None = None) -> str:
    """Return the address of the engine that is there; raise WorkloadError when there is none."""
    known = list(dict.fromkeys(sockets(environment)))
    for address in known:
        if Path(address.removeprefix("unix://")).is_socket():
            return address
    raise WorkloadError(
        f"no container engine is there: no socket at any of {', '.join(known)}. Start Docker, or run `systemctl enable "
        "--now podman.socket`; or name the socket: docker: {engine: unix:///…}"
    )


class Engines:
    """The engines of one state directory. `file` lists those that were ever used, first the one that is found."""

    def __init__(self, host: Host, file: Path) -> None:
        self._host, self._file = host, file
        self._engines: dict[str, Engine] = {}

    def of(self, container: Container) -> Engine:
        """Return the engine that is meant, and remember it. Raises WorkloadError."""
        known, address = self._known(), self.meant(container)
        entry = (not container.engine, address)
        if entry not in known:
            lines = [f"{'found' if was_found else 'named'} {a}" for was_found, a in (*known, entry)]
            self._host.write(self._file, "".join(f"{line}\n" for line in lines).encode(), mode=0o600, durable=True)
        return self.at(address)

    def meant(self, container: Container) -> str:
        """Return the address of the engine that is meant; raise WorkloadError when there is none."""
        return container.engine or next((a for was_found, a in self._known() if was_found), "") or found()

    def used(self) -> tuple[Engine, ...]:
        """Return all that were ever used."""
        return tuple(self.at(address) for address in dict.fromkeys(address for _, address in self._known()))

    def at(self, address: str) -> Engine:
        """Return the engine at an address."""
        return self._engines.setdefault(address, Engine(address))

    def _known(self) -> list[tuple[bool, str]]:
        lines = (self._host.read(self._file) or b"").decode(errors="replace").splitlines()
        return [(kind == "found", address) for kind, _, address in (line.partition(" ") for line in lines) if address]


class Network:
    """The network of one state directory at one engine."""

    def __init__(self, engine: Engine, name: str, state: str) -> None:
        self._engine, self.name, self._state = engine, name, state
        self._subnet: ipaddress.IPv4Network | None = None
        self._making = asyncio.Lock()
        self._last = 0

    async def made(self) -> ipaddress.IPv4Network:
        """Have the network, and return its addresses."""
        async with self._making:
            there = await self._engine.network(self.name)
            if there is None or _STATIC not in (there.get("Labels") or {}):
                there = await self._make(unfit=there is not None)
            self._subnet = _subnet(there)
            return self._subnet

    async def _make(self, *, unfit: bool) -> Json:
        """Make it twice: the engine chooses addresses that are free, and gives fixed ones only where we named them."""
        labels = {"io.interlock.state": self._state}
        if not unfit:
            await self._engine.create_network(self.name, labels, None)
        chosen = await self._engine.network(self.name)
        if chosen is None or not await self._engine.remove_network(self.name):
            raise WorkloadError(f"the network {self.name} at {self._engine.address} is in use by others; remove it")
        config = [{key: one[key] for key in ("Subnet", "Gateway") if key in one} for one in chosen["IPAM"]["Config"]]
        await self._engine.create_network(self.name, {**labels, _STATIC: "fixed"}, config)
        made = await self._engine.network(self.name)
        if made is None:
            raise WorkloadError(f"the network {self.name} at {self._engine.address} was made and is gone")
        return made

    async def free(self, port: int, taken: Collection[Place]) -> Place:
        """Return an address that none has, and that none had just now: addresses are given in turn."""
        subnet, ours = await self.made(), {place.host for place in taken}
        usable = min(subnet.num_addresses - 3, 4000)
        numbers = [int(ipaddress.IPv4Address(one)) - int(subnet.network_address) for one in ours if _in(one, subnet)]
        self._last = self._last or max([*numbers, 1])
        for _ in range(usable):
            self._last = self._last + 1 if self._last < usable + 1 else 2
            address = str(subnet[self._last])
            if address not in ours:
                return Place(port, host=address)
        raise WorkloadError(f"the network {self.name} at {self._engine.address} has no free address left")

    async def fits(self, place: Place) -> None:
        """Have the network; raise PlaceTaken when the place is no address of it: it was made anew since."""
        subnet = await self.made()
        if not _in(place.host, subnet):
            raise PlaceTaken(f"{place.host} is not in the network {self.name} ({subnet})")

    async def remove(self) -> None:
        """Remove it, unless something is in it."""
        await self._engine.remove_network(self.name)


async def reach(engine: Engine, container: Container) -> Reach:
    """Say where instances are reached, never `AUTO`."""
    if container.reach is not Reach.AUTO:
        return container.reach
    return Reach.LOOPBACK if (await engine.about()).rootless else Reach.BRIDGE


def reached(container: Container, place: Place) -> Reach:
    """Say how an instance at a place is reached."""
    if container.reach is Reach.HOST:
        return Reach.HOST
    return Reach.LOOPBACK if place.host == LOOPBACK else Reach.BRIDGE


def _subnet(network: Json) -> ipaddress.IPv4Network:
    for one in network.get("IPAM", {}).get("Config") or ():
        subnet = ipaddress.ip_network(one["Subnet"], strict=False)
        if isinstance(subnet, ipaddress.IPv4Network):
            return subnet
    raise EngineError(f"the network {network.get('Name')} has no IPv4 addresses")


def _in(address: str, subnet: ipaddress.IPv4Network) -> bool:
    return ipaddress.IPv4Address(address) in subnet
