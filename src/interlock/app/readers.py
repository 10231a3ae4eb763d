"""Who is told of a plan's rollouts, and can they be told at all?"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

from interlock.adapters.docs.repository import RepositoryDocs
from interlock.adapters.notify.library import AppriseOutlet, MailOutlet, Server
from interlock.adapters.notify.library.apprise import MISSING, installed, understood
from interlock.adapters.notify.webhook import WebhookOutlet, key_of
from interlock.adapters.secrets import kept
from interlock.app.duty import ChannelError, duty
from interlock.app.outside import surroundings
from interlock.app.state import StateDirectory
from interlock.core.channel import Apprise, Channel, Mail, Webhook, references, sealed
from interlock.core.plan import Plan
from interlock.core.secrecy import hidden
from interlock.engine.courier import Reader
from interlock.engine.hooks import tellers
from interlock.engine.readers import Chronicle, Post
from interlock.ports.clock import Clock
from interlock.ports.notify import Outlet, Undelivered
from interlock.ports.store import Store

__all__ = ["ChannelError", "readers", "settled"]


def readers(state: StateDirectory, store: Store, clock: Clock, plan: Plan) -> tuple[Reader, ...]:
    """Make those whom a plan names."""

    def hide(text: str) -> str:
        return hidden(text, kept(state.secrets))

    posts = [
        Post(f"notify:{one.name}", _outlet(one, state.secrets, clock), one.events, hide, store) for one in plan.channels
    ]
    told = tellers(plan, surroundings(state).hooks, store, clock, hide) if any(one.hooks for one in plan.stages) else ()
    on_call = duty(state, store, clock, plan, hide, lambda channel: _outlet(channel, state.secrets, clock))
    if plan.log is None:
        return (*posts, *told, *on_call)
    return (*posts, *told, *on_call, Chronicle(plan.log, RepositoryDocs(plan.log, state.reports), hide, store))


def settled(channels: Iterable[Channel], fingerprints: Mapping[str, str], secrets: Path) -> tuple[Channel, ...]:
    """Return the channels of the file as a plan has them; raise ChannelError for one that cannot be used here."""
    found = tuple(sealed(channel, fingerprints) for channel in channels)
    for before, channel in zip(channels, found, strict=True):
        _check(channel, next(references(before), ""), secrets)
    return found


def _check(channel: Channel, reference: str, secrets: Path) -> None:
    match channel.by:
        case Apprise(url_secret=name):
            if not installed():
                raise ChannelError(f"notify {channel.name}: {MISSING}, or take the channel out of the file")
            if not understood(_read(channel, secrets, name)):
                raise ChannelError(f"notify {channel.name}: {reference} holds no address that Apprise knows")
        case Webhook(url_secret=name) if name:
            if not _read(channel, secrets, name).startswith(("http://", "https://")):
                raise ChannelError(f"notify {channel.name}: {reference} holds no address that begins with https://")


def _outlet(channel: Channel, secrets: Path, clock: Clock) -> Outlet:
    read: Callable[[str], str] = partial(_read, channel, secrets)
    match channel.by:
        case Webhook(url=url, url_secret=address, key_secret=key):
            return WebhookOutlet(
                clock, lambda: read(address) if address else url, lambda: key_of(read(key)) if key else None
            )
        case Apprise(url_secret=address):
            return AppriseOutlet(lambda: read(address))
        case Mail() as mail:
            server = Server(mail.server, mail.port, mail.security.value, mail.user)
            return MailOutlet(server, mail.sender, mail.to, lambda: read(mail.password_secret))


def _read(channel: Channel, secrets: Path, name: str) -> str:
    """Return a secret's value, as it was when the channel was last planned with."""
    try:
        return (secrets / name).read_text().strip()
    except OSError as error:
        raise Undelivered(
            f"notify {channel.name}: its secret cannot be read ({error.strerror}): deploy again to keep it anew"
        ) from None
