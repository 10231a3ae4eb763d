"""What is said of a machine that lacks something, and does setup say what to type?"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.e2e.lan import a_fleet

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh"):
        needs(program)


async def test_a_machine_without_interlock_is_named_with_what_to_type_and_so_is_what_hosts_rule_out() -> None:
    async with a_fleet("127.0.0.2", "127.0.0.3") as (_, (home, other), laptop):
        status, said = await laptop.run("setup", "--check")
        assert re.search(r"✔ interlock +Interlock", said) and f"{home.url} does not get into {other.url}" in said, said
        assert "ssh-copy-id" in said and status == 1
        (home.place / "bin" / "interlock").write_text("#!/bin/sh\nexit 127\n")
        status, said = await laptop.run("get")
        assert status == 1 and f"interlock setup {home.url}" in said
        status, said = await laptop.run("setup", "--check", home.url)
        assert status == 1 and "no Interlock" in said and f"interlock setup {home.url}" in said, said
        status, said = await laptop.run("deploy", "--plan", "x")
        assert status == 1 and "expected no --plan with hosts" in said
