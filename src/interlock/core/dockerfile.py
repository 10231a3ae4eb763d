"""Does a text look like a Dockerfile, and which stages does it have?

Only as much is read as to tell a mistake before a build begins (docs.docker.com/reference/dockerfile).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_DIRECTIVE = re.compile(r"#\s*escape\s*=\s*(\S)", re.IGNORECASE)
_FROM = re.compile(r"FROM(?:\s+--\S+)*\s+(\S+)(?:\s+AS\s+(\S+))?\s*", re.IGNORECASE)


def stages(text: str) -> tuple[str, ...]:
    """Return the names of the stages, "" for those without; raise ValueError when it is no Dockerfile."""
    found: list[str] = []
    for line in _instructions(text):
        word = line.split(None, 1)[0].upper()
        if word == "FROM":
            match = _FROM.fullmatch(line)
            if match is None:
                raise ValueError(f'expected FROM IMAGE [AS NAME], found "{line[:60]}"')
            found.append((match[2] or "").lower())
        elif not found and word != "ARG":
            raise ValueError(f'expected FROM first (only ARG may stand before it), found "{line[:60]}"')
    if not found:
        raise ValueError("expected a FROM, found none")
    return tuple(found)


def check_target(target: str, known: tuple[str, ...]) -> None:
    """Raise ValueError when no stage is called so; a stage is named, or counted from 0."""
    if target and target.lower() not in known and not (target.isdecimal() and int(target) < len(known)):
        names = ", ".join(name for name in known if name) or "none that has a name"
        raise ValueError(f'expected the name of a stage as target, found "{target}"; there are: {names}')


def _instructions(text: str) -> Iterator[str]:
    """Yield each instruction as one line, without comments; only before the first one may a directive stand."""
    first = _DIRECTIVE.match(text.lstrip("\ufeff"))
    escape = first[1] if first else "\\"
    whole = ""
    for line in text.lstrip("\ufeff").splitlines():
        stripped = line.strip()
        if stripped.startswith("#") or not stripped:
            continue
        whole += stripped.removesuffix(escape) + (" " if stripped.endswith(escape) else "")
        if not stripped.endswith(escape):
            yield whole.strip()
            whole = ""
    if whole.strip():
        yield whole.strip()
