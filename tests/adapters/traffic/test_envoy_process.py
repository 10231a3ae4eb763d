"""Does Envoy start once, outlive us, come back when it dies, and say clearly why when it cannot?"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import sys
from datetime import timedelta
from pathlib import Path
from signal import Signals

import pytest
from tests.adapters.traffic.town import BY_USER, Load, Town, a_town, eventually, revision

from interlock.adapters.http import HttpError
from interlock.core.release import Entrance
from interlock.core.route import Route
from interlock.core.weight import Weight
from interlock.ports.host import Process
from interlock.ports.traffic import TrafficError

ROUTE = Route("production", "old", "new", Weight(2500), 100)


async def the_envoy(town: Town) -> Process:
    (process,) = await town.host.find(town.label)
    return process


async def serving(town: Town) -> None:
    await town.open()
    for name in ("old", "new"):
        await town.admit(name)
    await town.envoy.steer(ROUTE)


async def test_a_successor_adopts_envoy_with_its_route_and_goes_on_without_a_failed_request() -> None:
    async with a_town(retries=False) as town:
        await serving(town)
        process = await the_envoy(town)
        load = Load(town.port, users=4)
        town.envoy = town.successor()
        assert await town.envoy.route("production") == ROUTE
        await town.open(Entrance(town.port, sticky=BY_USER))
        assert await town.envoy.healthy("old") and await town.envoy.healthy("new")
        assert (await town.envoy.verify(ROUTE)).ok
        await town.envoy.steer(Route("production", "old", "new", Weight(5000), 100))
        await load.end()
        assert await the_envoy(town) == process
        assert not load.failed and load.answered


async def test_an_envoy_that_is_killed_comes_back_and_serves_what_it_served() -> None:
    async with a_town() as town:
        await serving(town)
        keeper = asyncio.ensure_future(town.envoy.supervise())
        for _ in range(2):
            dead = await the_envoy(town)
            await town.host.signal(dead, Signals.SIGKILL)
            await town.host.gone(dead, timedelta(seconds=5))
            await eventually(lambda: _answers(town))
            assert await the_envoy(town) != dead
            assert (await town.envoy.verify(ROUTE)).ok
        keeper.cancel()


async def _answers(town: Town) -> bool:
    try:
        return (await town.get()).status == 200
    except HttpError:
        return False


async def test_the_keepers_end_does_not_end_envoy() -> None:
    async with a_town() as town:
        await serving(town)
        keeper = asyncio.ensure_future(town.envoy.supervise())
        await asyncio.sleep(0.2)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        assert await _answers(town)


async def test_a_port_that_was_taken_when_envoy_came_back_is_listened_on_once_it_is_free() -> None:
    async with a_town() as town:
        await serving(town)
        await town.envoy._process.stop()
        preview = town.envoy.preview("new")
        with _listening(town.port), _listening(int(preview.rpartition(":")[2])):
            keeper = asyncio.ensure_future(town.envoy.supervise())
            await eventually(lambda: _live(town))
            await eventually(lambda: _previewed_elsewhere(town, preview))
        await eventually(lambda: _answers(town))
        assert (await town.envoy.verify(ROUTE)).ok
        keeper.cancel()


async def _live(town: Town) -> bool:
    try:
        return await town.envoy._admin.live()
    except TrafficError:
        return False


async def _previewed_elsewhere(town: Town, preview: str) -> bool:
    listening = await town.envoy._admin.listeners()
    return town.envoy.preview("new") != preview and "new~preview" in listening


def _listening(port: int = 0, *, shared: bool = False) -> socket.socket:
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shared)
    taken.bind(("127.0.0.1", port))
    taken.listen()
    return taken


@pytest.mark.parametrize("shared", [False, True], ids=["", "by one that would share it"])
async def test_a_port_that_is_taken_is_named_with_who_has_it_and_nothing_is_changed(shared: bool) -> None:
    async with a_town() as town:
        with _listening(shared=shared) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(TrafficError) as refused:
                await town.envoy.open("production", Entrance(port))
            expected = (
                rf"production cannot be opened: port {port} on 127.0.0.1 is taken by .+ \(pid {os.getpid()}\); stop"
            )
            assert re.match(expected, str(refused.value))
            assert await town.host.find(town.label) == ()
            assert not (town.place / "envoy").exists()

            await town.open()
            before = {file: file.read_bytes() for file in (town.place / "envoy").glob("*.json")}
            with pytest.raises(TrafficError, match="is taken"):
                await town.envoy.open("staging", Entrance(port))
            with pytest.raises(TrafficError, match="is taken"):
                await town.envoy.open("production", Entrance(port))
            assert before == {file: file.read_bytes() for file in (town.place / "envoy").glob("*.json")}
            assert (await town.get()).status == 503


async def test_two_environments_cannot_have_one_port_and_each_has_its_own_route() -> None:
    async with a_town() as town:
        await serving(town)
        with pytest.raises(TrafficError, match="cannot be staging's: it is the port of production"):
            await town.envoy.open("staging", Entrance(town.port))
        port = await town.host.free_port()
        await town.envoy.open("staging", Entrance(port))
        await town.envoy.steer(Route("staging", "new"))
        assert (await town.envoy.verify(Route("staging", "new"))).ok
        assert (await town.envoy.verify(ROUTE)).ok


async def test_opening_again_elsewhere_moves_the_entrance() -> None:
    async with a_town() as town:
        await serving(town)
        old, new = town.port, await town.host.free_port()
        await town.open(Entrance(new, sticky=BY_USER))
        assert (await town.envoy.verify(ROUTE)).ok
        town.port = old
        with pytest.raises(HttpError):
            await town.get()


async def test_closing_waits_for_requests_under_way_and_opening_starts_again() -> None:
    async with a_town() as town:
        await town.open()
        (one,) = await town.admit("old")
        await town.envoy.steer(Route("production", "old"))
        held = asyncio.ensure_future(town.get("/hold"))
        await eventually(lambda: _under_way(town))
        closing = asyncio.ensure_future(town.envoy.close(timedelta(seconds=20)))
        await asyncio.sleep(0.2)
        assert not closing.done()
        one.release()
        assert (await held).status == 200
        await closing
        assert await town.host.find(town.label) == ()
        assert await town.envoy.route("production") is None
        await town.open(Entrance(town.port))
        await town.serve(revision("old"), one)
        assert await town.envoy.route("production") == Route("production", "old")
        assert await _answers(town)


async def _under_way(town: Town) -> bool:
    return any((await town.envoy.in_flight("old")).values())


async def test_a_runtime_directory_too_long_for_a_socket_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(TrafficError, match=r"bytes long, a socket's path has at most 107; choose a shorter runtime"):
        Town(tmp_path / ("x" * 100))


async def test_a_missing_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_ENVOY", "/nowhere/envoy")
    async with a_town() as town:
        with pytest.raises(TrafficError, match="Envoy does not start: cannot start '/nowhere/envoy'"):
            await town.open()


async def test_an_envoy_that_ends_at_once_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLOCK_ENVOY", str(_script(tmp_path, "raise SystemExit('no such option')")))
    async with a_town() as town:
        with pytest.raises(TrafficError, match=r"Envoy ended at once: no such option; see .*envoy\.log"):
            await town.open()


AN_OLD_ENVOY = """
import http.server, json, os, pathlib, socketserver, sys
path = json.loads(pathlib.Path(sys.argv[2]).read_text())["admin"]["address"]["pipe"]["path"]
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"version": "0123abc/1.22.3/Clean/RELEASE/BoringSSL"}).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def address_string(self): return "-"
socketserver.UnixStreamServer(path, Answer).serve_forever()
"""


async def test_an_envoy_that_is_too_old_is_refused_and_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("INTERLOCK_ENVOY", str(_script(tmp_path, AN_OLD_ENVOY)))
    async with a_town() as town:
        with pytest.raises(TrafficError, match=r"is Envoy 1\.22\.3; expected 1\.40 or newer"):
            await town.open()
        assert await town.host.find(town.label) == ()


def _script(place: Path, code: str) -> Path:
    script = place / "envoy"
    script.write_text(f"#!{sys.executable}\n{code}\n")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script
