"""How does a registry want to be told who asks? (RFC 9110, 11.6.1; distribution spec, token authentication)"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*({_NAME})(?:\s+|$)")
_PARAMETER = re.compile(rf'\s*({_NAME})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_NAME}))\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to say who we are: `scheme` in lower case, parameters by names in lower case."""

    scheme: str
    parameters: Mapping[str, str]


def challenges(header: str) -> tuple[Challenge, ...]:
    """Read a WWW-Authenticate header, in which several may stand; what cannot be read ends it."""
    found: list[Challenge] = []
    at = 0
    while match := _SCHEME.match(header, at):
        at, parameters = match.end(), {}
        while parameter := _PARAMETER.match(header, at):
            quoted = parameter[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3]
            parameters[parameter[1].lower()] = value
            at = parameter.end()
        found.append(Challenge(match[1].lower(), parameters))
    return tuple(found)
