"""Where are Envoy's files, and what do they say? They are all that there is of state: a successor reads them back."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from pathlib import Path

from interlock.adapters.traffic.envoy.config import Resource, digest, document, read_document
from interlock.core.record import plain, restore
from interlock.core.release import Entrance
from interlock.ports.host import Host, HostError
from interlock.ports.traffic import TrafficError

# Only our user may read them: the routes hold the secret of our probes. Envoy runs as the same user.
_MODE = 0o600


class Files:
    """The xDS files of one Envoy, replaced by rename only: Envoy sees nothing else."""

    def __init__(self, host: Host, directory: Path) -> None:
        self._host, self.directory = host, directory
        self.boot, self.lds, self.cds = (directory / name for name in ("boot.json", "lds.json", "cds.json"))
        self.cuts = directory / "cut.log"

    def eds(self, revision: str) -> Path:
        """Return the file of a revision's endpoints."""
        return self.directory / f"eds-{revision}.json"

    def rds(self, environment: str) -> Path:
        """Return the file of an environment's live route."""
        return self.directory / f"rds-{environment}.json"

    def prepared(self, environment: str) -> Path:
        """Return the file of an environment's prepared route, beside the live one."""
        return self.directory / f"prepared-{environment}.json"

    def entrance_file(self, environment: str) -> Path:
        """Return the file of an environment's entrance."""
        return self.directory / f"entrance-{environment}.json"

    def resources(self, file: Path) -> list[Resource]:
        """Return a file's resources, none when it is not there."""
        content = self.read(file)
        return read_document(content)[0] if content else []

    def version(self, file: Path) -> str | None:
        """Return a file's version, None when it is not there."""
        content = self.read(file)
        return read_document(content)[1] if content else None

    def put(self, file: Path, resources: list[Resource], version: str | None = None, *, durable: bool = False) -> str:
        """Replace a file; return its version."""
        self.write(file, document(resources, version), durable=durable)
        return version or digest(resources)

    def entrance(self, environment: str) -> Entrance | None:
        """Return the environment's entrance, None when it was never opened."""
        content = self.read(self.entrance_file(environment))
        return restore(Entrance, json.loads(content)) if content else None

    def put_entrance(self, environment: str, entrance: Entrance) -> None:
        """Remember the entrance: its time-outs and its key are part of every route."""
        self.write(self.entrance_file(environment), json.dumps(plain(entrance)).encode())

    def secret(self, revisions: tuple[str, ...]) -> str:
        """Return the secret of our probes while a route names these revisions: another one for each rollout.

        It is derived from a key that is made when first asked for, so that whoever comes after us knows it too.
        """
        return hmac.new(self._key(), "|".join(revisions).encode(), hashlib.sha256).hexdigest()[:32]

    def _key(self) -> bytes:
        file = self.directory / "secret"
        content = self.read(file)
        if not content:
            content = secrets.token_hex(16).encode()
            self.write(file, content)
        return content

    def read(self, file: Path) -> bytes | None:
        """Return a file's content, None when it is not there; raise TrafficError."""
        try:
            return self._host.read(file)
        except HostError as error:
            raise TrafficError(str(error)) from error

    def write(self, file: Path, content: bytes, *, durable: bool = False) -> None:
        """Replace a file's content; raise TrafficError, and then nothing has changed."""
        try:
            self._host.write(file, content, mode=_MODE, durable=durable)
        except HostError as error:
            raise TrafficError(str(error)) from error

    def restore(self, file: Path, content: bytes | None) -> None:
        """Put back what `read` returned, be it nothing; raise TrafficError."""
        if content is None:
            self.remove(file)
        else:
            self.write(file, content)

    def rename(self, old: Path, new: Path) -> None:
        """Rename a file over another; raise TrafficError."""
        try:
            self._host.rename(old, new)
        except HostError as error:
            raise TrafficError(str(error)) from error

    def remove(self, file: Path) -> None:
        """Remove a file; raise TrafficError."""
        try:
            self._host.remove(file)
        except HostError as error:
            raise TrafficError(str(error)) from error
