"""Is a revision that has no traffic yet the release we mean, and does it do what its smoke tests ask?"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from interlock.adapters.http import HttpError, Response
from interlock.adapters.probe.network import command, grpc, http
from interlock.adapters.secrets import kept
from interlock.core.health import GRPC_HEALTH, Answer, Identify, SmokeTest
from interlock.core.release import Protocol, Revision
from interlock.core.secrecy import hidden

_IDENTIFY_WITHIN = timedelta(seconds=5)
_TAKEN_OVER = ("PATH", "HOME", "LANG", "TZ")


class NetworkProber:
    """Asks through the preview URL. Commands run in the artefact's directory below `artefacts`, when it is there.

    What was answered is quoted in reasons, but for the values of the secrets that lie in `secrets`.
    """

    def __init__(self, artefacts: Path, secrets: Path | None = None) -> None:
        self._artefacts, self._secrets = artefacts, secrets

    async def smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        """Run one smoke test; who answers is asked first, so that no old version passes for the new one."""
        return self._hidden(await self._smoke(test, revision, preview))

    async def _smoke(self, test: SmokeTest, revision: Revision, preview: str) -> Answer:
        identified = await self._identify(revision, preview)
        if not identified.ok:
            return _of(test, identified)
        if test.command:
            environment = _environment(revision, preview)
            return _of(test, await command.check(test.command, self._directory(revision), environment, test.timeout))
        if test.grpc is not None:
            return _of(test, await grpc.check(_address(preview), test.grpc, test.timeout))
        response = await _get(preview, test.path, test.timeout, test.method)
        answer = response if isinstance(response, Answer) else _judge(test, revision, response)
        if not answer.ok and revision.release.configuration.protocol is Protocol.GRPC:
            answer = Answer(False, f"{answer.reason}; a gRPC service is tested by `grpc` or by a `command`")
        return _of(test, answer)

    async def identify(self, revision: Revision, preview: str) -> Answer:
        """Compare the header or field that the file names with the version; "not asked" where it names none."""
        return self._hidden(await self._identify(revision, preview))

    async def _identify(self, revision: Revision, preview: str) -> Answer:
        where = revision.release.configuration.identify
        if where is None or not (where.header or where.field):
            return Answer(True, "not asked")
        called = revision.release.configuration.protocol is Protocol.GRPC
        path = GRPC_HEALTH if called and where.path == "/" else where.path
        response = await (_call(preview, path) if called else _get(preview, path, _IDENTIFY_WITHIN))
        if isinstance(response, Answer):
            return response
        found, expected, name = _version(response, where), revision.release.version, where.header or where.field
        what = path if called else f"GET {path}"
        if found is None:
            return Answer(False, f"{what} was answered without {name}, expected {expected}{http.said(response)}")
        if found != expected:
            return Answer(False, f"{what} was answered by version {found} ({name}), expected {expected}")
        return Answer(True)

    def _hidden(self, answer: Answer) -> Answer:
        return answer if self._secrets is None else replace(answer, reason=hidden(answer.reason, kept(self._secrets)))

    def _directory(self, revision: Revision) -> Path:
        directory = self._artefacts / revision.release.artefact.digest.rpartition(":")[2]
        return directory if directory.is_dir() else self._artefacts


def _judge(test: SmokeTest, revision: Revision, response: Response) -> Answer:
    what = f"{test.method} {test.path}"
    if response.status != test.status:
        return Answer(False, f"{what} was answered {response.status}{http.said(response)}, expected {test.status}")
    where, version = revision.release.configuration.identify, revision.release.version
    found = _version(response, where) if where and where.header else None
    if found is not None and found != version:
        return Answer(False, f"{what} was answered by version {found}, expected {version}")
    equal = http.fields_equal(response, test.fields, what)
    if not equal.ok or test.matches is None:
        return equal
    try:
        matched = re.search(test.matches, response.body.decode(errors="replace"))
    except re.error as problem:
        return Answer(False, f"the expression {test.matches!r} cannot be used: {problem}")
    return (
        Answer(True)
        if matched
        else Answer(False, f"{what}: no match of {test.matches!r} in the answer{http.said(response)}")
    )


def _version(response: Response, where: Identify) -> str | None:
    return response.header(where.header) if where.header else http.field_of(response, where.field or "")


async def _get(preview: str, path: str, timeout: timedelta, method: str = "GET") -> Response | Answer:
    """Ask below the preview URL. The names of a preview below .localhost are loopback's, resolved or not (RFC 6761)."""
    url = urlsplit(preview)
    full = url.path.rstrip("/") + "/" + path.lstrip("/")
    return await http.get(_address(preview), full, timeout, method=method, host=url.netloc)


async def _call(preview: str, method: str) -> Response | Answer:
    """Call a method of a gRPC service with an empty message; whatever comes of it, its headers say who answered."""
    try:
        return await grpc.call(_address(preview), method, b"", _IDENTIFY_WITHIN)
    except HttpError as problem:
        return Answer(False, str(problem))


def _address(preview: str) -> str:
    url = urlsplit(preview)
    name = url.hostname or ""
    return f"{'127.0.0.1' if name.endswith('.localhost') else name}:{url.port or 80}"


def _environment(revision: Revision, preview: str) -> dict[str, str]:
    return {
        **{name: os.environ[name] for name in _TAKEN_OVER if name in os.environ},
        "INTERLOCK_PREVIEW_URL": preview,
        "INTERLOCK_SERVICE": revision.release.service,
        "INTERLOCK_ENVIRONMENT": revision.environment,
        "INTERLOCK_REVISION": revision.name,
        "INTERLOCK_VERSION": revision.release.version,
    }


def _of(test: SmokeTest, answer: Answer) -> Answer:
    return answer if answer.ok else Answer(False, f"smoke test {test.name}: {answer.reason}")
