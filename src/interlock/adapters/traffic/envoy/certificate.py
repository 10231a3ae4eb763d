"""Is this certificate one that users will take, with this key, for these names? Asked before Envoy is given it.

A handshake with ourselves, in memory, is what asks: OpenSSL reads both files, compares the key, checks the dates and
the names as a browser does, and only the signature of an authority is left to the browser.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from interlock.core.release import Tls
from interlock.ports.traffic import TrafficError

_ROUNDS = 8


@dataclass(frozen=True, slots=True)
class Certificate:
    """A pair of files that go together: their texts, until when they hold, and the certificate itself (DER)."""

    certificate: str
    key: str
    until: datetime
    der: bytes


def examine(tls: Tls, names: tuple[str, ...]) -> Certificate:
    """Read both files; raise TrafficError with what is wrong and which file it is. Nothing of the key is told."""
    certificate, key = _text(tls.certificate), _text(tls.key)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        server.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except (ssl.SSLError, OSError, ValueError) as problem:
        raise TrafficError(f"{tls.certificate} and {tls.key} cannot be used: {_why(problem)}") from problem
    first = certificate[certificate.index("-----BEGIN CERTIFICATE-----") :].split("-----END CERTIFICATE-----")[0]
    pem = f"{first}-----END CERTIFICATE-----\n"
    until = _until(server, pem, tls, names)
    return Certificate(certificate, key, until, ssl.PEM_cert_to_DER_cert(pem))


def _until(server: ssl.SSLContext, pem: str, tls: Tls, names: tuple[str, ...]) -> datetime:
    until = None
    for name in names or ("",):
        asked = name.replace("*", "any", 1)
        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = bool(asked)
        client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            client.load_verify_locations(cadata=pem)
            until = _shake_hands(server, client, asked)
        except ssl.SSLError as problem:
            which = f" for {name}" if name else ""
            raise TrafficError(f"{tls.certificate} cannot be used{which}: {_why(problem)}") from problem
    assert until is not None, "there is at least one name, or none in particular"
    return until


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> datetime:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    ours = client.wrap_bio(to_client, to_server, server_hostname=name or None)
    for _ in range(_ROUNDS):
        done = [_step(side) for side in (ours, theirs)]
        if all(done):
            break
    seconds = ssl.cert_time_to_seconds(str((ours.getpeercert() or {})["notAfter"]))
    return datetime.fromtimestamp(seconds, UTC)


def _step(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _text(path: str) -> str:
    try:
        text = Path(path).read_text(encoding="ascii", errors="replace")
    except OSError as problem:
        raise TrafficError(f"{path} cannot be read: {problem.strerror}; may this user read it?") from problem
    if "-----BEGIN " not in text:
        raise TrafficError(f"{path}: expected PEM (-----BEGIN …), found something else")
    return text


def _why(problem: Exception) -> str:
    if isinstance(problem, ssl.SSLCertVerificationError):
        return problem.verify_message
    if isinstance(problem, ssl.SSLError) and problem.reason == "KEY_VALUES_MISMATCH":
        return "the key is not the one of this certificate"
    if isinstance(problem, ssl.SSLError):
        return str(problem.reason or problem).replace("_", " ").lower()
    return str(problem)


def _no_passphrase() -> str:
    raise ValueError("the key has a passphrase, and nobody is there to type it: store it without one")
