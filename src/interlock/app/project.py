"""Which project is meant, and where is its state?

Looking must not cost the reading of the whole file: the name of the service is all that is needed, and it is read from
its line. What is written in another way than plainly is left to the real reader.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from interlock.app.state import StateDirectory

_FILE = "interlock.yaml"
_SERVICE = re.compile(r"""^service:[ ]+(["']?)([a-z][a-z0-9-]{0,39})\1[ \t]*(?:#.*)?$""", re.MULTILINE)


def file_of(given: str | None, start: Path) -> Path:
    """Return the file given (or the one in the directory given), else the nearest one from `start` upwards.

    Raises FileError when there is none.
    """
    if given is not None:
        path = Path(given).expanduser().absolute()
        return path / _FILE if path.is_dir() else path
    start = start.absolute()
    for directory in (start, *start.parents):
        if (directory / _FILE).is_file():
            return directory / _FILE
    from interlock.config import find  # imported late: it says in its own words what is missing

    return find(start)


def service_of(path: Path) -> str:
    """Return the name of the service in the file; raises FileError when it cannot be read."""
    try:
        plain = _SERVICE.findall(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        plain = []
    if len(plain) == 1:
        return str(plain[0][1])
    from interlock.config import load  # imported late: it takes longer than all the rest of looking

    return load(path).service


def state_of(given: str | None, file: str | None, start: Path) -> StateDirectory:
    """Return the state directory that is named, else the one of the project of the file."""
    if given or os.environ.get("INTERLOCK_STATE"):
        return StateDirectory.of("", given)
    return StateDirectory.of(service_of(file_of(file, start)))
