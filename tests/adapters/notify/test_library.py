"""Does mail become one thread, do the libraries hold nothing up, and does no error give a secret away?"""

from __future__ import annotations

import asyncio
import os
import time
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.notify.letters import letter
from tests.adapters.notify.sink import MailSink, Receiver, listening

from interlock.adapters.notify.library import AppriseOutlet, MailOutlet, Server
from interlock.adapters.notify.library.apprise import installed, understood
from interlock.core.news import Kind
from interlock.ports.notify import Undelivered, Unwanted

WITHIN = timedelta(seconds=30)


def outlet(port: int, user: str = "", password: str = "", within: timedelta = WITHIN) -> MailOutlet:
    server = Server("127.0.0.1", port, "nothing", user)
    return MailOutlet(server, "interlock@example.org", ("team@example.org",), lambda: password, within=within)


async def test_a_deployment_is_one_thread_of_mail() -> None:
    sink = MailSink()
    async with listening(sink) as port:
        for kind, seq in ((Kind.STARTED, 1), (Kind.HELD, 2), (Kind.SUCCEEDED, 3)):
            await outlet(port).send(letter(kind, seq))
    first, *others = sink.mails
    assert first["Subject"] == "shop v2 (shop-7)" and first["In-Reply-To"] is None
    assert {one["In-Reply-To"] for one in others} == {one["References"] for one in others} == {first["Message-ID"]}
    assert {one["Subject"] for one in others} == {"Re: shop v2 (shop-7)"}
    assert len({one["Message-ID"] for one in sink.mails}) == 3
    assert all(one["Message-ID"].endswith("@example.org>") for one in sink.mails)
    assert first.get_content().startswith("Started: shop v2 (shop-7) in production\n")
    assert others[1]["Interlock-Key"] == letter(Kind.SUCCEEDED, 3).key


async def test_a_connection_lost_before_the_answer_sends_it_again_under_the_same_id() -> None:
    sink = MailSink("cut")
    async with listening(sink) as port:
        with pytest.raises(Undelivered):
            await outlet(port).send(letter())
        await outlet(port).send(letter())
    assert len(sink.mails) == 2 and len({one["Message-ID"] for one in sink.mails}) == 1


async def test_a_mail_server_that_hangs_is_left_in_time_and_holds_nothing_up() -> None:
    async with listening(MailSink("hang")) as port:
        began, ticks = time.monotonic(), 0
        sending = asyncio.create_task(outlet(port, within=timedelta(seconds=2)).send(letter()))
        while not sending.done():
            await asyncio.sleep(0.01)
            ticks += 1
        with pytest.raises(Undelivered, match="mail: not done within 2 s"):
            await sending
    assert time.monotonic() - began < 15 and ticks > 20


async def test_what_the_server_says_decides_whether_it_is_tried_again() -> None:
    async with listening(MailSink("later")) as port:
        with pytest.raises(Undelivered, match=rf"127.0.0.1:{port} refused the message \(451\)"):
            await outlet(port).send(letter())
    async with listening(MailSink("never")) as port:
        with pytest.raises(Unwanted, match=r"refused the message \(554\)"):
            await outlet(port).send(letter())
    with pytest.raises(Undelivered, match=rf"127.0.0.1:{port}: ConnectionRefusedError"):
        await outlet(port).send(letter())


async def test_whom_a_server_refuses_for_now_is_told_later_and_nobody_else_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sink = MailSink(refuses={"grey@example.org": 450, "gone@example.org": 550})
    everybody = ("ada@example.org", "grey@example.org", "gone@example.org")
    async with listening(sink) as port:
        server = Server("127.0.0.1", port, "nothing")
        mail = MailOutlet(server, "interlock@example.org", everybody, lambda: "", within=WITHIN)
        with pytest.raises(Undelivered, match=r"refused grey@example.org for now; others have it"):
            await mail.send(letter())
        del sink.refuses["grey@example.org"]
        await mail.send(letter())
        await mail.send(letter(Kind.SUCCEEDED, 3))
    assert sink.takers == [["ada@example.org"], ["grey@example.org"], ["ada@example.org", "grey@example.org"]]
    assert sink.mails[0]["Message-ID"] == sink.mails[1]["Message-ID"] and sink.mails[1]["To"] == ", ".join(everybody)
    assert "not for gone@example.org, who are not told" in caplog.text


async def test_a_password_is_given_to_the_server_and_shown_to_nobody() -> None:
    sink = MailSink()
    async with listening(sink) as port:
        await outlet(port, "interlock", "geheim-17").send(letter())
        assert sink.logins == ["\0interlock\0geheim-17"]
        sink.manners = "stranger"
        with pytest.raises(Undelivered, match="refused the user interlock") as refused:
            await outlet(port, "interlock", "geheim-17").send(letter())
    assert "geheim" not in f"{refused.value}{refused.value.__cause__}"


async def test_no_process_shows_a_secret_in_its_arguments_or_variables() -> None:
    async with listening(MailSink("hang")) as port:
        sending = asyncio.create_task(outlet(port, "interlock", "geheim-17", timedelta(seconds=20)).send(letter()))
        seen = ""
        deadline = time.monotonic() + 15
        while "library.mail" not in seen and time.monotonic() < deadline:
            await asyncio.sleep(0.05)
            seen = await asyncio.to_thread(children)
        assert "library.mail" in seen and "geheim" not in seen
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert "library.mail" not in await asyncio.to_thread(children), "it ends with who asked for it"


def children() -> str:
    """Return the arguments and variables of all our child processes."""
    found = b""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"\nPPid:\t{os.getpid()}\n" in (process / "status").read_text():
                found += (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        except OSError:
            continue
    return found.decode(errors="replace")


async def test_a_subject_cannot_add_a_header() -> None:
    sink = MailSink()
    async with listening(sink) as port:
        bad = letter()
        object.__setattr__(bad, "subject", "x\r\nBcc: eve@example.org")
        await outlet(port).send(bad)
    assert sink.mails[0]["Bcc"] is None and sink.mails[0]["Subject"] == "Re: x Bcc: eve@example.org"


needs_apprise = pytest.mark.skipif(
    not installed() and os.environ.get("CI") != "true",
    reason="needs the optional part: pip install 'interlock[notify]'",
)


class Board(Receiver):
    """Takes what Apprise posts, which has no id."""

    def _take(self, headers: dict[str, str], body: bytes) -> None:
        import json

        if 200 <= self.status < 300:
            self.shown.append(json.loads(body))


@needs_apprise
async def test_a_service_that_apprise_knows_is_told() -> None:
    board = Board()
    async with listening(board) as port:
        await AppriseOutlet(lambda: f"json://127.0.0.1:{port}/geheim-17").send(letter(Kind.TURNED_BACK, text="9 %"))
    assert board.shown[0]["title"] == "GOING BACK: shop v2 (shop-7) in production"
    assert board.shown[0]["message"].startswith("9 %.")


@needs_apprise
async def test_what_a_service_refuses_is_tried_again_without_a_word_of_its_token() -> None:
    async with listening(Board(status=500)) as port:
        with pytest.raises(Undelivered, match="JSON did not take it") as refused:
            await AppriseOutlet(lambda: f"json://127.0.0.1:{port}/geheim-17").send(letter())
    with pytest.raises(Undelivered, match="does not know such an address") as unknown:
        await AppriseOutlet(lambda: "nonsense-geheim-17").send(letter())
    assert "geheim" not in f"{refused.value}{unknown.value}"


@needs_apprise
def test_an_address_is_understood_before_anything_is_sent(capfd: pytest.CaptureFixture[str]) -> None:
    assert understood("json://127.0.0.1/geheim-17") and not understood("nonsense://geheim-17")
    assert "geheim" not in "".join(capfd.readouterr())
