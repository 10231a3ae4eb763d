"""Who signed this with an SSH key? Asks `ssh-keygen -Y`, which knows certificates, expiry of keys, and FIDO keys."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path

from interlock.ports.signatures import SignatureError

_LARGEST = 64 * 1024
_MISSING = "ssh-keygen is not installed here (Debian, Ubuntu: apt install openssh-client), so nothing can be proven"


class SshSignatures:
    """Checks signatures in the format of `ssh-keygen -Y sign` (PROTOCOL.sshsig)."""

    async def signer(
        self, text: str, signature: str, signers: tuple[str, ...], namespace: str, within: timedelta
    ) -> str:
        """Return the principal; raise SignatureError."""
        if len(signature) > _LARGEST or "BEGIN SSH SIGNATURE" not in signature:
            raise SignatureError("expected a signature as `ssh-keygen -Y sign` makes it, found something else")
        with tempfile.TemporaryDirectory(prefix="interlock-") as directory:
            allowed, signed = Path(directory) / "allowed_signers", Path(directory) / "signature"
            allowed.write_text("\n".join(signers) + "\n")
            signed.write_text(signature)
            try:
                async with asyncio.timeout(within.total_seconds()):
                    return await _signer(text, allowed, signed, namespace)
            except TimeoutError as error:
                raise SignatureError(f"ssh-keygen gave no answer within {within.total_seconds():g} s") from error


async def _signer(text: str, allowed: Path, signed: Path, namespace: str) -> str:
    found = await _run("-Y", "find-principals", "-s", str(signed), "-f", str(allowed))
    if found is None:
        raise SignatureError("the key that signed is none of those listed")
    for principal in found.split("\n"):
        name = principal.strip()
        where = ("-f", str(allowed), "-I", name, "-n", namespace, "-s", str(signed))
        if name and await _run("-Y", "verify", *where, text=text) is not None:
            return name
    raise SignatureError("the signature is of another text, or was made for something else, or its key has expired")


async def _run(*arguments: str, text: str = "") -> str | None:
    """Return what ssh-keygen says; None when it says no."""
    pipe = asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec("ssh-keygen", *arguments, stdin=pipe, stdout=pipe, stderr=pipe)
    except FileNotFoundError:
        raise SignatureError(_MISSING) from None
    try:
        output, _ = await process.communicate(text.encode())
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return output.decode(errors="replace") if process.returncode == 0 else None
