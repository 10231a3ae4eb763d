"""How is a container engine asked, Docker's or Podman's, over its socket?

The engine's HTTP API, asked by our own small client, and not the docker SDK: a dozen calls need no 14 MB of `requests`,
`urllib3` and threads beside an event loop; every call has its time; and the two engines differ where the SDK hides what
they said (an error in the middle of a pull that was answered 200).
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

from interlock.adapters.http import HttpError, HttpTimeout, Response, ask
from interlock.ports.images import Credential
from interlock.ports.workload import WorkloadError

Json = dict[str, Any]

ANSWERS_WITHIN = timedelta(seconds=15)
STARTS_WITHIN = timedelta(seconds=60)
PULLS_WITHIN = timedelta(minutes=15)
NEWEST = (1, 44)
"""The newest version of the API that we know; an engine that is newer still speaks it, if it is not too new."""

_NEVER_STARTED = "0001-01-01T00:00:00Z"
_KILLED = 128 + 9


class EngineError(WorkloadError):
    """The engine said no, with this status; or it does not answer at all, and the status is 0."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Seen:
    """A container, as the engine sees it. `started` names one life of it; "" before the first."""

    id: str
    name: str
    running: bool
    restarting: bool
    started: str
    status: int
    out_of_memory: bool
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def killed(self) -> bool:
        """Whether it had to be killed, as far as its status tells."""
        return not self.running and self.status == _KILLED

    @classmethod
    def of(cls, found: Json) -> Seen:
        """Read what inspecting a container answers; both engines' states are told by the same two booleans."""
        state = found["State"]
        started = str(state.get("StartedAt") or "")
        return cls(
            found["Id"],
            str(found.get("Name", "")).lstrip("/"),
            bool(state.get("Running")) and not state.get("Restarting"),
            bool(state.get("Restarting")),
            "" if started == _NEVER_STARTED else started,
            int(state.get("ExitCode") or 0),
            bool(state.get("OOMKilled")),
            found.get("Config", {}).get("Labels") or {},
        )


@dataclass(frozen=True, slots=True)
class About:
    """What an engine is. `directory` is where it keeps what it has."""

    product: str
    version: str
    api: tuple[int, int]
    rootless: bool
    live_restore: bool
    directory: str
    runtime: str
    cgroups: str

    @property
    def podman(self) -> bool:
        return self.product == "Podman"

    def __str__(self) -> str:
        return f"{self.product} {self.version}{', rootless' if self.rootless else ''}"


class Engine:
    """One engine, at ``unix:///path``. Verbs raise EngineError, whose message says what, where and what to do."""

    def __init__(self, address: str) -> None:
        if not address.startswith("unix://"):
            raise WorkloadError(f'expected an engine\'s socket such as "unix:///run/docker.sock", found "{address}"')
        self.address = address
        self._target = "unix:" + address.removeprefix("unix://")
        self._about: About | None = None

    async def about(self, *, anew: bool = False) -> About:
        """Return what it is; asked once, as that does not change while it runs."""
        if self._about is None or anew:
            version = await self._json("GET", "/version")
            info = await self._json("GET", "/info")
            self._about = _about(version, info)
        return self._about

    # --- containers

    async def inspect(self, name: str) -> Seen | None:
        """Return a container, by name or id; None when there is none."""
        try:
            return Seen.of(await self._json("GET", f"/containers/{name}/json"))
        except EngineError as error:
            if error.status == 404:
                return None
            raise

    async def labelled(self, label: str, value: str) -> list[Json]:
        """Return the containers with this label, running or not, oldest first."""
        query = {"all": "true", "filters": json.dumps({"label": [f"{label}={value}"]})}
        found: list[Json] = await self._json("GET", "/containers/json", query)
        return sorted(found, key=lambda one: int(one.get("Created", 0)))

    async def create(self, name: str, body: Json) -> None:
        """Create a container; nothing happens when there is one of this name."""
        try:
            await self._json("POST", "/containers/create", {"name": name}, body)
        except EngineError as error:
            if error.status != 409 and "already in use" not in str(error):
                raise

    async def start(self, name: str) -> None:
        """Start a container; nothing happens when it runs."""
        await self._ask("POST", f"/containers/{name}/start", within=STARTS_WITHIN)

    async def stop(self, name: str, within: timedelta) -> None:
        """Stop it by its own signal (TERM, unless the image has another), then KILL; it is not started again."""
        seconds = max(0, round(within.total_seconds()))
        query = {"t": str(seconds)}
        await self._ask("POST", f"/containers/{name}/stop", query, within=within + STARTS_WITHIN, missing=True)

    async def remove(self, name: str) -> None:
        """Remove it with what is its own, running or not; nothing happens when it is not there."""
        query = {"force": "true", "v": "true"}
        try:
            await self._ask("DELETE", f"/containers/{name}", query, within=STARTS_WITHIN, missing=True)
        except EngineError as error:
            if error.status != 409:  # it is being removed already
                raise

    async def ended(self, name: str, within: timedelta) -> int | None:
        """Wait until it ends next, for at most so long; return its status, None when that was too short."""
        path = f"/containers/{name}/wait"
        try:
            answer = await self._ask("POST", path, {"condition": "next-exit"}, within=within, patient=True)
        except HttpTimeout:
            return None
        return int(answer.json().get("StatusCode") or 0)

    async def log(self, name: str, lines: int) -> str:
        """Return the last lines that it wrote; none where its log driver keeps none that can be read."""
        query = {"stdout": "true", "stderr": "true", "tail": str(lines)}
        try:
            answer = await self._ask("GET", f"/containers/{name}/logs", query, missing=True)
        except EngineError as error:
            if error.status in (400, 500, 501):  # "configured logging driver does not support reading"
                return ""
            raise
        return "" if answer.status == 404 else demultiplexed(answer.body).decode(errors="replace")

    async def run_in(self, name: str, argv: tuple[str, ...], within: timedelta) -> tuple[int, str]:
        """Run a command in a container; return its status and what it wrote. Raises HttpTimeout when it is late."""
        wanted = {"AttachStdout": True, "AttachStderr": True, "Cmd": list(argv)}
        made = await self._json("POST", f"/containers/{name}/exec", body=wanted)
        path = f"/exec/{made['Id']}"
        body = {"Detach": False, "Tty": False}
        said = await self._ask("POST", f"{path}/start", body=body, within=within, patient=True)
        status = (await self._json("GET", f"{path}/json")).get("ExitCode")
        return int(status) if status is not None else 0, demultiplexed(said.body).decode(errors="replace")

    # --- images

    async def has(self, image: str) -> bool:
        """Say whether it has an image, by its name with its digest."""
        try:
            await self._ask("GET", f"/images/{image}/json")
        except EngineError as error:
            if error.status == 404:
                return False
            raise
        return True

    async def pull(self, name: str, digest: str, credential: Credential | None, *, plain: bool) -> None:
        """Pull an image by its digest. `plain`: the registry speaks plain HTTP, which Podman must be told.

        That it was answered 200 says nothing: how it ended stands in the stream.
        """
        headers = (("X-Registry-Auth", _authorisation(name, credential)),) if credential else ()
        if plain and (await self.about()).podman:
            path, query = "/libpod/images/pull", {"reference": f"{name}@{digest}", "tlsVerify": "false"}
        else:
            path, query = "/images/create", {"fromImage": name, "tag": digest}
        what = f"{name}@{digest} cannot be pulled"
        try:
            answer = await self._ask("POST", path, query, headers=headers, within=PULLS_WITHIN)
        except EngineError as error:
            raise EngineError(f"{what}: {error}", error.status) from error
        if trouble := _trouble(answer.body):
            raise EngineError(f"{what}: {self._who()} says: {trouble}{hint(trouble)}", 502)

    async def remove_image(self, image: str) -> bool:
        """Remove an image; say whether it has gone: what a container uses stays."""
        try:
            await self._ask("DELETE", f"/images/{image}", within=STARTS_WITHIN, missing=True)
        except EngineError as error:
            if error.status == 409:
                return False
            raise
        return True

    # --- networks

    async def network(self, name: str) -> Json | None:
        """Return a network, None when there is none."""
        try:
            found: Json = await self._json("GET", f"/networks/{name}")
        except EngineError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def create_network(self, name: str, labels: Mapping[str, str], subnets: list[Json] | None) -> None:
        """Create a bridge network with these subnets; where none are given the engine chooses one."""
        body: Json = {"Name": name, "Driver": "bridge", "CheckDuplicate": True, "Labels": dict(labels)}
        if subnets is not None:
            body["IPAM"] = {"Config": subnets}
        await self._json("POST", "/networks/create", body=body)

    async def remove_network(self, name: str) -> bool:
        """Remove a network; say whether it has gone: one that containers are in stays."""
        try:
            await self._ask("DELETE", f"/networks/{name}", missing=True)
        except EngineError as error:
            if error.status in (403, 409):
                return False
            raise
        return True

    async def join(self, network: str, container: str) -> None:
        """Have a container in one more network; nothing happens when it is in it."""
        try:
            await self._ask("POST", f"/networks/{network}/connect", body={"Container": container})
        except EngineError as error:
            if "already" not in str(error):
                raise

    # --- asking

    async def _json(self, method: str, path: str, query: Mapping[str, str] | None = None, body: Any = None) -> Any:
        return (await self._ask(method, path, query, body)).json()

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        within: timedelta = ANSWERS_WITHIN,
        missing: bool = False,
        patient: bool = False,
    ) -> _Answer:
        """Ask once. `missing`: that it is not there is an answer too. `patient`: to be late is no error of its own."""
        whole = await self._versioned(path) + (f"?{urlencode(query)}" if query else "")
        sent = b"" if body is None else json.dumps(body).encode()
        given = (*headers, ("Content-Type", "application/json")) if sent else headers
        try:
            response = await ask(self._target, method, quote(whole, safe="/?&=%+:@,-._~"), given, sent, timeout=within)
        except HttpTimeout as error:
            if patient:
                raise
            raise EngineError(f"{self._who()} gave no answer to {method} {path} within {_seconds(within)}") from error
        except HttpError as error:
            self._about = None  # whoever answers next may be another
            raise EngineError(f"{self._who()} cannot be asked: {_plainly(error)}{hint(str(error))}") from error
        if response.status >= 400 and not (missing and response.status == 404):
            said = _message(response)
            raise EngineError(f"{self._who()} refused {method} {path}: {said}{hint(said)}", response.status)
        return _Answer(response.status, response.body)

    async def _versioned(self, path: str) -> str:
        if path == "/version" or (path == "/info" and self._about is None):
            return path
        about = await self.about()
        if path.startswith("/libpod/"):
            return f"/v{about.version}{path}"
        major, minor = about.api
        return f"/v{major}.{minor}{path}"

    def _who(self) -> str:
        return f"{self._about.product if self._about else 'the engine'} at {self.address}"


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes

    def json(self) -> Any:
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise EngineError(f"the engine answered with something that is not JSON: {self.body[:100]!r}") from error


def demultiplexed(stream: bytes) -> bytes:
    """Join what came by standard output and error: frames of eight bytes of header (the last four are the length).

    What has no such frames, a terminal's, is returned as it is.
    """
    joined, at = bytearray(), 0
    while at + 8 <= len(stream):
        if stream[at] > 2 or stream[at + 1 : at + 4] != b"\0\0\0":
            return stream
        length = int.from_bytes(stream[at + 4 : at + 8], "big")
        joined += stream[at + 8 : at + 8 + length]
        at += 8 + length
    return bytes(joined) if at else stream


_GROUP = "may this user open the socket? (Docker: be in the group docker, which is as good as root)"
_RUNC = 'use runc: runtime = "runc" below [engine] in containers.conf'
_ABSENT = "is what docker.entrypoint, or command, names in the image? Neither goes through a shell"
_HINTS = (
    (r"permission denied", _GROUP),
    (r"executable file not found|no such file or directory: ?(OCI|unknown)|command that was not found", _ABSENT),
    (r"No such file|Connection refused", "does the engine run, and is docker.engine its socket?"),
    (r"rlimit", "this machine lets nobody raise such limits: set docker.ulimits, nofile and nproc"),
    (r"cgroups? in hybrid mode|cgroup.*not (supported|found|mounted)", _RUNC),
    (r"unauthorized|authentication required|denied", "log in to the registry as the user whose keeper runs"),
    (r"HTTP response to HTTPS client", "tell the engine that this registry is insecure, or give it TLS"),
    (r"no space left", "make room on the engine's disk"),
)


def hint(said: str) -> str:
    """Return what to do about what an engine said, where that is known: "; …"."""
    advice = next((text for pattern, text in _HINTS if re.search(pattern, said, re.IGNORECASE)), "")
    return f"; {advice}" if advice else ""


def _seconds(within: timedelta) -> str:
    return f"{within.total_seconds():g} s"


def _about(version: Json, info: Json) -> About:
    podman = any("podman" in str(part.get("Name", "")).lower() for part in version.get("Components") or ())
    newest, oldest = _numbers(version.get("ApiVersion")), _numbers(version.get("MinAPIVersion"))
    return About(
        "Podman" if podman else "Docker",
        str(version.get("Version", "?")),
        max(min(newest, NEWEST), oldest),
        bool(info.get("Rootless")) or any("rootless" in str(one) for one in info.get("SecurityOptions") or ()),
        bool(info.get("LiveRestoreEnabled")),
        str(info.get("DockerRootDir", "")),
        str(info.get("DefaultRuntime", "")),
        str(info.get("CgroupVersion", "")),
    )


def _numbers(text: Any) -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", str(text or ""))
    return (int(found[1]), int(found[2])) if found else (1, 24)


def _authorisation(name: str, credential: Credential) -> str:
    """Return who we are as the API wants it (docs.docker.com/reference/api/engine: Authentication)."""
    server = name.partition("/")[0]
    who = (
        {"identitytoken": credential.token}
        if credential.token
        else {"username": credential.user, "password": credential.password, "serveraddress": server}
    )
    return base64.urlsafe_b64encode(json.dumps(who).encode()).decode()


def _trouble(stream: bytes) -> str:
    """Return the error in a stream of JSON lines; "" when there is none."""
    for line in stream.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and record.get("error"):
            return str(record["error"]).strip()
    return ""


def _message(response: Response) -> str:
    try:
        said = json.loads(response.body)["message"]
    except (ValueError, KeyError, TypeError):
        said = response.body[:300].decode(errors="replace")
    return str(said).strip() or f"status {response.status}"


def _plainly(error: HttpError) -> str:
    return str(error).rpartition(": ")[2]
