"""How is one registry asked over HTTPS: who are we, where does it answer, and how much do we read of it?

Plain HTTP is spoken on loopback, and elsewhere only where it was said that it may be and no TLS is spoken; a
certificate that is not trusted is never a reason for it. A redirect gets neither password nor token.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode, urljoin, urlsplit

from interlock.adapters.registry.v2.challenge import Challenge, challenges
from interlock.core.image import DOCKER_HUB, Access
from interlock.ports.images import Credential, ImageError

if TYPE_CHECKING:  # imported late: who only wants to know who has logged in need not wait for it
    import httpx2

LARGEST = 4 * 1024 * 1024
"""So many bytes of a manifest at most, as the distribution specification has it."""

_HUB_HOST = "registry-1.docker.io"
_REDIRECTS = 4
_PROBE = timedelta(seconds=5)
_CLIENT = "interlock"


@dataclass(frozen=True, slots=True)
class Answer:
    """One complete answer; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def says(self) -> str:
        """Return what the registry says is wrong, in its own words where it has some (distribution spec, errors)."""
        try:
            errors = json.loads(self.body)["errors"]
            said = "; ".join(f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors)
        except (ValueError, KeyError, TypeError, AttributeError):
            return ""
        return "".join(c for c in said[:300] if c.isprintable())


class Transport:
    """Asks one registry as somebody; finds out on the first question how it wants to be spoken to."""

    def __init__(self, registry: str, access: Access, credential: Credential | None, within: timedelta) -> None:
        self.registry = registry
        self._access, self._credential, self._within = access, credential, within
        self._host = _HUB_HOST if registry == DOCKER_HUB else registry
        self._base = ""
        self._basic = False
        self._tokens: dict[str, str] = {}

    @property
    def loopback(self) -> bool:
        """Whether the registry is on this machine."""
        return _is_loopback(urlsplit(f"//{self._host}").hostname or "")

    @property
    def by_token(self) -> bool:
        """Whether somebody has told the registry who we are: then it is not the password that it does not like."""
        return bool(self._tokens)

    async def base(self) -> str:
        """Return where the API is; raise ImageError when there is no registry that may be spoken to."""
        if not self._base:
            self._base = await self._find()
        return self._base

    async def ask(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        largest: int = LARGEST,
    ) -> Answer:
        """Ask under /v2/, as ourselves where that is wanted; `scope` is what a token must be good for."""
        url = f"{await self.base()}/v2/{path}"
        sent = {**(headers or {}), **await self._known(scope)}
        answer = await self._follow(method, url, sent, body, largest)
        if answer.status != 401:
            return answer
        proven = await self._prove(answer, scope)
        return await self._follow(method, url, {**(headers or {}), **proven}, body, largest)

    async def _find(self) -> str:
        """Try what may be spoken there, one after the other; what the first one was refused with is what is told."""
        first: ImageError | None = None
        for scheme in (ways := self._ways()):
            try:
                return await self._found(scheme, self._within if len(ways) == 1 else min(self._within, _PROBE))
            except _Final:
                raise
            except ImageError as error:
                first = first or error
        assert first is not None
        raise first

    def _ways(self) -> tuple[str, ...]:
        if self.loopback and not self._access.ca:
            return ("http", "https")
        return ("https", "http") if self._access.insecure else ("https",)

    async def _found(self, scheme: str, within: timedelta) -> str:
        """Return where the API is, when what answers there is a registry (distribution spec, determining support)."""
        base = f"{scheme}://{self._host}"
        answer = await self._send("GET", f"{base}/v2/", {}, None, LARGEST, within)
        if answer.status == 401 and "www-authenticate" in answer.headers:
            return base
        if answer.status == 200 and "html" not in answer.headers.get("content-type", ""):
            return base
        if answer.status == 429 or answer.status >= 500:
            raise _Final(f"the registry {self.registry} answered {answer.status}: try again later{_why(answer)}")
        other = answer.status == 400  # what a server says to whoever speaks plainly where TLS is spoken
        raise (ImageError if other else _Final)(
            f"{self.registry} is not a registry: {base}/v2/ answered {answer.status} and nothing that a registry says. "
            "Is its name right, with its port?"
        )

    async def _known(self, scope: str) -> dict[str, str]:
        if self._basic:
            return self._as_ourselves()
        return {"Authorization": f"Bearer {self._tokens[scope]}"} if scope in self._tokens else {}

    async def _prove(self, answer: Answer, scope: str) -> dict[str, str]:
        asked = {one.scheme: one for one in challenges(answer.headers.get("www-authenticate", ""))}
        if "bearer" in asked:
            self._tokens[scope] = await self._token(asked["bearer"], scope)
            return {"Authorization": f"Bearer {self._tokens[scope]}"}
        if "basic" in asked:
            if self._credential is None or not self._credential.user:
                raise ImageError(
                    f"the registry {self.registry} wants to know who asks{_why(answer)}: log in to it (docker login, "
                    "podman login), or name user and password under image.registry"
                )
            self._basic = True
            return self._as_ourselves()
        raise ImageError(f"the registry {self.registry} wants to know who asks, in no way that we can{_why(answer)}")

    def _as_ourselves(self) -> dict[str, str]:
        assert self._credential is not None
        both = f"{self._credential.user}:{self._credential.password}".encode()
        return {"Authorization": f"Basic {base64.b64encode(both).decode()}"}

    async def _token(self, asked: Challenge, scope: str) -> str:
        """Get a token as the distribution project's token specification says, by OAuth 2 where we have a token."""
        realm = asked.parameters.get("realm", "")
        self._may_be_told(realm)
        question = {"service": asked.parameters.get("service", ""), "scope": scope}
        credential = self._credential
        if credential is not None and credential.token:
            form = {**question, "grant_type": "refresh_token", "refresh_token": credential.token, "client_id": _CLIENT}
            content = urlencode(form).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            answer = await self._send("POST", realm, kind, content, LARGEST)
        else:
            known = self._as_ourselves() if credential is not None and credential.user else {}
            account = {"account": credential.user} if credential is not None and credential.user else {}
            url = f"{realm}{'&' if '?' in realm else '?'}{urlencode({**question, **account})}"
            answer = await self._send("GET", url, known, None, LARGEST)
        return self._given(answer, realm)

    def _may_be_told(self, realm: str) -> None:
        parts = urlsplit(realm)
        plain = parts.scheme == "http" and (self._access.insecure or _is_loopback(parts.hostname or ""))
        if parts.scheme != "https" and not plain:
            raise ImageError(
                f"the registry {self.registry} sends us to {parts.scheme or 'nowhere'}://{parts.hostname or ''}, where "
                "all could be read on the way; expected https"
            )

    def _given(self, answer: Answer, realm: str) -> str:
        where = urlsplit(realm).netloc.rpartition("@")[2]
        if answer.status in (400, 401, 403):
            who = f"as {self._credential.user or 'the owner of a token'}" if self._credential else "to anybody"
            raise ImageError(
                f"{where} gives no token for {self.registry} {who} ({answer.status}){_why(answer)}: are user and "
                "password right? Log in again, or look at image.registry"
            )
        try:
            record = json.loads(answer.body)
            token = record.get("token") or record.get("access_token")
        except (ValueError, AttributeError):
            token = None
        if answer.status != 200 or not isinstance(token, str) or not token:
            raise ImageError(f"{where} answered {answer.status} and gave no token for {self.registry}")
        return token

    async def _follow(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, largest: int
    ) -> Answer:
        """Send, and follow where content is kept elsewhere; there we are nobody."""
        sent = dict(headers)
        for _ in range(_REDIRECTS):
            answer = await self._send(method, url, sent, body, largest)
            place = answer.headers.get("location", "")
            if answer.status not in (301, 302, 303, 307, 308) or method not in ("GET", "HEAD") or not place:
                return answer
            target = urljoin(url, place)
            self._may_be_told(target)
            if urlsplit(target).netloc != urlsplit(url).netloc:
                sent.pop("Authorization", None)
            url = target
        raise ImageError(f"the registry {self.registry} sends us from one place to another without end")

    async def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None,
        largest: int,
        within: timedelta | None = None,
    ) -> Answer:
        import httpx2

        seconds = (within or self._within).total_seconds()
        where = urlsplit(url).netloc.rpartition("@")[2]
        try:
            async with (
                asyncio.timeout(seconds),
                httpx2.AsyncClient(
                    timeout=seconds, follow_redirects=False, verify=self._context(), trust_env=not self.loopback
                ) as client,
                client.stream(method, url, headers={**headers, "User-Agent": _CLIENT}, content=body) as response,
            ):
                read = bytearray()
                async for chunk in response.aiter_bytes():
                    read += chunk
                    if len(read) > (most := largest if response.is_success else LARGEST):
                        raise ImageError(f"{where} answered with more than the {most} bytes expected")
                found = {name.lower(): value for name, value in response.headers.items()}
                return Answer(response.status_code, found, bytes(read))
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise ImageError(f"the registry {where} gave no complete answer within {seconds:g} s") from error
        except httpx2.ConnectError as error:
            raise self._unreached(where, error) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            raise ImageError(f"the registry {where} cannot be asked: {_plainly(error)}") from error
        except UnicodeEncodeError:  # which quotes all that was to be sent
            raise ImageError(f"the registry {where} was not asked: a sign in user or password cannot be sent") from None

    def _unreached(self, where: str, error: httpx2.ConnectError) -> ImageError:
        if cause := _caused(error, ssl.SSLCertVerificationError):
            return _Final(
                f"the certificate of the registry {where} is not trusted: {cause.verify_message}. If it is signed by "
                "a CA of your own, name that one's file: image.registry.ca"
            )
        hint = ""
        if _caused(error, ssl.SSLError) and not self._access.insecure:
            hint = ". If it speaks plain HTTP only, and that is meant, say `insecure: true` under image.registry"
        return ImageError(f"the registry {where} cannot be reached: {_plainly(error)}{hint}")

    def _context(self) -> ssl.SSLContext:
        ca = self._access.ca
        try:
            return _trusted(ca, Path(ca).stat().st_mtime_ns if ca else 0)
        except (OSError, ssl.SSLError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError) else "no certificates in PEM"
            raise ImageError(f"{ca}, which image.registry.ca names: {why}") from error


@lru_cache(maxsize=8)
def _trusted(ca: str, _: int) -> ssl.SSLContext:
    """Return whom we trust, read once for each CA and time of its file: that takes 30 ms of a core."""
    import httpx2

    context = httpx2.create_ssl_context()
    if ca:
        context.load_verify_locations(cafile=ca)
    return context


E = TypeVar("E", bound=BaseException)


class _Final(ImageError):
    """Speaking in another way would change nothing; and a certificate that is not trusted is no reason to do so."""


def _caused(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None:
        if isinstance(error, kind):
            return error
        error = error.__cause__ or error.__context__
    return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _why(answer: Answer) -> str:
    said = answer.says()
    return f" ({said})" if said else ""


def _plainly(error: Exception) -> str:
    """Say what went wrong without what was asked: a request that is no HTTP is quoted by its error."""
    quotes = isinstance(error, ValueError) or type(error).__name__ == "LocalProtocolError"
    return type(error).__name__ if quotes else (str(error).split(" for url ")[0] or type(error).__name__)
