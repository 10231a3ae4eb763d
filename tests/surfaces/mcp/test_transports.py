"""Do clients of both generations come in by both doors, and nobody else?"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.surfaces.mcp.desk import ROOT, earlier_client, project
from tests.surfaces.mcp.test_tools import OFFERED

from interlock.app.state import StateDirectory

TALK = Path(__file__).with_name("talk.py")
DEADLINE = 40


def environment(place: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), "INTERLOCK_STATE": str(place / "state"), "NO_COLOR": "1"}


@contextmanager
def over_http(place: Path, *more: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve over HTTP on a free port; give the address."""
    argv = [sys.executable, "-m", "interlock", "mcp", "--http", "--port", "0", *more]
    with (place / "stderr").open("w") as errors:
        running = subprocess.Popen(
            argv, cwd=place / "shop", env=environment(place), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    with running as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip(), server
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(DEADLINE)


def talk(python: Path, place: Path, url: str, token: str, *argv: str) -> dict[str, object]:
    done = subprocess.run(
        [str(python), str(TALK), url, token, *argv],
        cwd=place / "shop",
        env={**environment(place), "PYTHONPATH": str(ROOT / "src") if python == Path(sys.executable) else ""},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said: dict[str, object] = json.loads(done.stdout)
    return said


def asked(url: str, **headers: str) -> int:
    """Ask without the library; return the status."""
    parts = urlsplit(url)
    line = HTTPConnection(parts.hostname or "", parts.port, timeout=DEADLINE)
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"})
    accepts = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    line.request(
        "POST", parts.path, body, {**accepts, **{name.replace("_", "-"): one for name, one in headers.items()}}
    )
    status = line.getresponse().status
    line.close()
    return status


@pytest.mark.parametrize("generation", ["2", "1"])
def test_a_client_comes_in_over_stdio_and_over_http_and_hears_the_same(tmp_path: Path, generation: str) -> None:
    python = Path(sys.executable) if generation == "2" else earlier_client()
    if python is None:
        pytest.skip("needs an MCP client of the earlier generation: make test installs it in .venv/mcp1")
    project(tmp_path)
    wrapper = tmp_path / "interlock"  # libraries of the earlier generation pass a few variables on, and ours not
    wrapper.write_text(
        f'#!/bin/sh\nPYTHONPATH="{ROOT / "src"}" INTERLOCK_STATE="{tmp_path / "state"}" '
        f'exec "{sys.executable}" -m interlock "$@"\n'
    )
    wrapper.chmod(0o755)
    stdio = talk(python, tmp_path, "-", "-", str(wrapper), "mcp")
    with over_http(tmp_path) as (url, _):
        token = StateDirectory(tmp_path / "state").mcp_token.read_text().strip()
        http = talk(python, tmp_path, url, token)
    assert stdio == http
    assert stdio["tools"] == OFFERED and stdio["prompts"] == ["deployment", "incident"]
    plan, wrong = stdio["plan"], stdio["wrong"]
    assert isinstance(plan, dict) and isinstance(wrong, dict)
    assert not plan["error"] and plan["fields"]["plan"] in str(stdio["read"]) and stdio["progress"] == ["planning v1"]
    assert wrong["error"] and "force: Extra inputs are not permitted" in wrong["text"]


def test_over_http_nobody_comes_in_without_the_token_or_from_another_page(tmp_path: Path) -> None:
    project(tmp_path)
    with over_http(tmp_path) as (url, server):
        file = StateDirectory(tmp_path / "state").mcp_token
        token, host = file.read_text().strip(), urlsplit(url).netloc
        assert url.startswith("http://127.0.0.1:") and file.stat().st_mode & 0o777 == 0o600 and len(token) >= 32
        bearer = f"Bearer {token}"
        assert asked(url) == 401
        assert asked(url, Authorization="Bearer wrong") == 401
        assert asked(url, Authorization=token) == 401
        assert asked(url, Authorization=bearer, Host="evil.example") == 421
        assert asked(url, Authorization=bearer, Origin="https://evil.example") == 403
        assert asked(url, Authorization=bearer, Host=host) in (200, 400)
        argv = Path(f"/proc/{server.pid}/cmdline").read_bytes() + Path(f"/proc/{server.pid}/environ").read_bytes()
        assert token.encode() not in argv
    with over_http(tmp_path, "--new-token") as (url, _):
        assert file.read_text().strip() != token and asked(url, Authorization=bearer) == 401
        file.chmod(0o644)
    assert token not in (tmp_path / "stderr").read_text()
    argv_again = [sys.executable, "-m", "interlock", "mcp", "--http", "--port", "0"]
    done = subprocess.run(
        argv_again, cwd=tmp_path / "shop", env=environment(tmp_path), capture_output=True, text=True, timeout=DEADLINE
    )
    assert done.returncode == 1 and "can be read by others: chmod 600 it" in done.stderr


def test_the_server_on_stdio_says_nothing_but_the_protocol_there_and_ends_with_its_client(tmp_path: Path) -> None:
    project(tmp_path)
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}
    lines = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "get_rollout", "arguments": {}}},
    ]
    with (tmp_path / "stderr").open("w") as errors:
        running = subprocess.Popen(
            [sys.executable, "-m", "interlock", "mcp"],
            cwd=tmp_path / "shop",
            env=environment(tmp_path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    with running as server:
        assert server.stdin is not None and server.stdout is not None
        server.stdin.write("".join(json.dumps(line) + "\n" for line in lines))
        server.stdin.flush()
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        server.stdin.close()
        assert server.wait(DEADLINE) == 0 and server.stdout.read() == ""
    assert [one["id"] for one in answers] == [1, 2] and "Traceback" not in (tmp_path / "stderr").read_text()


def test_without_the_optional_part_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['mcp'] = None; from interlock.surfaces.cli import main; sys.exit(main(['mcp']))"
    done = subprocess.run(
        [sys.executable, "-c", hide],
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 1 and "pip install 'interlock[mcp]'" in done.stderr
