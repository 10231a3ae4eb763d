"""Where does what keeps between commands live?"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path


class StateError(Exception):
    """The state directory cannot be used; the message says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """One project's state: `path` outlives a reboot, `runtime` (sockets, heartbeat) need not and is short.

    Envoy and the kernel refuse socket paths over 108 bytes, so sockets do not live under `path`.
    """

    path: Path

    @classmethod
    def of(cls, project: str, given: str | None = None) -> StateDirectory:
        """Return the directory given, else the one in INTERLOCK_STATE, else the project's under XDG_STATE_HOME."""
        chosen = given or os.environ.get("INTERLOCK_STATE")
        if chosen:
            return cls(Path(chosen).expanduser().resolve())
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        return cls((home / "interlock" / project).resolve())

    @property
    def name(self) -> str:
        """A short name that no other state directory of this machine has."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    @property
    def runtime(self) -> Path:
        """The directory of sockets and pulses: the one that was chosen first, whatever the environment says now.

        Not XDG_RUNTIME_DIR: that is emptied when its user logs out, and what serves must outlive that.
        """
        kept = self.path / "runtime"
        if kept.is_file():
            return Path(kept.read_text().strip())
        import tempfile  # imported late: it takes longer than all the rest of looking here

        return Path(tempfile.gettempdir()) / f"interlock-{os.getuid()}" / self.name

    def make(self) -> None:
        """Create both directories, for this user only; raise StateError when they cannot be used."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            runtime = self.runtime
            runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (self.path / "runtime").is_file():
                (self.path / "runtime").write_text(f"{runtime}\n")
        except OSError as error:
            raise StateError(
                f"the state directory {self.path} cannot be used: {error.strerror} ({error.filename}). "
                "Make it writable, or name another one with --state or INTERLOCK_STATE"
            ) from error
        for directory in (runtime.parent, runtime):
            if (found := directory.lstat()).st_uid != os.getuid() or stat.S_ISLNK(found.st_mode):
                raise StateError(f"{directory} belongs to another user: remove it, or set TMPDIR")

    @property
    def label(self) -> str:
        """The beginning of the labels of every process of this project."""
        return f"interlock:{self.name}"

    @property
    def database(self) -> Path:
        """The records."""
        return self.path / "interlock.db"

    @property
    def artefacts(self) -> Path:
        """The packed artefacts, by digest."""
        return self.path / "artefacts"

    @property
    def secrets(self) -> Path:
        """The secrets' values, by keyed fingerprint; readable by this user only."""
        return self.path / "secrets"

    @property
    def envoy(self) -> Path:
        """Envoy's files."""
        return self.path / "envoy"

    @property
    def shared(self) -> tuple[Path, Path]:
        """What all projects of this user share: the files of the Envoy in front of theirs, and where its socket is.

        INTERLOCK_FRONT names another place, such as a test's own.
        """
        named = os.environ.get("INTERLOCK_FRONT")
        home = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        directory = Path(named).expanduser().resolve() if named else home.resolve() / "interlock-front"
        return directory, replace(self, path=directory).runtime

    @property
    def instances(self) -> Path:
        """The instances' records and logs."""
        return self.path / "instances"

    @property
    def plans(self) -> Path:
        """The plans that were made to be started by their hash."""
        return self.path / "plans"

    @property
    def mcp_token(self) -> Path:
        """The token with which agents come in over HTTP; readable by this user only."""
        return self.path / "mcp-token"

    @property
    def recordings(self) -> Path:
        """What the judges of the newest rollouts saw."""
        return self.path / "recordings"

    @property
    def reports(self) -> Path:
        """What is proposed beside the reports: patches that take a release back in git."""
        return self.path / "reports"

    @property
    def builds(self) -> Path:
        """What the tools said that built images; readable by this user only, without secrets."""
        return self.path / "builds"

    @property
    def keeper_log(self) -> Path:
        """What the keeper wrote."""
        return self.path / "keeper.log"

    @property
    def api_token(self) -> Path:
        """What whoever speaks to our HTTP API must show; readable by this user only."""
        return self.path / "api-token"

    @property
    def socket(self) -> Path:
        """Where the keeper answers."""
        return self.runtime / "keeper.sock"
