"""What was asked for on the command line, and with what is it answered?"""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # rich and the file's reader are imported by the commands that need them only
    from rich.console import Console

    from interlock.app.state import StateDirectory
    from interlock.app.verbs import App
    from interlock.config import File


class Call:
    """One command: its options, the project that it is about, and where its answer goes.

    `words` are the command line that was read. `goes_on` is what is said when the command is interrupted: what it began
    goes on without it.
    """

    def __init__(self, options: Namespace, words: Sequence[str] = ()) -> None:
        self.options, self.words = options, words
        self.goes_on = "interrupted: nothing was changed"

    @cached_property
    def state(self) -> StateDirectory:
        """The project's state directory, which need not exist. Raises FileError when no project is found."""
        from interlock.app.project import state_of

        return state_of(self.options.state, self.options.file, Path.cwd())

    @cached_property
    def app(self) -> App:
        """The verbs over the state directory."""
        from interlock.app.verbs import App

        return App(self.state)

    @cached_property
    def file(self) -> File:
        """The content of interlock.yaml; raises FileError with everything that is wrong in it."""
        from interlock.app.project import file_of
        from interlock.config import load

        return load(file_of(self.options.file, Path.cwd()))

    @property
    def json(self) -> bool:
        """Whether a program reads the answer."""
        return getattr(self.options, "output", "text") == "json"

    @cached_property
    def live(self) -> bool:
        """Whether the answer may be redrawn: a terminal reads it."""
        return sys.stdout.isatty() and not self.json and os.environ.get("TERM") != "dumb"

    @cached_property
    def console(self) -> Console:
        """Where pictures go: in colour on a terminal, unless that is not wanted."""
        from rich.console import Console

        plain = self.options.no_color or bool(os.environ.get("NO_COLOR"))
        return Console(no_color=plain, highlight=False, emoji=False, markup=False, soft_wrap=False)

    def say(self, text: str) -> None:
        """Write a line for people, at once; nothing when a program reads."""
        if not self.json:
            print(text, flush=True)

    def document(self, document: Mapping[str, Any], *, line: bool = False) -> None:
        """Write a document for programs: indented when it is the only one, else one a line."""
        text = json.dumps(_finite(document), ensure_ascii=False, allow_nan=False, indent=None if line else 2)
        print(text, flush=True)

    def warn(self, text: str) -> None:
        """Write a line beside the answer."""
        print(text, file=sys.stderr, flush=True)


def _finite(value: Any) -> Any:
    """Replace what JSON has no number for: the p99 beyond a histogram's last edge."""
    match value:
        case float():
            return value if isfinite(value) else None
        case Mapping():
            return {name: _finite(item) for name, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
    return value
