"""Which values must nobody see, in whatever a program of ours or of the user's writes?"""

from __future__ import annotations

import os
from pathlib import Path

KEY = "key"
"""The file beside the values by which they are named: it is no text, and no program is given it."""


def kept(directory: Path) -> tuple[str, ...]:
    """Return every secret's value in the directory, whichever revision uses it; those that cannot be read are not."""
    found = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name == KEY or path.name.startswith("."):
            continue
        try:
            found.append(os.fsdecode(path.read_bytes()))
        except OSError:  # it is being removed, or is no file
            continue
    return tuple(found)
