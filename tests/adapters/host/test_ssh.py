"""Do commands run, and do sockets answer, on another machine? Asked of a real sshd that the test starts."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from tests.sshd import a_lan

from interlock.adapters.host.ssh import CONFIG, Ssh
from interlock.adapters.line import ask, serve
from interlock.ports.host import HostError

SOON = timedelta(seconds=30)


@pytest.fixture(autouse=True)
def parts(needs: Callable[[str], Path]) -> None:
    for program in ("sshd", "ssh-keygen", "ssh"):
        needs(program)


async def test_commands_reach_the_other_machine_word_for_word_and_what_is_given_by_standard_input() -> None:
    async with a_lan() as lan:
        machine = lan.machine("127.0.0.2")
        ssh = Ssh(machine.url, lan.place / "r")
        words = ["a b", "$HOME", "`id`", "'", '"', ";", "ä", "*", ""]
        show = "import json,sys; print(json.dumps([sys.argv[1:], sys.stdin.read()]))"
        ran = await ssh.run("python3", "-c", show, *words, given=b"not on the command line", within=SOON)
        assert (ran.status, json.loads(ran.out)) == (0, [words, "not on the command line"])
        assert (await ssh.run("sh", "-c", "echo why >&2; exit 3", within=SOON)).status == 3
        assert (await ssh.run("sh", "-c", "echo why >&2; exit 3", within=SOON)).last_words == "why"
        with pytest.raises(HostError, match="has not ended after 1 s"):
            await ssh.run("sleep", "30", within=timedelta(seconds=1))
        big = lan.place / "big"
        big.write_bytes(os.urandom(3_000_000))
        assert (await ssh.send(big, "wc", "-c", within=SOON)).out.strip() == b"3000000"
        await ssh.close()


async def test_a_socket_there_answers_here_and_again_after_the_connection_broke() -> None:
    async with a_lan() as lan:
        machine = lan.machine("127.0.0.3")
        ssh, here = Ssh(machine.url, lan.place / "r"), lan.place / "r" / "s"

        async def answer(verb: str, arguments: dict[str, object]) -> object:
            return [verb, arguments]

        async with serve(machine.place / "far.sock", answer):
            await ssh.forward(here, str(machine.place / "far.sock"))
            asked = [ask(here, "ping", {"n": n}, SOON) for n in range(20)]
            assert await asyncio.gather(*asked) == [["ping", {"n": n}] for n in range(20)]
            child = ssh._forwards[here]
            child.kill()
            await child.wait()
            await ssh.forward(here, str(machine.place / "far.sock"))
            assert await ask(here, "ping", {}, SOON) == ["ping", {}]
        await ssh.close()


async def test_what_keeps_ssh_out_is_said_with_what_to_do() -> None:
    async with a_lan() as lan:
        machine = lan.machine("127.0.0.2")
        (machine.place / "authorized").write_text("")
        with pytest.raises(HostError, match=r"cannot be reached: .*Permission denied.*: put a key there"):
            await Ssh(machine.url, lan.place / "a").run("true", within=SOON)
        (lan.place / "known_hosts").write_text("")
        with pytest.raises(HostError, match=r"Host key verification failed: see its key once"):
            await Ssh(machine.url, lan.place / "b").run("true", within=SOON)
        with pytest.raises(HostError, match=r"Connection refused: does sshd run there"):
            await Ssh("ssh://127.0.0.2:1", lan.place / "c").run("true", within=SOON)


@pytest.mark.parametrize("address", ["shop-1", "ssh://", "ssh://-oProxyCommand=x", "ssh://-a@b", "http://a"])
def test_what_is_no_machine_is_refused_before_ssh_sees_it(address: str, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="expected a machine such as"):
        Ssh(address, tmp_path)


def test_another_configuration_is_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG, "/elsewhere")
    assert Ssh("ssh://a", tmp_path).argv("true")[:3] == ("ssh", "-F", "/elsewhere")
