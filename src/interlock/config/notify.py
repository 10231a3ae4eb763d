"""What may stand under `notify` and `docs`: who is told of a deployment, and where does it enter itself?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.errors import MessageError
from email.headerregistry import Address
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from interlock.config.block import Block
from interlock.config.quantity import Name, Reference, found, reference
from interlock.core import channel
from interlock.core.channel import Apprise, Channel, DeploymentLog, Mail, Security, Webhook
from interlock.core.news import PAGED
from interlock.core.source import Source

_mail, _log = Mail((), "", ""), DeploymentLog("")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*")
_KINDS = Literal[
    "started",
    "waiting",
    "held",
    "ordered",
    "promoted",
    "flag-rolled-back",
    "turned-back",
    "rolled-back",
    "superseded",
    "succeeded",
    "failed",
    "stopped",
    "drifted",
]


def receiver(value: str) -> str:
    """Accept an address that may be written down, or a reference to one that may not."""
    if value.startswith(("env:", "file:")):
        return reference(value)
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            "expected an address that begins with https://, or a reference to one (env:NAME, file:PATH), found "
            "something else (not repeated here, in case it is a secret)"
        )
    if parts.username or parts.password or parts.query:
        raise ValueError(
            "expected an address without a user, a password or a query, found one with; keep the whole address as a "
            "secret: env:NAME or file:PATH"
        )
    return value


def mailbox(value: str) -> str:
    """Accept a bare mail address."""
    try:
        good = not any(one in value for one in "\r\n,<> ") and bool(Address(addr_spec=value).domain)
    except (MessageError, ValueError, IndexError):
        good = False
    if not good:
        raise ValueError(f"expected a mail address such as team@example.org, found {found(value)}")
    return value


def inside(value: str) -> str:
    """Accept the path of a file in a repository."""
    parts = value.split("/")
    if not value or value.startswith("/") or any(part in ("", ".", "..", ".git") for part in parts) or "," in value:
        raise ValueError(
            f'expected the path of a file in the repository such as "DEPLOYMENTS.md", found {found(value)}'
        )
    return value


def branch(value: str) -> str:
    """Accept the name of a branch or a remote, which must not be taken for an option."""
    if value and (not _BRANCH.fullmatch(value) or ".." in value or value.endswith(("/", ".lock"))):
        raise ValueError(f"expected a name such as main, found {found(value)}")
    return value


def address(value: str) -> str:
    """Accept the address of a report."""
    if value and (
        not value.startswith(("http://", "https://")) or "{run}" not in value or any(c in value for c in " |()")
    ):
        raise ValueError(
            f'expected an address with {{run}} in it such as "https://example.org/{{run}}", found {found(value)}'
        )
    return value


def served(value: str) -> str:
    """Accept where a server of ours is reached: links hold tokens, which nobody may read on the way."""
    parts = urlsplit(value)
    private = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and private)):
        raise ValueError(
            f"expected an address that begins with https:// (http:// only on this machine), found {found(value)}"
        )
    if parts.username or parts.password or parts.query or parts.fragment or any(one in value for one in ' <>"\n'):
        raise ValueError(f"expected an address without a user, a query or a fragment, found {found(value)}")
    return value


Receiver = Annotated[str, AfterValidator(receiver)]
GitName = Annotated[str, AfterValidator(branch)]
Inside = Annotated[str, AfterValidator(inside)]
ReportAddress = Annotated[str, AfterValidator(address)]
Served = Annotated[str, AfterValidator(served)]
Mailbox = Annotated[str, AfterValidator(mailbox)]


class WebhookBlock(Block):
    url: Receiver = Field(description="where to POST CloudEvents: an address, or a reference when it holds a token")
    secret: Reference | None = Field(None, description="the key of the signature, by reference; unsigned without")

    SHORT_PATTERN = "^(https?://|env:|file:)"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"url": text}


class MailBlock(Block):
    to: tuple[Mailbox, ...] = Field(strict=False, description="who gets it")
    sender: Mailbox = Field(alias="from", description="who it is from")
    server: str = Field(pattern=r"^[A-Za-z0-9._:-]+$", description="the mail server that takes it")
    port: int = Field(_mail.port, ge=1, le=65535, description="its port")
    security: Literal["tls", "starttls", "nothing"] = Field(
        _mail.security.value, description="how the way there is protected; `nothing` is for a server on this machine"
    )
    user: str = Field(_mail.user, description="who we are there; by default nobody")
    password: Reference | None = Field(None, description="the user's password, by reference")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.to:
            raise ValueError("expected at least one address in to, found an empty list")
        if bool(self.user) != bool(self.password):
            raise ValueError("expected user and password together, found one of them")
        if self.user and self.security == "nothing":
            raise ValueError("expected security: starttls (or tls) where a password is sent, found nothing")
        return self


class ChannelBlock(Block):
    name: Name = Field(description="what the channel is called; what it has been told is kept under this name")
    webhook: WebhookBlock | None = Field(None, description="signed CloudEvents by POST; a text is the address")
    apprise: Reference | None = Field(
        None,
        description="any service that Apprise knows, by its address there, which is a secret: `env:NAME`, `file:PATH`",
    )
    mail: MailBlock | None = Field(None, description="mail, one thread for each deployment")
    events: tuple[_KINDS, ...] = Field(
        (), strict=False, description="only these kinds of news, and what ends a trouble that is among them"
    )
    page: bool = Field(False, description="only what somebody must act upon: `waiting`, `failed` and `stopped`")

    KINDS: ClassVar[tuple[str, ...]] = ("webhook", "apprise", "mail")

    @model_validator(mode="after")
    def _one_choice(self) -> Self:
        if self.page and self.events:
            raise ValueError("expected page or events, found both")
        return self


class DocsBlock(Block):
    file: Inside = Field(
        _log.file, description="the file in which each deployment is entered, from the repository's top"
    )
    repository: str = Field(".", min_length=1, description="the git repository that it is in; by default the project's")
    branch: GitName = Field(_log.branch, description="on which branch; by default the one that is checked out")
    push: bool = Field(
        _log.push, description="make the entry on the remote's branch and push it there, leaving every local one alone"
    )
    remote: GitName = Field(_log.remote, description="where to push to")
    report: ReportAddress = Field(
        _log.report, description="where reports can be read, with `{run}` for the run's name; by default the command"
    )

    SHORT: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    SHORT_PATTERN = "^[^/]"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"file": text}


class LinksBlock(Block):
    url: Served = Field(description="where people reach `interlock serve`, through whatever gives it TLS")

    SHORT_PATTERN = "^https?://"

    @classmethod
    def expand(cls, text: str) -> Any:
        return {"url": text}


def channels(blocks: tuple[ChannelBlock, ...], root: Path) -> tuple[Channel, ...]:
    """Make the core's values; secrets are references still (see `channel.sealed`). `root` is where paths begin."""
    return tuple(Channel(block.name, _by(block, root), _events(block)) for block in blocks)


def deployment_log(block: DocsBlock | None, artefact: Source, root: Path) -> DeploymentLog | None:
    """Make the core's value; `artefact` says where releases come from."""
    if block is None:
        return None
    more = {name: getattr(block, name) for name in ("file", "branch", "push", "remote", "report")}
    repository = str((root / block.repository).resolve())
    return DeploymentLog(
        repository, **more, code=str(Path(artefact.repository).resolve()), directory=artefact.directory
    )


def _by(block: ChannelBlock, root: Path) -> channel.Webhook | channel.Apprise | channel.Mail:
    if block.webhook is not None:
        return webhook(block.webhook, root)
    if block.apprise is not None:
        return Apprise(absolute(block.apprise, root))
    mail = block.mail
    assert mail is not None, "one of the three is there"
    password = absolute(mail.password, root)
    return Mail(mail.to, mail.sender, mail.server, mail.port, Security(mail.security), mail.user, password)


def webhook(block: WebhookBlock, root: Path) -> channel.Webhook:
    """Make the core's value; secrets are references still."""
    secret = block.url.startswith(("env:", "file:"))
    url, key = block.url, absolute(block.secret, root)
    return Webhook("" if secret else url, absolute(url, root) if secret else "", key)


def _events(block: ChannelBlock) -> tuple[str, ...]:
    return tuple(sorted(PAGED)) if block.page else tuple(block.events)


def absolute(reference: str | None, root: Path) -> str:
    """Return a reference to a file with the whole path; "" for none."""
    kind, _, rest = (reference or "").partition(":")
    return f"file:{root / rest}" if kind == "file" else reference or ""
