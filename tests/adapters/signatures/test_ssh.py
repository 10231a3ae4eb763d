"""Does the real ssh-keygen say who signed, and nothing else?"""

from __future__ import annotations

import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from tests.parts import needed

from interlock.adapters.signatures.ssh import SshSignatures
from interlock.core.approval import NAMESPACE
from interlock.ports.signatures import SignatureError

SOON = timedelta(seconds=20)
TEXT = "interlock approval 1\nplan x\n"

pytestmark = pytest.mark.usefixtures("ssh_keygen")


@pytest.fixture(scope="module")
def ssh_keygen() -> Path:
    return needed("ssh-keygen")


def key(place: Path, name: str) -> Path:
    file = place / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", file], check=True)
    return file


def listed(file: Path, name: str, options: str = "") -> str:
    return f"{name} {options}{' ' if options else ''}{file.with_name(f'{file.name}.pub').read_text().strip()}"


def sign(file: Path, text: str = TEXT, namespace: str = NAMESPACE) -> str:
    (file.parent / "text").write_text(text)
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(file), "-n", namespace, str(file.parent / "text")]
    subprocess.run(command, check=True, capture_output=True)
    signature = file.parent / "text.sig"
    found = signature.read_text()
    signature.unlink()
    return found


async def signer(signature: str, *signers: str, text: str = TEXT) -> str:
    return await SshSignatures().signer(text, signature, signers, NAMESPACE, SOON)


async def test_a_signer_is_known_by_the_name_under_which_the_key_is_listed(tmp_path: Path) -> None:
    ada, grace = key(tmp_path, "ada"), key(tmp_path, "grace")
    signers = (listed(ada, "ada@example.com"), listed(grace, "grace@example.com"))
    assert await signer(sign(ada), *signers) == "ada@example.com"
    assert await signer(sign(grace), *signers) == "grace@example.com"


async def test_a_key_that_is_not_listed_proves_nothing(tmp_path: Path) -> None:
    ada, mallory = key(tmp_path, "ada"), key(tmp_path, "mallory")
    with pytest.raises(SignatureError, match="none of those listed"):
        await signer(sign(mallory), listed(ada, "ada"))


async def test_another_text_is_not_what_was_signed(tmp_path: Path) -> None:
    ada = key(tmp_path, "ada")
    with pytest.raises(SignatureError, match="of another text"):
        await signer(sign(ada), listed(ada, "ada"), text=TEXT.replace("plan x", "plan y"))


async def test_a_signature_for_something_else_is_none_of_ours(tmp_path: Path) -> None:
    ada = key(tmp_path, "ada")
    with pytest.raises(SignatureError):
        await signer(sign(ada, namespace="git"), listed(ada, "ada"))


async def test_a_key_listed_for_something_else_or_for_another_time_proves_nothing(tmp_path: Path) -> None:
    ada = key(tmp_path, "ada")
    for options in ('namespaces="git"', 'valid-before="20200101"'):
        with pytest.raises(SignatureError):
            await signer(sign(ada), listed(ada, "ada", options))


@pytest.mark.parametrize("rubbish", ["", "yes, I approve", "-----BEGIN SSH SIGNATURE-----\nrubbish\n", "x" * 100_000])
async def test_rubbish_proves_nothing(tmp_path: Path, rubbish: str) -> None:
    with pytest.raises(SignatureError):
        await signer(rubbish, listed(key(tmp_path, "ada"), "ada"))


async def test_without_ssh_keygen_nothing_is_proven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = key(tmp_path, "ada")
    signature = sign(ada)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SignatureError, match="not installed"):
        await signer(signature, listed(ada, "ada"))
