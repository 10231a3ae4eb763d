"""Does what the example about images says to type do what it says, with a real registry, Buildah and openssl?"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.app.yard import tools
from tests.e2e.test_examples import typed

from interlock.adapters.host.local import LocalHost

pytestmark = pytest.mark.timeout(150)


def test_an_image_is_built_found_again_and_let_in_once_it_is_signed(
    tmp_path: Path, needs: Callable[[str], Path]
) -> None:
    for program in ("git", "docker-registry", "busybox", "openssl", "curl"):
        needs(program)
    with tools(tmp_path / "tools"):
        output, _ = typed("12-images", tmp_path, {"5000": str(asyncio.run(LocalHost().free_port()))})
    assert "is in the registry already: nothing is built" in output
    assert "status 4\n✖ staging      image-verified" in output and "no signature is attached to it" in output
    assert "✔ staging      image-verified" in output and "signature (tag .sig)" in output
    assert "the secret is nowhere" in output and "my-licence-key" not in output
