"""Which files of a build's context does its .dockerignore leave out?

As Docker has it (docs.docker.com/build/concepts/context, moby/patternmatcher): a pattern is rooted in the context, `*`
and `?` match no slash, `**` matches any number of directories, `!` takes back in, the last that matches wins, and what
matches a directory matches all in it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator


def ignoring(text: str) -> Callable[[str], bool]:
    """Return whether a path in the context, with slashes, is left out."""
    patterns = tuple(_patterns(text))

    def ignored(path: str) -> bool:
        found = False
        for pattern, takes_in in patterns:
            if pattern.fullmatch(path):
                found = not takes_in
        return found

    return ignored


def _patterns(text: str) -> Iterator[tuple[re.Pattern[str], bool]]:
    for line in text.lstrip("\ufeff").splitlines():
        if line.startswith("#") or not (written := line.strip()):
            continue
        takes_in = written.startswith("!")
        pattern = posixpath.normpath(written.removeprefix("!").strip()).lstrip("/")
        if pattern and pattern != ".":
            yield re.compile(f"{_expression(pattern)}(?:/.*)?", re.DOTALL), takes_in


def _expression(pattern: str) -> str:
    parts, at = [], 0
    while at < len(pattern):
        if pattern.startswith("**/", at):
            parts.append("(?:.*/)?")
            at += 3
        elif pattern.startswith("**", at):
            parts.append(".*")
            at += 2
        elif (end := pattern.find("]", at + 2)) > 0 and pattern[at] == "[":
            inner = pattern[at + 1 : end].replace("\\", "\\\\")
            parts.append(f"[{inner}]")
            at = end + 1
        elif pattern[at] == "\\" and at + 1 < len(pattern):
            parts.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            parts.append({"*": "[^/]*", "?": "[^/]"}.get(pattern[at], re.escape(pattern[at])))
            at += 1
    return "".join(parts)
