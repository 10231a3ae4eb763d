"""Of what is an artefact made?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Source:
    """The files that become an artefact, and how they are built.

    `root` is the absolute path of the project's directory (the one of interlock.yaml), `directory` the part of it that
    is packed, as a relative path with slashes. Git refs are those of `repository`, an absolute path. `build` is an argv
    run in a copy of the files before they are packed, for at most `build_within`. Of what is there then, the files that
    match `include` (all, when it is empty) and none of `exclude` are packed.
    """

    root: str
    directory: str = "."
    repository: str = ""
    build: tuple[str, ...] = ()
    build_within: timedelta = timedelta(minutes=10)
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
