"""What has become of a deploy.yml so far: settings with the words above them, and what has no counterpart?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from interlock.config.kamal.source import Source


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of interlock.yaml: what is written behind its key, and what is said above it.

    What holds ERB is written as a comment: it has no value before somebody writes one.
    """

    value: Any
    said: tuple[str, ...] = ()


@dataclass(slots=True)
class Settings:
    """What one destination becomes: settings that hold for the service, and its `own`, of its environment.

    `remarks` are (why it has no counterpart, what stands where), also of what has another one than it seems.
    """

    source: Source
    common: dict[str, Setting] = field(default_factory=dict)
    own: dict[str, Setting] = field(default_factory=dict)
    remarks: list[tuple[str, str]] = field(default_factory=list)

    def remark(self, *loc: str | int, why: str) -> None:
        """Say why what stands there, as far as nobody took it, is not carried over, value by value."""
        for leaf in self.source.leaves(*loc):
            value = "" if leaf.value in (None, [], {}) else f": {leaf.shown}"
            self.remarks.append((why, f"{leaf.name}{value} ({leaf.file}:{leaf.line})"))

    def from_(self, *loc: str | int, note: str = "") -> str:
        """Say where a setting comes from."""
        name = ".".join(str(part) for part in loc)
        return f"Kamal's {name} ({self.source.line(*loc)}){': ' + note if note else ''}"
