"""Whom does a deployment tell what it does, and where does it enter itself?

In the file a secret is a reference (``env:NAME``, ``file:PATH``), in a plan the keyed fingerprint of its value: the
same fields hold first the one, then the other (see `sealed`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Any


class Security(StrEnum):
    """How the way to a mail server is protected: from the first byte, after STARTTLS, or not at all."""

    TLS = "tls"
    STARTTLS = "starttls"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Signed CloudEvents by POST to `url`, or to the address that the secret `url_secret` holds."""

    url: str = ""
    url_secret: str = ""
    key_secret: str = ""


@dataclass(frozen=True, slots=True)
class Apprise:
    """Whatever service the secret `url_secret` names in Apprise's notation: Slack, Teams, ntfy and many more."""

    url_secret: str


@dataclass(frozen=True, slots=True)
class Mail:
    """Mail by SMTP, one thread for each deployment."""

    to: tuple[str, ...]
    sender: str
    server: str
    port: int = 587
    security: Security = Security.STARTTLS
    user: str = ""
    password_secret: str = ""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to people, under a name of its own. `events` are the kinds of news that it gets; all when empty."""

    name: str
    by: Webhook | Apprise | Mail
    events: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DeploymentLog:
    """The file of a git repository in which each deployment is entered.

    `repository` is an absolute path, `file` is relative to its top. Without a `branch` it is the one checked out. With
    `push` the entry is made on the remote's branch and goes there; otherwise on the local one. `report` is an address
    with ``{run}`` in it. `code` and `directory` say where releases come from: there a revert is proposed.
    """

    repository: str
    file: str = "DEPLOYMENTS.md"
    branch: str = ""
    push: bool = False
    remote: str = "origin"
    report: str = ""
    code: str = ""
    directory: str = "."


def references(channel: Channel) -> Iterator[str]:
    """Yield the secrets that a channel needs, as it names them."""
    for name in _secret(channel):
        if reference := getattr(channel.by, name):
            yield reference


def sealed(channel: Channel, fingerprints: Mapping[str, str]) -> Channel:
    """Name each secret by its fingerprint in place of its reference; raise KeyError for one that has none."""
    named = {name: fingerprints[value] for name in _secret(channel) if (value := getattr(channel.by, name))}
    by: Any = channel.by
    return replace(channel, by=replace(by, **named))


def _secret(channel: Channel) -> list[str]:
    return [field.name for field in fields(channel.by) if field.name.endswith("_secret")]
