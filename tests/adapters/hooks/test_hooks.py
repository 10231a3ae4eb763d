"""Do servers and commands of the user's get the facts, and is whatever is no clear yes a no with its reason?"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.adapters.served import Reply, served

from interlock.adapters.hooks.post import Posts
from interlock.adapters.hooks.program import Programs
from interlock.core.gates import Answer
from interlock.core.hooks import Hook, Post, Program, When

FACTS: dict[str, Any] = {
    "schema": 1,
    "key": "shop-1-production.before-traffic-1.step-7.0a1b2c3d",
    "when": "before-traffic",
    "service": "shop",
    "old_version": None,
    "weight": {"from": 5.0, "to": 25.0},
    "reason": "it's “slow”\n",
}
SECRETS = {"print": "theTokenItself", "address": "http://127.0.0.1:1/theSecretPath"}
WITHIN, SOON = timedelta(seconds=20), timedelta(milliseconds=300)


def secret(name: str) -> str:
    try:
        return SECRETS[name]
    except KeyError:
        raise FileNotFoundError(name) from None


def hide(text: str) -> str:
    for value in ("theTokenItself", "theSecretPath"):
        text = text.replace(value, "[secret]")
    return text


async def post(url: str, within: timedelta = WITHIN, **more: str) -> Answer:
    hook = Hook(When.TRAFFIC, Post(url, **more))
    return await Posts(secret, hide).ask(hook, FACTS, within)


async def program(directory: Path, *argv: str, within: timedelta = WITHIN, token: str = "") -> Answer:
    hook = Hook(When.TRAFFIC, Program(argv, str(directory), token))
    return await Programs(secret, hide).ask(hook, FACTS, within)


# --- servers


async def test_a_server_gets_the_facts_the_key_and_the_token() -> None:
    async with served(lambda _: Reply({"reason": "fine"})) as where:
        answer = await post(f"{where.url}/hook", token_secret="print")
        assert answer == Answer(True, "fine")
        (request,) = where.asked
        assert (request.method, request.path) == ("POST", "/hook")
        assert json.loads(request.body) == FACTS
        assert request.headers["idempotency-key"] == FACTS["key"]
        assert request.headers["authorization"] == "Bearer theTokenItself"
        await post(where.url)
        assert "authorization" not in where.asked[-1].headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
async def test_a_status_of_2xx_is_a_yes(status: int) -> None:
    async with served(lambda _: Reply(b"", status)) as where:
        assert await post(where.url) == Answer(True, f"answered {status}")


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 409, 422, 429, 500, 503])
async def test_every_other_status_is_a_no_with_the_reason_that_is_given(status: int) -> None:
    async with served(lambda _: Reply({"reason": "the board\nsleeps\x1b[1m"}, status)) as where:
        answer = await post(where.url)
        assert not answer.open and answer.reason == f"answered {status}: the board sleeps [1m"
        assert answer.final is (status in (400, 422))


@pytest.mark.parametrize("said", [b"", b"rubbish", b"[[" * 9000, [1], {"reason": 7}, {"reason": ""}, None, "x"])
async def test_an_answer_without_a_reason_is_judged_by_its_status(said: Any) -> None:
    for status in (200, 503):
        async with served(lambda _, status=status: Reply(said, status)) as where:  # type: ignore[misc]
            assert await post(where.url) == Answer(status == 200, f"answered {status}")


async def test_a_long_reason_is_cut_and_a_secret_in_it_hidden() -> None:
    async with served(lambda _: Reply({"reason": "theTokenItself " + "x" * 9999}, 503)) as where:
        reason = (await post(where.url, token_secret="print")).reason
        assert reason.startswith("answered 503: [secret] xxx") and reason.endswith("…") and len(reason) < 350


async def test_an_answer_without_end_is_a_no() -> None:
    async with served(lambda _: Reply(b"x" * 200_000)) as where:
        assert not (await post(where.url)).open


async def test_a_server_that_hangs_is_waited_for_no_longer_than_said() -> None:
    async with served(lambda _: Reply(hangs=True)) as where:
        began = time.monotonic()
        answer = await post(where.url, SOON)
        assert not answer.open and "no complete answer within 0.3 s" in answer.reason
        assert time.monotonic() - began < 10


async def test_a_server_that_is_down_is_a_no() -> None:
    async with served(lambda _: Reply()) as where:
        pass
    answer = await post(where.url)
    assert not answer.open and "cannot be reached" in answer.reason


async def test_an_address_that_is_a_secret_is_in_no_reason() -> None:
    answer = await post("", url_secret="address")
    assert not answer.open and "theSecretPath" not in answer.reason and "kept as a secret" in answer.reason


async def test_a_secret_that_is_not_kept_here_is_a_no() -> None:
    for answer in (await post("", url_secret="gone"), await post("http://127.0.0.1:1/", token_secret="gone")):
        assert not answer.open and "not kept here" in answer.reason


# --- commands


async def test_a_command_gets_the_facts_on_its_input_and_in_variables(tmp_path: Path) -> None:
    answer = await program(tmp_path, "sh", "-c", "cat > facts; env > told; echo; echo all is well")
    assert answer == Answer(True, "all is well")
    assert json.loads((tmp_path / "facts").read_text()) == FACTS
    told = dict(line.split("=", 1) for line in (tmp_path / "told").read_text().splitlines())
    assert (told["INTERLOCK_WEIGHT_FROM"], told["INTERLOCK_WEIGHT_TO"]) == ("5", "25")
    assert told["INTERLOCK_KEY"] == FACTS["key"] and told["INTERLOCK_REASON"] == "it's “slow”"
    assert "INTERLOCK_OLD_VERSION" not in told and "INTERLOCK_TOKEN" not in told


async def test_a_command_gets_no_secret_but_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "geheim")
    assert (await program(tmp_path, "sh", "-c", "env > told", token="print")).open
    told = (tmp_path / "told").read_text()
    assert "geheim" not in told and "INTERLOCK_TOKEN=theTokenItself" in told


async def test_facts_that_nobody_reads_hurt_nobody(tmp_path: Path) -> None:
    big = {**FACTS, "more": "x" * 500_000}
    hook = Hook(When.TRAFFIC, Program(("true",), str(tmp_path)))
    assert (await Programs(secret, hide).ask(hook, big, WITHIN)).open


async def test_any_other_status_is_a_no_and_the_last_line_says_why(tmp_path: Path) -> None:
    answer = await program(tmp_path, "sh", "-c", "echo theTokenItself is not yet valid >&2; exit 7")
    assert answer == Answer(False, "ended with status 7: [secret] is not yet valid")
    assert await program(tmp_path, "false") == Answer(False, "ended with status 1")


async def test_a_command_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    answer = await program(tmp_path, "sh", "-c", "sleep 600 & echo $! > child; echo busy; wait", within=SOON * 3)
    assert answer == Answer(False, "did not end within 0.9 s: busy")
    child, deadline = Path(f"/proc/{(tmp_path / 'child').read_text().strip()}/stat"), time.monotonic() + 20
    with suppress(FileNotFoundError):
        while " Z " not in child.read_text():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)


async def test_a_command_that_cannot_be_run_is_a_no(tmp_path: Path) -> None:
    for argv in (("no-such-program",), (str(tmp_path),)):
        answer = await program(tmp_path, *argv)
        assert not answer.open and not answer.final and "cannot be run" in answer.reason
    assert "not kept here" in (await program(tmp_path, "true", token="gone")).reason
