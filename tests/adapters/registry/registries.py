"""Real registries of a test's own on 127.0.0.1: open, with passwords, with TLS by a CA of their own, or with tokens."""

from __future__ import annotations

import base64
import http.client
import json
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from tests.adapters.served import Reply, Request, Served, served
from tests.engines import needed

from interlock.core.image import Image
from interlock.core.manifest import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, digest_of

USER, PASSWORD = "ci", "pa55-for-the-registry"
# bcrypt of the password, at the least cost: nothing else is read by this registry
HTPASSWD = f"{USER}:$2y$05$abcdefghijklmnopqrstuuBziFk64vM9ZqXzaVCtJ6xMPdM.wOERS\n"
DEADLINE = 30.0
CONFIG = "application/vnd.oci.image.config.v1+json"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Docked:
    """A registry that runs; `ca` is the file of its CA where it speaks TLS."""

    host: str
    place: Path
    ca: str = ""
    more: dict[str, Any] = field(default_factory=dict)

    def image(self, name: str = "t/app", tag: str = "") -> Image:
        return Image(self.host, name, tag)

    def put(self, image: Image, manifest: object, kind: str = OCI_MANIFEST) -> str:
        """Push a manifest; return its digest."""
        body = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode()
        self._send("PUT", f"/v2/{image.repository}/manifests/{image.tag or digest_of(body)}", body, kind)
        return digest_of(body)

    def blob(self, image: Image, content: bytes, kind: str = "application/octet-stream") -> dict[str, Any]:
        """Push content; return its descriptor."""
        _, headers = self._send("POST", f"/v2/{image.repository}/blobs/uploads/", b"")
        place = headers["location"].partition(self.host)[2] or headers["location"]
        self._send("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest_of(content)}", content, kind)
        return {"mediaType": kind, "digest": digest_of(content), "size": len(content)}

    def small(self, image: Image, labels: dict[str, str] | None = None, architecture: str = "amd64") -> str:
        """Push an image of no layers for one platform; return its digest."""
        config = {"os": "linux", "architecture": architecture, "config": {"Labels": labels or {}}}
        described = self.blob(image, json.dumps(config).encode(), CONFIG)
        made = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": described, "layers": []}
        return self.put(image, made)

    def index(self, image: Image, images: dict[str, str], more: list[dict[str, Any]] | None = None) -> str:
        """Push an index of images by architecture; return its digest."""
        listed = []
        for architecture, digest in images.items():
            body = self._send("GET", f"/v2/{image.repository}/manifests/{digest}", b"", accept=OCI_MANIFEST)[1]["body"]
            platform = {"os": "linux", "architecture": architecture}
            listed.append({"mediaType": OCI_MANIFEST, "digest": digest, "size": len(body), "platform": platform})
        made = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [*listed, *(more or [])]}
        return self.put(image, made, OCI_INDEX)

    def _send(
        self, method: str, path: str, body: bytes, kind: str = "", accept: str = f"{OCI_INDEX}, {DOCKER_LIST}"
    ) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE)
        connection.request(method, path, body or None, {"Content-Type": kind or "text/plain", "Accept": accept})
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        assert answer.status < 400, (method, path, answer.status, content)
        return answer.status, {**{k.lower(): v for k, v in answer.getheaders()}, "body": content.decode("latin-1")}


@contextmanager
def registry(place: Path, auth: dict[str, Any] | None = None, *, tls: bool = False) -> Iterator[Docked]:
    """Run a registry while the block lasts."""
    needed("docker-registry")
    place.mkdir(parents=True, exist_ok=True)
    one = Docked(f"127.0.0.1:{free_port()}", place)
    http_settings: dict[str, Any] = {"addr": one.host}
    if tls:
        one.ca, certificate, key = certified(place)
        http_settings["tls"] = {"certificate": certificate, "key": key}
    settings = {
        "version": 0.1,
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": f"{place}/data"}, "delete": {"enabled": True}},
        "http": http_settings,
        **({"auth": auth} if auth else {}),
    }
    (place / "registry.yml").write_text(json.dumps(settings))
    log = (place / "registry.log").open("ab")
    argv = ("docker-registry", "serve", f"{place}/registry.yml")
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        _listens(one.host, place / "registry.log")
        yield one
    finally:
        process.terminate()
        process.wait(DEADLINE)
        log.close()


@contextmanager
def with_passwords(place: Path) -> Iterator[Docked]:
    place.mkdir(parents=True, exist_ok=True)
    (place / "htpasswd").write_text(HTPASSWD)
    with registry(place, {"htpasswd": {"realm": "test", "path": f"{place}/htpasswd"}}) as one:
        yield one


@asynccontextmanager
async def with_tokens(place: Path) -> AsyncIterator[tuple[Docked, Served]]:
    """Run a registry that believes tokens only, and who gives them to whoever knows the password."""
    place.mkdir(parents=True, exist_ok=True)
    _, certificate, key = certified(place)
    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    der = base64.b64encode(_der(certificate)).decode()

    def answer(request: Request) -> Reply:
        asked, known = dict(request.query), request.headers.get("authorization", "")
        if request.method == "POST":
            asked = {name: values[-1] for name, values in parse_qs(request.body.decode()).items()}
            if asked.get("refresh_token") != PASSWORD:
                return Reply({"details": "no"}, 401)
        elif known and known != f"Basic {base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}":
            return Reply({"errors": [{"code": "UNAUTHORIZED", "message": "wrong password"}]}, 401)
        may = {"pull", "push"} if known or request.method == "POST" else {"pull"}
        kind, name, actions = [*asked.get("scope", "").split(":"), "", ""][:3]
        access = [{"type": kind, "name": name, "actions": sorted(may & set(actions.split(",")))}]
        now = int(time.time())
        claims = {"iss": "test", "sub": USER, "aud": asked["service"], "exp": now + 60, "nbf": now - 5, "iat": now}
        return Reply({"token": _jwt({**claims, "jti": f"{now}", "access": access}, loaded, der)})

    async with served(answer) as tokens:
        auth = {"realm": f"{tokens.url}/token", "service": "reg", "issuer": "test", "rootcertbundle": certificate}
        with registry(place, {"token": auth}) as one:
            yield one, tokens


def certified(place: Path) -> tuple[str, str, str]:
    """Make a CA and a certificate for 127.0.0.1 by it with openssl; return the files of CA, certificate and key."""
    needed("openssl")
    (place / "san").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    ca = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test CA")
    one = ("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1")
    sign = ("x509", "-req", "-days", "2", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "san")
    for argv in (
        (*ca, "-keyout", "ca.key", "-out", "ca.pem"),
        (*one, "-keyout", "key.pem", "-out", "csr.pem"),
        (*sign, "-in", "csr.pem", "-out", "cert.pem"),
    ):
        subprocess.run(["openssl", *argv], cwd=place, check=True, capture_output=True)
    return f"{place}/ca.pem", f"{place}/cert.pem", f"{place}/key.pem"


def _jwt(claims: dict[str, Any], key: rsa.RSAPrivateKey, certificate: str) -> str:
    head = {"typ": "JWT", "alg": "RS256", "x5c": [certificate]}
    signed = f"{_b64(json.dumps(head).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{signed}.{_b64(key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def _b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _der(certificate: str) -> bytes:
    lines = Path(certificate).read_text().split("-----BEGIN CERTIFICATE-----")[1].split("-----END")[0]
    return base64.b64decode("".join(lines.split()))


def _listens(host: str, log: Path) -> None:
    name, _, port = host.partition(":")
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((name, int(port)), 1):
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text())
