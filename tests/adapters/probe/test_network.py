from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from interlock.adapters.probe.network import NetworkProber, check
from interlock.core.health import Answer, Identify, Probe, ProbeKind, SmokeTest
from interlock.core.release import Artefact, Configuration, Protocol, Release, Revision
from interlock.ports.probe import Prober

PATH = {"PATH": os.environ["PATH"]}
SHORT = timedelta(milliseconds=300)
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[str]:
    """Serve on a free port; `talk` has each connection for itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await talk(reader, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def answering(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Talk:
    """Answer each request so; the request's head is in the header `asked`."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked = head.split("\r\n")[0] + " " + next(h for h in head.split("\r\n") if h.lower().startswith("host"))
        lines = {"content-length": str(len(content)), "asked": asked, **(headers or {})}
        block = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{block}\r\n".encode() + content)
        await writer.drain()

    return talk


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def ask(probe: Probe, address: str) -> Answer:
    return await check(probe, address, Path("/"), PATH)


@pytest.mark.parametrize(("status", "ok"), [(200, True), (204, True), (399, True), (400, False), (503, False)])
async def test_http_wants_a_status_from_200_to_399(status: int, ok: bool) -> None:
    async with listening(answering(b"" if status == 204 else {"db": "down"}, status)) as address:
        answer = await ask(Probe(path="/health"), address)
    assert answer.ok == ok
    if not ok:
        assert answer.reason == f'GET /health was answered {status} ({{"db": "down"}}), expected 200–399'


BODY = {
    "database": "ok",
    "ready": True,
    "error": None,
    "count": 3,
    "checks": {"cache": {"state": "ok"}, "a.b": "dotted"},
    "parts": [{"name": "one"}, {"name": "two"}],
    "list": [1, True],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("database", "ok"),
        ("ready", "true"),
        ("error", "null"),
        ("count", "3"),
        ("checks.cache.state", "ok"),
        ("checks.a.b", "dotted"),
        ("parts.1.name", "two"),
        ("list", "[1,true]"),
        ("checks.cache", '{"state":"ok"}'),
    ],
)
async def test_a_json_field_is_found_by_its_dotted_name_and_compared_as_json_spells_it(name: str, value: str) -> None:
    async with listening(answering(BODY)) as address:
        assert await ask(Probe(fields=((name, value),)), address) == Answer(True)
        other = await ask(Probe(fields=(("database", "ok"), (name, value + "x"))), address)
    assert other == Answer(False, f"GET /: field {name} is {value}, expected {value}x")


@pytest.mark.parametrize("name", ["cache", "database.x", "parts.2.name", "parts.x", "list.0.x", ""])
async def test_a_missing_field_is_named(name: str) -> None:
    async with listening(answering(BODY)) as address:
        answer = await ask(Probe(fields=((name, "ok"),)), address)
    assert not answer.ok
    assert f"no field {name}" in answer.reason


async def test_a_number_is_compared_as_it_was_written() -> None:
    async with listening(answering(b'{"n": 1.0, "big": 12345678901234567890123}')) as address:
        assert (await ask(Probe(fields=(("n", "1.0"), ("big", "12345678901234567890123"))), address)).ok
        assert not (await ask(Probe(fields=(("n", "1"),)), address)).ok


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"\xff\xfe"])
async def test_what_is_not_json_has_no_fields(body: bytes) -> None:
    async with listening(answering(body)) as address:
        answer = await ask(Probe(fields=(("database", "ok"),)), address)
    assert not answer.ok
    assert "without JSON" in answer.reason
    assert len(answer.reason) < 300


async def test_a_body_is_bounded() -> None:
    async with listening(answering(b"x" * (1 << 20))) as address:
        assert (await ask(Probe(), address)).ok
    async with listening(answering(b"x" * ((1 << 20) + 1))) as address:
        assert "longer than 1 MiB" in (await ask(Probe(), address)).reason


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.GRPC])
async def test_silence_is_no_answer_and_ends_in_time(kind: ProbeKind) -> None:
    async with listening(silent) as address:
        answer = await ask(Probe(kind=kind, timeout=SHORT), address)
    assert not answer.ok
    assert "within 0.3 s" in answer.reason


@pytest.mark.parametrize("kind", [ProbeKind.HTTP, ProbeKind.GRPC, ProbeKind.TCP])
async def test_nobody_listening_is_said(kind: ProbeKind) -> None:
    async with listening(silent) as address:
        pass
    answer = await ask(Probe(kind=kind), address)
    assert not answer.ok
    assert "onnect" in answer.reason


async def test_tcp_wants_a_connection_only() -> None:
    async with listening(silent) as address:
        assert await ask(Probe(kind=ProbeKind.TCP), address) == Answer(True)


@pytest.mark.parametrize("path", ["/with space", "", "/ü"])
async def test_a_path_that_http_does_not_allow_is_an_answer_and_no_exception(path: str) -> None:
    async with listening(answering({})) as address:
        assert isinstance(await ask(Probe(path=path), address), Answer)


def python(code: str, timeout: timedelta = timedelta(seconds=20)) -> Probe:
    return Probe(kind=ProbeKind.COMMAND, command=(sys.executable, "-c", code), timeout=timeout)


async def test_a_command_runs_in_the_directory_with_the_environment(tmp_path: Path) -> None:
    code = "import os, sys; sys.exit(not (os.getcwd() == os.environ['HERE'] and 'HOME' not in os.environ))"
    assert await check(python(code), "", tmp_path, {"HERE": str(tmp_path)}) == Answer(True)


async def test_a_failing_command_says_how_and_its_last_line(tmp_path: Path) -> None:
    answer = await check(python("print('x' * 200_000); print('no\\x1b[31m luck'); exit(3)"), "", tmp_path, PATH)
    assert answer == Answer(False, f"command {sys.executable} ended with status 3 (no[31m luck)")
    answer = await check(python("import os; os.kill(os.getpid(), 9)"), "", tmp_path, PATH)
    assert answer == Answer(False, f"command {sys.executable} was ended by SIGKILL")


async def test_a_command_that_does_not_end_is_killed_with_all_its_group(tmp_path: Path) -> None:
    code = "sleep 600 & echo $! > member; echo waiting; wait"
    probe = Probe(kind=ProbeKind.COMMAND, command=("sh", "-c", code), timeout=timedelta(seconds=1))
    answer = await check(probe, "", tmp_path, PATH)
    assert answer == Answer(False, "command sh did not end within 1 s (waiting)")
    await gone(int((tmp_path / "member").read_text()))


async def test_a_command_is_killed_when_nobody_waits_for_it_any_more(tmp_path: Path) -> None:
    asking = asyncio.create_task(
        check(python("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(600)"), "", tmp_path, PATH)
    )
    async with asyncio.timeout(20):
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
    asking.cancel()
    await asyncio.wait({asking})
    await gone(int((tmp_path / "pid").read_text()))


async def test_a_command_that_leaves_a_process_behind_does_not_make_us_wait(tmp_path: Path) -> None:
    before = time.monotonic()
    probe = Probe(kind=ProbeKind.COMMAND, command=("sh", "-c", "sleep 30 & exit 0"), timeout=timedelta(seconds=25))
    assert (await check(probe, "", tmp_path, PATH)).ok
    assert time.monotonic() - before < 20


@pytest.mark.parametrize("argv", [("no-such-program",), (), ("true", "a\0b")])
async def test_a_command_that_cannot_run_is_an_answer(tmp_path: Path, argv: tuple[str, ...]) -> None:
    answer = await check(Probe(kind=ProbeKind.COMMAND, command=argv), "", tmp_path, PATH)
    assert not answer.ok
    assert "cannot run" in answer.reason


async def gone(pid: int) -> None:
    async with asyncio.timeout(20):
        while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]:
            await asyncio.sleep(0.02)


def health(reply: bytes, status: str = "0", asked: list[bytes] | None = None) -> Talk:
    """A gRPC server, as far as a health check sees it."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        while received := await reader.read(1 << 14):
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.DataReceived) and asked is not None:
                    asked.append(event.data or b"")
                if isinstance(event, h2.events.StreamEnded):
                    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    connection.send_data(1, reply)
                    connection.send_headers(1, [("grpc-status", status), ("grpc-message", "why%21")], end_stream=True)
            writer.write(connection.data_to_send())

    return talk


@pytest.mark.parametrize(
    ("reply", "status", "reason"),
    [
        (b"\0\0\0\0\2\x08\x01", "0", ""),
        (b"\0\0\0\0\2\x08\x02", "0", "NOT_SERVING"),
        (b"\0\0\0\0\0", "0", "UNKNOWN"),
        (b"", "5", "gRPC status 5 why!"),
        (b"", "12", "does it register the health service"),
        (b"junk", "0", "not a HealthCheckResponse"),
    ],
)
async def test_grpc_wants_serving(reply: bytes, status: str, reason: str) -> None:
    async with listening(health(reply, status)) as address:
        answer = await ask(Probe(kind=ProbeKind.GRPC), address)
    assert answer.ok == (reason == "")
    assert reason in answer.reason


async def test_grpc_asks_for_the_service_in_the_path() -> None:
    asked: list[bytes] = []
    async with listening(health(b"\0\0\0\0\2\x08\x01", asked=asked)) as address:
        assert (await ask(Probe(kind=ProbeKind.GRPC, path="/shop.Cart"), address)).ok
        assert (await ask(Probe(kind=ProbeKind.GRPC, path="/"), address)).ok
        assert (await ask(Probe(kind=ProbeKind.GRPC, path="x" * 200), address)).ok
    assert asked == [b"\0\0\0\0\x0b\x0a\x09shop.Cart", b"\0\0\0\0\0", b"\0\0\0\0\xcb\x0a\xc8\x01" + b"x" * 200]


async def test_grpc_to_a_server_that_speaks_something_else_is_an_answer() -> None:
    async with listening(answering({})) as address:
        assert not (await ask(Probe(kind=ProbeKind.GRPC), address)).ok


def http2(status: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> Talk:
    """A server of HTTP/2 only, which ends a connection that begins otherwise."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        writer.write(connection.data_to_send())
        with suppress(h2.exceptions.ProtocolError):
            while received := await reader.read(1 << 14):
                for event in connection.receive_data(received):
                    if isinstance(event, h2.events.StreamEnded):
                        connection.send_headers(1, [(":status", status), *headers])
                        connection.send_data(1, body, end_stream=True)
                writer.write(connection.data_to_send())

    return talk


async def test_http_is_asked_in_http2_where_the_service_speaks_it() -> None:
    probe = Probe(path="/ready", fields=(("database", "ok"),))
    for protocol in (Protocol.H2C, Protocol.GRPC):
        async with listening(http2("200", b'{"database": "ok"}')) as address:
            assert await check(probe, address, Path("/"), PATH, protocol) == Answer(True)
        async with listening(http2("503", b"no")) as address:
            answer = await check(probe, address, Path("/"), PATH, protocol)
            assert answer.reason == "GET /ready was answered 503 (no), expected 200–399"
        async with listening(silent) as address:
            answer = await check(Probe(timeout=SHORT), address, Path("/"), PATH, protocol)
            assert "within 0.3 s" in answer.reason


async def test_who_speaks_the_other_http_is_told_so() -> None:
    async with listening(http2("200", b"")) as address:
        answer = await check(Probe(), address, Path("/"), PATH, Protocol.HTTP1)
    assert not answer.ok and "does the service speak HTTP/2 (`protocol: h2c` or `grpc`)?" in answer.reason

    async def bad_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()

    async with listening(bad_request) as address:
        answer = await check(Probe(), address, Path("/"), PATH, Protocol.H2C)
    assert not answer.ok and "does the service speak `protocol: http1`?" in answer.reason


def revision(identify: Identify | None = None) -> Revision:
    configuration = Configuration(command=("true",), identify=identify)
    return Revision("web-2", "staging", Release("web", "v2", Artefact("sha256:ab", "here"), configuration, "c"))


async def smoke(test: SmokeTest, talk: Talk, who: Revision, tmp_path: Path = Path("/")) -> Answer:
    prober: Prober = NetworkProber(tmp_path)
    async with listening(talk) as address:
        return await prober.smoke(test, who, f"http://{address}")


@pytest.mark.parametrize(
    ("test", "reason"),
    [
        (SmokeTest("t", status=201), ""),
        (SmokeTest("t", status=201, method="POST", fields=(("a", "1"),), matches=r'"a":\s*\d'), ""),
        (SmokeTest("t"), 'smoke test t: GET / was answered 201 ({"a": 1}), expected 200'),
        (SmokeTest("t", status=201, fields=(("a", "2"),)), "smoke test t: GET /: field a is 1, expected 2"),
        (SmokeTest("t", status=201, matches="b+"), "smoke test t: GET /: no match of 'b+' in the answer ({\"a\": 1})"),
        (SmokeTest("t", status=201, matches="("), "smoke test t: the expression '(' cannot be used"),
    ],
)
async def test_a_smoke_test_wants_status_fields_and_a_match(test: SmokeTest, reason: str) -> None:
    answer = await smoke(test, answering({"a": 1}, 201), revision())
    assert answer.ok == (reason == "")
    assert answer.reason.startswith(reason)


@pytest.mark.parametrize("identify", [Identify(header="X-Version"), Identify(field="app.version", path="/version")])
async def test_an_old_version_passes_no_smoke_test(identify: Identify) -> None:
    for version, ok in (("v2", True), ("v1", False)):
        talk = answering({"app": {"version": version}}, headers={"x-version": version})
        answer = await smoke(SmokeTest("t"), talk, revision(identify))
        assert answer.ok == ok
    assert "answered by version v1" in answer.reason
    assert "expected v2" in answer.reason
    missing = await smoke(SmokeTest("t"), answering({}), revision(identify))
    assert "without" in missing.reason
    assert not missing.ok


async def test_a_version_is_not_asked_for_where_the_file_names_no_place() -> None:
    async with listening(silent) as address:
        assert await NetworkProber(Path("/")).identify(revision(), f"http://{address}") == Answer(True, "not asked")


async def test_a_smoke_command_gets_the_preview_and_runs_beside_the_artefact(tmp_path: Path) -> None:
    (tmp_path / "ab").mkdir()
    code = """
import os, urllib.request
assert os.getcwd().endswith("/ab"), os.getcwd()
assert os.environ["INTERLOCK_VERSION"] == "v2"
print(urllib.request.urlopen(os.environ["INTERLOCK_PREVIEW_URL"] + "/x").read())
raise SystemExit(4)"""
    test = SmokeTest("t", command=(sys.executable, "-c", code))
    answer = await smoke(test, answering(b"hello"), revision(), tmp_path)
    assert answer == Answer(False, f"smoke test t: command {sys.executable} ended with status 4 (b'hello')")


async def test_a_preview_may_have_a_path_and_a_name_below_localhost() -> None:
    async with listening(answering(b"", headers={})) as address:
        port = address.rpartition(":")[2]
        seen = replace(
            revision(), release=replace(revision().release, version=f"GET /p/x HTTP/1.1 Host: r.localhost:{port}")
        )
        identify = Identify(header="asked", path="/x")
        seen = replace(
            seen, release=replace(seen.release, configuration=replace(seen.release.configuration, identify=identify))
        )
        assert await NetworkProber(Path("/")).identify(seen, f"http://r.localhost:{port}/p/") == Answer(True)


async def test_what_a_smoke_test_quotes_is_shown_without_secrets(tmp_path: Path) -> None:
    (tmp_path / "f1").write_text("sesame and more")
    test = SmokeTest("t", command=("sh", "-c", 'echo "no login with $(printf %s "sesame and more" | base64)"; exit 1'))
    answer = await NetworkProber(tmp_path, tmp_path).smoke(test, revision(), "http://127.0.0.1:1")
    assert answer.reason.endswith("(no login with [secret])"), answer.reason
