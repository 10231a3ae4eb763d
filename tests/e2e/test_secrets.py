"""Where does a secret's value show? In the instance that needs it, and in a file that only its user can read."""

from __future__ import annotations

import secrets
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from tests.e2e.town import Town, has_users

from interlock.app.secrets import keep
from interlock.core.phase import Phase
from interlock.core.steps import Start


def bytes_below(place: Path, *but: Path) -> dict[Path, bytes]:
    """Return the content of all files, but of those below some places.

    Another process reads: were we to close a file of SQLite's, we would lose the locks of our own connection on it.
    """
    files = [path for path in place.rglob("*") if path.is_file() and not any(path.is_relative_to(one) for one in but)]
    return {path: subprocess.run(["cat", path], capture_output=True, timeout=30).stdout for path in files}


async def command_lines(town: Town) -> bytes:
    """Return the arguments of all processes of the town."""
    found = b""
    for one in await town.host.find(town.state.label):
        found += Path(f"/proc/{one.pid}/cmdline").read_bytes()
    return found


async def test_a_secret_reaches_its_instance_and_no_byte_that_we_write(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"hush-{secrets.token_hex(16)}"
    monkeypatch.setenv("SHOP_PASSWORD", value)
    fingerprint = keep(town.state.secrets, ["env:SHOP_PASSWORD"])["env:SHOP_PASSWORD"]
    wish = town.wish(secrets=(("PASSWORD", fingerprint),), bake=timedelta(seconds=20))
    run = await town.start(wish)
    await town.until(run, has_users, "users on the canary")
    (pid,) = await town.processes(town.revisions[wish.version][-1])
    assert f"PASSWORD={value}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    view = await town.view(run)
    assert value not in repr(view)
    assert value.encode() not in await command_lines(town)
    await town.abort(run)
    await town.over(run)
    written = bytes_below(town.state.path, town.state.secrets)
    assert [path for path, content in written.items() if value.encode() in content] == []
    for path in town.state.secrets.iterdir():
        assert path.stat().st_mode & 0o077 == 0


async def test_a_secret_in_an_instances_last_words_is_hidden_wherever_they_are_shown(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"hush-{secrets.token_hex(16)}"
    monkeypatch.setenv("SHOP_PASSWORD", value)
    fingerprint = keep(town.state.secrets, ["env:SHOP_PASSWORD"])["env:SHOP_PASSWORD"]
    wish = town.wish(secrets=(("PASSWORD", fingerprint),), manners={"crashes": True})
    run = await town.start(wish)
    rollout = await town.until(run, lambda one: one.over or isinstance(one.next_step, Start), "its start")
    ended = await town.over(rollout.run)
    assert ended.phase is Phase.ROLLED_BACK
    assert "fatal: no such database: [secret]" in ended.reason
    logs = town.state.instances / "logs"  # what the instance wrote itself
    written = bytes_below(town.state.path, town.state.secrets, logs)
    assert [path for path, content in written.items() if value.encode() in content] == []
