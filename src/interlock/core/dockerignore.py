"""Which files of a build's context does its .dockerignore leave out?

As Docker has it (docs.docker.com/build/concepts/context, moby/patternmatcher): a pattern is rooted in the context, `*`
and `?` match no slash, `**` matches any number of directories, `!` takes back in, the last that matches wins, and what
matches a directory matches all in it.
"""

from __future__ import annotations

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
        pattern = _normal(written.removeprefix("!").strip())
        if pattern:
            yield re.compile(f"{_expression(pattern)}(?:/.*)?", re.DOTALL), takes_in


def _normal(path: str) -> str:
    """Return the path as seen from the context's root, without what leads nowhere: `.`, `..` and double slashes."""
    parts: list[str] = []
    for part in path.split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", ".") and not (part == ".." and path.startswith("/")):
            parts.append(part)
    return "/".join(parts)


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
