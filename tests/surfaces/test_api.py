"""Does the site let only those act who may, once, and say why to everybody else, in little and in time?"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.surfaces.worlds import seen

from interlock.app.state import StateDirectory
from interlock.app.tokens import TokenError, renew, token
from interlock.app.verbs import App, Blocked, KeeperError
from interlock.app.view import NoSuchRollout
from interlock.core.events import Order, OrderKind
from interlock.core.link import CHANNEL, Link, LinkError, once, read
from interlock.core.rollout import Rollout
from interlock.core.transitions import Refused, advance
from interlock.surfaces.api import application
from interlock.surfaces.api.bounds import LARGEST, LONGEST_HEAD

KEY = b"k" * 32
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class Stand(App):
    """Stands in for the keeper: obeys the table, and remembers who said what."""

    def __init__(self, state: StateDirectory, channel: str = "command line") -> None:
        super().__init__(state, channel)
        view, self.at = seen("watched")
        self.current, self.orders = view.current, list[tuple[str, str, str, str]]()
        self.breaks: Exception | None = None

    async def asked(self, token: str, run: str | None = None) -> tuple[Link, Rollout]:
        given = read(token, KEY, self.at)
        if self.breaks is not None:
            raise self.breaks
        return given, self.current

    async def standing(self, id: str) -> Rollout:
        if id != self.current.id:
            raise NoSuchRollout(f"there is no rollout {id}")
        return self.current

    async def acknowledge(self, run: str | None, name: str = "", token: str = "", reason: str = "") -> Rollout:
        if self.breaks is not None:
            raise self.breaks
        by, key, channel = (read(token, KEY, self.at).person, once(token), CHANNEL) if token else (name, "k", "api")
        self.orders.append((by, reason, key, channel))
        self.current = advance(
            self.current, Order(self.at, OrderKind.ACKNOWLEDGE, by, f"{key}{len(self.orders)}", reason, channel=channel)
        )
        return self.current


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    stand = Stand(StateDirectory(tmp_path / "state"))
    monkeypatch.setattr("interlock.surfaces.api.site.App", lambda state, channel: stand)
    return stand


@asynccontextmanager
async def asking(stand: Stand) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=application(stand))
    async with httpx2.AsyncClient(transport=transport, base_url="http://interlock.example") as client:
        yield client


def link(stand: Stand, person: str = "ada", within: timedelta = timedelta(minutes=9)) -> str:
    return Link("acknowledge", stand.current.id, person, stand.at + within).token(KEY)


def api(stand: Stand) -> str:
    return f"/api/v1/rollouts/{stand.current.id}:acknowledge"


def bearer(stand: Stand) -> dict[str, str]:
    return {"Authorization": f"Bearer {token(stand.state)}"}


def problem(answer: httpx2.Response) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found.keys() == {"type", "title", "status", "detail"} and found["status"] == answer.status_code
    return found


# Links


async def test_opening_a_link_says_what_it_is_for_and_changes_nothing_however_often(stand: Stand) -> None:
    async with asking(stand) as client:
        for method in ("GET", "HEAD", "GET"):
            answer = await client.request(
                method, "/acknowledge", params={"token": link(stand, "Ada <a&b@example.org>")}
            )
            assert answer.status_code == 200
    text = answer.text
    release = stand.current.stage.revision.release
    for fact in (release.service, release.version, stand.current.id, "production", "Ada &lt;a&amp;b@example.org&gt;"):
        assert f"{fact}" in text
    assert f"{stand.at + timedelta(minutes=9):%Y-%m-%d %H:%M:%S} UTC" in text
    assert text.count("<button") == 1 and '<form method="post" action="acknowledge">' in text
    assert stand.orders == [] and stand.current.acknowledged is None


async def test_its_button_acknowledges_by_the_name_it_was_given_to_and_twice_is_once(stand: Stand) -> None:
    given = link(stand)
    async with asking(stand) as client:
        for _ in range(2):
            answer = await client.post("/acknowledge", content=f"token={given}", headers=FORM)
            assert answer.status_code == 200 and "<h1>Acknowledged</h1>" in answer.text and "By ada" in answer.text
        again = await client.get("/acknowledge", params={"token": link(stand, "grace")})
    assert stand.orders == [("ada", "", once(given), CHANNEL)]
    assert "By ada" in again.text and "<button" not in again.text


async def test_a_page_is_plain_named_and_without_scripts_or_anything_from_elsewhere(stand: Stand) -> None:
    async with asking(stand) as client:
        answer = await client.get("/acknowledge", params={"token": link(stand)})
    text, policy = answer.text, answer.headers["content-security-policy"]
    assert '<html lang="en">' in text and "<title>" in text and text.count("<h1>") == 1 and "<main>" in text
    assert not re.search(r"<script|javascript:|\son\w+=|https?://|@import|url\(", text)
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
    (style,) = re.findall(r"<style>(.*?)</style>", text)
    import base64
    import hashlib

    assert f"'sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}'" in policy
    headers = answer.headers
    assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("expired", 410, "This link is too old"),
        ("forged", 403, "This link does nothing"),
        ("cut", 403, "This link does nothing"),
        ("", 400, "This link is not whole"),
        ("twice", 400, "This link is not whole"),
    ],
)
async def test_a_link_that_proves_nothing_does_nothing(
    stand: Stand, method: str, given: str, status: int, said: str
) -> None:
    good = link(stand)
    tokens = {
        "expired": [link(stand, within=timedelta(seconds=-1))],
        "forged": [Link("acknowledge", stand.current.id, "ada", stand.at + timedelta(hours=1)).token(b"o" * 32)],
        "cut": [good[:-3]],
        "twice": [good, good],
    }.get(given, [])
    said_as = "&".join(f"token={one}" for one in tokens)
    async with asking(stand) as client:
        if method == "GET":
            answer = await client.get(f"/acknowledge?{said_as}")
        else:
            answer = await client.post("/acknowledge", content=said_as, headers=FORM)
    assert answer.status_code == status and f"<h1>{said}</h1>" in answer.text and "<button" not in answer.text
    assert stand.orders == []


async def test_where_there_is_nothing_to_acknowledge_any_more_the_page_says_so(stand: Stand) -> None:
    stand.current = advance(stand.current, Order(stand.at, OrderKind.ABORT, "ada", "k"))
    async with asking(stand) as client:
        answer = await client.get("/acknowledge", params={"token": link(stand)})
    assert answer.status_code == 200 and "It is going back" in answer.text and "<button" not in answer.text


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Blocked("ada is not on call now; on call is grace"), 409),
        (Refused("it is over"), 409),
        (LinkError("this link is for another"), 403),
        (NoSuchRollout("there is no rollout"), 404),
        (KeeperError("the keeper does not answer"), 503),
    ],
)
async def test_what_the_keeper_refuses_is_said_to_people_and_to_programs(
    stand: Stand, error: Exception, status: int
) -> None:
    stand.breaks = error
    async with asking(stand) as client:
        page = await client.post("/acknowledge", content=f"token={link(stand)}", headers=FORM)
        answer = await client.post(api(stand), headers=bearer(stand))
    assert page.status_code == answer.status_code == status
    assert problem(answer)["detail"] == str(error) and str(error)[1:] in page.text


async def test_what_nobody_foresaw_is_told_to_the_log_only(stand: Stand, caplog: pytest.LogCaptureFixture) -> None:
    stand.breaks = ZeroDivisionError("inside")
    async with asking(stand) as client:
        answer = await client.post(api(stand), headers=bearer(stand))
    assert problem(answer)["status"] == 500 and "inside" not in answer.text
    assert "inside" in caplog.text and token(stand.state) not in caplog.text


# Programs


async def test_a_program_with_the_token_acknowledges_by_a_name_and_gives_a_reason(stand: Stand) -> None:
    body = json.dumps({"name": "ada", "reason": "at my desk"}).encode()
    headers = {**bearer(stand), "Content-Type": "application/json"}
    async with asking(stand) as client:
        answer = await client.post(api(stand), content=body, headers=headers)
    assert answer.status_code == 200
    found = answer.json()
    assert (found["id"], found["acknowledged"]["by"], found["acknowledged"]["channel"]) == (
        stand.current.id,
        "ada",
        "api",
    )
    assert stand.orders == [("ada", "at my desk", "k", "api")]


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer ", "Bearer wrong", "Basic {}", "Bearer {}x", "Bearer é", "{}"])
async def test_without_the_token_nothing_is_done_or_told(stand: Stand, shown: str) -> None:
    given = shown.replace("{}", token(stand.state)).encode()
    async with asking(stand) as client:
        answer = await client.post(api(stand), headers={"Authorization": given} if given else {})  # type: ignore[arg-type]
        other = await client.post("/api/v1/rollouts/shop-99-production:acknowledge")
    assert problem(answer)["status"] == problem(other)["status"] == 401
    assert answer.headers["www-authenticate"].startswith("Bearer") and token(stand.state) not in answer.text
    assert stand.orders == []


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[]", "application/json", 422),
        (b'{"nam": "ada"}', "application/json", 422),
        (b'{"name": 7}', "application/json", 422),
        (json.dumps({"reason": "x" * 2001}).encode(), "application/json", 422),
        (b"name=ada", "application/x-www-form-urlencoded", 415),
        (b"x" * (LARGEST + 1), "application/json", 413),
    ],
)
async def test_a_body_that_is_not_what_is_expected_is_refused_with_what_is(
    stand: Stand, body: bytes, kind: str, status: int
) -> None:
    async with asking(stand) as client:
        answer = await client.post(api(stand), content=body, headers={**bearer(stand), "Content-Type": kind})
    assert problem(answer)["status"] == status and stand.orders == []


async def test_a_body_whose_length_nobody_said_is_read_no_further(stand: Stand) -> None:
    read = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal read
        for _ in range(1000):
            read += 1024
            yield b" " * 1024

    async with asking(stand) as client:
        answer = await client.post(
            api(stand), content=body(), headers={**bearer(stand), "Content-Type": "application/json"}
        )
    assert problem(answer)["status"] == 413 and read < 4 * LARGEST


async def test_what_is_not_there_is_not_taken_or_is_too_long_is_said_in_the_askers_own_form(stand: Stand) -> None:
    async with asking(stand) as client:
        assert (await client.get("/healthz")).text == "ok\n"
        assert problem(await client.get("/api/v1/rollouts"))["status"] == 404
        assert problem(await client.get(api(stand)))["status"] == 405
        nothing, put = await client.get("/"), await client.put("/acknowledge")
        assert (nothing.status_code, put.status_code) == (404, 405) and "GET, HEAD, POST" in put.headers["allow"]
        assert nothing.headers["content-type"].startswith("text/html") and "There is nothing here" in nothing.text
        missing = await client.post("/api/v1/rollouts/shop-99-production:acknowledge", headers=bearer(stand))
        assert problem(missing)["status"] == 404
        long = await client.get("/acknowledge", params={"token": "a" * LONGEST_HEAD})
        assert long.status_code == 431
        assert (await client.get("/healthz", headers={"X-Long": "a" * LONGEST_HEAD})).status_code == 431
        plain = await client.post("/acknowledge", content="{}", headers={"Content-Type": "text/plain"})
        assert plain.status_code == 415
    assert stand.orders == []


# The token


def test_the_token_is_made_once_for_its_user_only_and_another_one_ends_it(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    first = token(state)
    assert token(state) == first and len(first) >= 43 and state.api_token.stat().st_mode & 0o777 == 0o600
    assert renew(state) != first and token(state) != first
    state.api_token.chmod(0o644)
    with pytest.raises(TokenError, match=r"others may read .*: make a new token") as caught:
        token(state)
    assert token.__name__ and renew(state) not in str(caught.value)
    state.api_token.write_text("short")
    with pytest.raises(TokenError, match="holds no token"):
        token(state)


async def test_a_new_token_counts_at_once_where_a_server_runs(stand: Stand) -> None:
    old = bearer(stand)
    async with asking(stand) as client:
        assert (await client.post(api(stand), headers=old)).status_code == 200
        renew(stand.state)
        assert (await client.post(api(stand), headers=old)).status_code == 401
        assert (await client.post(api(stand), headers=bearer(stand))).status_code == 200


# What verbs say of a link


async def test_a_link_of_a_run_that_stands_elsewhere_is_refused(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    from interlock.app.secrets import key_for

    state, rollout = stand.state, stand.current
    app = App(state)

    async def run(name: str | None) -> tuple[Rollout, ...]:
        return (replace(rollout, id="shop-2-staging"), rollout)

    monkeypatch.setattr(app, "_run", run)
    key, later = key_for(state.secrets, CHANNEL), datetime.now(UTC) + timedelta(minutes=5)
    assert (await app.asked(Link("acknowledge", rollout.id, "ada", later).token(key)))[1] == rollout
    for wrong in (Link("acknowledge", "shop-2-staging", "ada", later), Link("approve", rollout.id, "ada", later)):
        with pytest.raises(LinkError):
            await app.asked(wrong.token(key))
    with pytest.raises(Blocked, match=f"stands at {rollout.id}, and not at shop-2-staging"):
        await app.standing("shop-2-staging")
    assert await app.standing(rollout.id) == rollout


# A connection


async def test_a_connection_on_which_nothing_whole_is_asked_is_closed(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlock.surfaces.api import serve, server

    monkeypatch.setattr(server, "HEAD_WITHIN", timedelta(seconds=0.3))
    where: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(serve(stand, "127.0.0.1", 0, where.set_result))
    try:
        port = int((await asyncio.wait_for(where, 15)).rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        assert await asyncio.wait_for(reader.read(), 15) == b""
        writer.close()
        async with httpx2.AsyncClient() as client:
            answer = await client.get(f"http://127.0.0.1:{port}/healthz")
        assert answer.text == "ok\n" and answer.headers["connection"] == "close" and "server" not in answer.headers
        with pytest.raises(server.ListenError, match=f"127.0.0.1, port {port}: Address already in use"):
            await serve(stand, "127.0.0.1", port, lambda _: None)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
