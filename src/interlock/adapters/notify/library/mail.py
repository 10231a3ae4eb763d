"""How does a deployment become one thread of mail?

Each message has an id of its own that is always the same, and refers to the deployment's first one. SMTP has no way to
take a message back, so a connection that is lost between the last byte and the server's answer sends it again, under
the same id: most stores show it once. Who was refused for now while others took it gets it alone, later.
"""

from __future__ import annotations

import logging
import smtplib
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Any

from interlock.adapters.child import NotNow, Unusable, main
from interlock.adapters.notify.library.post import send
from interlock.ports.notify import Letter, Undelivered

WITHIN = timedelta(seconds=45)
_EACH = 20.0
_FOR_GOOD = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server. `security` is "tls", "starttls" or "nothing"."""

    name: str
    port: int
    security: str
    user: str = ""


class MailOutlet:
    """Mail to some people. `password` is asked for at each message."""

    def __init__(
        self,
        server: Server,
        sender: str,
        to: Sequence[str],
        password: Callable[[], str],
        *,
        within: timedelta = WITHIN,
    ) -> None:
        self._server, self._sender, self._to = server, sender, tuple(to)
        self._password, self._within = password, within
        self._left: dict[str, tuple[str, ...]] = {}

    async def send(self, letter: Letter) -> None:
        server = self._server
        task = {
            "server": server.name,
            "port": server.port,
            "security": server.security,
            "user": server.user,
            "password": self._password() if server.user else "",
            "sender": self._sender,
            "to": list(self._left.get(letter.key, self._to)),
            "message": message(letter, self._sender, self._to).as_string(policy=SMTP),
        }
        self._note(letter, await send("mail", task, self._within))

    def _note(self, letter: Letter, refused: Mapping[str, int]) -> None:
        """Keep whom it is to be sent to again, where the server took it for others; for good is for good."""
        where = f"{self._server.name}:{self._server.port}"
        self._left.pop(letter.key, None)
        if never := [who for who, code in refused.items() if code >= _FOR_GOOD]:
            log.warning("%s took %s, but not for %s, who are not told", where, letter.key, ", ".join(never))
        if later := tuple(who for who, code in refused.items() if code < _FOR_GOOD):
            self._left[letter.key] = later
            raise Undelivered(f"{where} refused {', '.join(later)} for now; others have it")


def message(letter: Letter, sender: str, to: Sequence[str]) -> EmailMessage:
    """Write the message: all of one deployment have the same subject, by which some programs thread them."""
    domain = Address(addr_spec=sender).domain or "interlock.invalid"
    root = f"<{letter.thread}@{domain}>"
    mail = EmailMessage()
    mail["From"], mail["To"] = sender, ", ".join(to)
    mail["Subject"] = _one_line(letter.subject if letter.first else f"Re: {letter.subject}")
    mail["Date"] = letter.at
    mail["Message-ID"] = root if letter.first else f"<{letter.key}@{domain}>"
    if not letter.first:
        mail["In-Reply-To"] = mail["References"] = root
    mail["Auto-Submitted"] = "auto-generated"
    mail["Interlock-Key"] = letter.key
    mail.set_content(f"{letter.title}\n\n{letter.text}")
    return mail


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _work(task: Mapping[str, Any]) -> dict[str, int]:
    """Send it; return who was refused while others were not, with the server's code."""
    where = f"{task['server']}:{task['port']}"
    try:
        with _connected(task) as server:
            if task["user"]:
                server.login(task["user"], task["password"])
            refused = server.sendmail(task["sender"], task["to"], task["message"].encode())
            return {who: code for who, (code, _) in refused.items()}
    except smtplib.SMTPAuthenticationError as error:
        raise NotNow(f"{where} refused the user {task['user']} ({error.smtp_code}): is the password right?") from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = sorted({code for code, _ in error.recipients.values()})
        raise _refusal(where, codes[-1], "the recipients") from None
    except smtplib.SMTPSenderRefused as error:
        raise _refusal(where, error.smtp_code, f"the sender {task['sender']}") from None
    except smtplib.SMTPDataError as error:
        raise _refusal(where, error.smtp_code, "the message") from None
    except (smtplib.SMTPException, OSError) as error:
        raise NotNow(f"{where}: {type(error).__name__}: {_without(str(error), task['password'])}") from None


def _connected(task: Mapping[str, Any]) -> smtplib.SMTP:
    if task["security"] == "tls":
        return smtplib.SMTP_SSL(task["server"], task["port"], timeout=_EACH, context=ssl.create_default_context())
    server = smtplib.SMTP(task["server"], task["port"], timeout=_EACH)
    if task["security"] == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server


def _refusal(where: str, code: int, what: str) -> NotNow | Unusable:
    """A 5xx about the message itself is for good; about people or sender it may be mended in the server."""
    text = f"{where} refused {what} ({code})"
    return Unusable(text) if code >= 500 and what == "the message" else NotNow(text)


def _without(text: str, secret: str) -> str:
    return text.replace(secret, "•••") if secret else text


if __name__ == "__main__":
    sys.exit(main(_work, quotes=False))
