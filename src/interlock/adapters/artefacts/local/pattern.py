"""Which files does a pattern of `include` or `exclude` mean?

As in .gitignore: a pattern without a slash (but for one at its end) matches at any depth, others from the top; one that
ends with a slash matches directories only; what matches a directory matches all in it. There is no negation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[!^]?\]?[^\]/]*\]|.", re.DOTALL)


def chooser(include: Sequence[str], exclude: Sequence[str]) -> Callable[[str], bool]:
    """Return the function that says of a relative path whether it is packed."""
    wanted, unwanted = [_compiled(p) for p in include], [_compiled(p) for p in exclude]

    def chosen(path: str) -> bool:
        included = not wanted or any(pattern.fullmatch(path) for pattern in wanted)
        return included and not any(pattern.fullmatch(path) for pattern in unwanted)

    return chosen


def _compiled(pattern: str) -> re.Pattern[str]:
    body = pattern.removesuffix("/").removeprefix("/")
    anywhere = "" if "/" in pattern.removesuffix("/") else "(?:.*/)?"
    inside = "/.*" if pattern.endswith("/") else "(?:/.*)?"
    return re.compile(anywhere + "".join(map(_token, _TOKEN.findall(body))) + inside, re.DOTALL)


def _token(text: str) -> str:
    match text:
        case "**/":
            return "(?:.*/)?"
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
    if text.startswith("[") and len(text) > 2:
        inner = text[1:-1].replace("\\", "\\\\")
        return f"[^/{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
    return re.escape(text)
