"""With which command, environment and directory does an instance start?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from interlock.adapters.secrets import kept
from interlock.core.release import Revision
from interlock.ports.host import Command, Host
from interlock.ports.workload import WorkloadError

_TAKEN_OVER = ("HOME", "LANG", "TZ")


@dataclass(frozen=True, slots=True)
class Launch:
    """All that the commands of a revision's instances are made from. `label` is what all our labels begin with."""

    host: Host
    revision: Revision
    label: str
    artefacts: Path
    secrets: Path
    logs: Path

    @property
    def directory(self) -> Path:
        """Where the artefact lies unpacked, under the digest of its content, and where its instances run."""
        return self.artefacts / self.revision.release.artefact.digest.rpartition(":")[2]

    def label_of(self, slot: int) -> str:
        return f"{self.label}/{self.revision.environment}/{self.revision.name}/{slot}"

    def log_of(self, slot: int) -> Path:
        return self.logs / f"{self.revision.name}-{slot}.log"

    def command(self, slot: int, port: int) -> Command:
        """Build the command of one instance; raise WorkloadError when artefact or secret is missing."""
        directory = self.present()
        argv = tuple(word.replace("{port}", str(port)) for word in self.revision.release.configuration.command)
        label, log = self.label_of(slot), self.log_of(slot)
        return Command(label, argv, directory, log, self.environment(slot, port))

    def present(self) -> Path:
        """Return the artefact's directory; raise WorkloadError when it is not there."""
        if not self.directory.is_dir():
            artefact = self.revision.release.artefact
            raise WorkloadError(
                f"{self.revision.name}: the artefact {artefact.digest} (from {artefact.source}) is not in"
                f" {self.artefacts}; `interlock plan` packs it again from its source"
            )
        return self.directory

    def environment(self, slot: int, port: int) -> dict[str, str]:
        """Build an instance's whole environment: little of ours, then the file's, the secrets, and who it is."""
        return {**self.surroundings(), "PORT": str(port), "INTERLOCK_SLOT": str(slot)}

    def surroundings(self) -> dict[str, str]:
        """Build what every command of the release gets, whether or not it is an instance."""
        release = self.revision.release
        base = {name: os.environ[name] for name in _TAKEN_OVER if name in os.environ}
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            **base,
            **dict(release.configuration.environment),
            **{variable: self._secret(variable, name) for variable, name in release.configuration.secrets},
            "INTERLOCK_SERVICE": release.service,
            "INTERLOCK_ENVIRONMENT": self.revision.environment,
            "INTERLOCK_REVISION": self.revision.name,
            "INTERLOCK_VERSION": release.version,
        }

    def hidden(self) -> tuple[str, ...]:
        """Return what no reason may show."""
        return kept(self.secrets)

    def _secret(self, variable: str, fingerprint: str) -> str:
        value = self.host.read(self.secrets / fingerprint)
        if value is None:
            raise WorkloadError(
                f"{self.revision.name}: the secret for {variable} ({fingerprint}) is not in {self.secrets};"
                " deploy again where its value can be read"
            )
        return os.fsdecode(value)
