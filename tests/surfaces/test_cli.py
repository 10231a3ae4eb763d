"""Do bugs, interruptions, orders and the time a command takes come out as promised?"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tests.surfaces.worlds import keep, seen

from interlock.app.state import StateDirectory
from interlock.app.verbs import App
from interlock.app.view import View, look
from interlock.core.events import Order, OrderKind
from interlock.core.rollout import Rollout
from interlock.core.transitions import advance
from interlock.surfaces import cli
from interlock.surfaces.cli import follow, orders, rollback
from interlock.surfaces.cli.call import Call
from interlock.surfaces.cli.errors import told
from interlock.surfaces.cli.exits import Exit
from interlock.surfaces.cli.parser import COMMANDS, module_of

SOURCE = Path(__file__).parents[2] / "src"
SLOW = (
    *("fastapi", "uvicorn", "mcp", "kubernetes", "pydantic", "ruamel", "typer", "tempfile", "difflib", "zoneinfo"),
    *("asyncio", "ssl", "logging", "subprocess", "concurrent.futures", "http", "email", "urllib.request", "rich.live"),
    *(
        "interlock.app.verbs",
        "interlock.config",
        "interlock.engine",
        "interlock.twin",
        "interlock.adapters.store.sqlite",
    ),
    *("interlock.core.audit", "interlock.core.events", "interlock.core.transitions", "interlock.core.judge"),
)
"""What takes its milliseconds, and looking does not need: an event loop, the store that writes, what moves a run."""


class Stand:
    """Stands in for the verbs over one run, and obeys the table."""

    def __init__(self, *views: str) -> None:
        self.views = [seen(name) for name in views]
        self.orders: list[Order] = []

    async def view(self, run: str | None = None) -> View:
        return self.views[0][0]

    async def order(
        self, run: str | None, kind: OrderKind, reason: str = "", key: str = "", seen: Rollout | None = None
    ) -> Rollout:
        view, now = self.views[0]
        index, phase = (None, None) if seen is None else (seen.index, seen.phase)
        order = Order(now, kind, "ada", "k", reason, index, phase)
        self.orders.append(order)
        if len(self.views) > 1:
            self.views.pop(0)
        return advance(view.current, order)


def a_call(stand: Stand, **options: Any) -> Call:
    usual = {"run": None, "reason": "", "watch": False, "output": "text", "no_color": True}
    call = Call(Namespace(**{**usual, **options}))
    vars(call)["app"] = stand
    return call


def test_a_promote_carries_what_its_sender_saw(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand("watched")
    assert asyncio.run(orders.run(a_call(stand, command="promote", reason="trust me"))) is Exit.OK
    (order,) = stand.orders
    assert (order.index, order.phase, order.reason) == (6, "progressing", "trust me")
    said = capsys.readouterr().out
    assert "step 7 (watch 1 min, until proven) ended without proof; the report says who did it" in said
    assert "Now step 8/16" in said


def test_an_abort_carries_nothing_so_that_it_is_always_heard(capsys: pytest.CaptureFixture[str]) -> None:
    stand = Stand("watched")
    assert asyncio.run(orders.run(a_call(stand, command="abort"))) is Exit.OK
    (order,) = stand.orders
    assert (order.index, order.phase) == (None, None)
    assert "goes back to 1 (production-1); nothing is quarantined by an order" in capsys.readouterr().out


def test_a_pause_says_what_goes_on_meanwhile_and_how_it_ends(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(orders.run(a_call(Stand("watched"), command="pause")))
    said = capsys.readouterr().out
    assert "it is watched on and goes back when it fails, or after a day" in said
    assert "interlock resume shop-2" in said


def test_an_order_for_programs_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(orders.run(a_call(Stand("watched"), command="pause", output="json")))
    document = json.loads(capsys.readouterr().out)
    assert (document["type"], document["order"], document["phase"]) == ("order", "pause", "paused")


def test_a_rollback_under_way_is_an_abort_and_ends_well_when_it_is_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    keep(seen("watched")[0], tmp_path)
    stand = Stand("watched", "rolled back")
    call = a_call(stand, version=None, detach=False, timeout=None, supersede=False)
    call.options.state = str(tmp_path)
    call.options.file = None
    assert asyncio.run(rollback.run(call)) is Exit.OK
    assert [order.kind for order in stand.orders] == [OrderKind.ABORT]
    said = capsys.readouterr().out
    assert "shop-2-production is under way: it goes back now, as with `interlock abort`" in said
    assert "production runs 1 again" in said
    assert "1/16 gate" not in said, "what happened before the order is not told again"


def test_following_ends_with_the_status_of_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    call = a_call(Stand("rolled back"))
    call.live = False
    assert asyncio.run(follow.follow(call, "shop-2", None)) is Exit.ROLLED_BACK
    assert capsys.readouterr().out.splitlines()[-1].startswith("rolled back: production runs 1 again.")


def test_an_interruption_says_what_goes_on(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(call: Call) -> int:
        call.goes_on = follow.goes_on("shop-2")
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_run", interrupted)
    assert cli.main(["get"]) == 130
    assert "shop-2 goes on without you. Watch it: interlock get shop-2 -w" in capsys.readouterr().err


def test_a_bug_is_one_line_and_its_traceback_a_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(call: Call) -> int:
        raise ZeroDivisionError("two lines\nof text")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(cli, "_run", broken)
    assert cli.main(["get"]) == Exit.ERROR
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: two lines. This is a bug in Interlock; its traceback is in ")
    assert said.count("\n") == 1
    (file,) = tmp_path.iterdir()
    assert "raise ZeroDivisionError" in file.read_text()


def test_every_exception_of_ours_is_a_paragraph_and_those_that_block_say_so_by_status() -> None:
    from interlock.app.verbs import Blocked, KeeperError
    from interlock.ports.store import Busy, StoreError

    busy = Busy(seen("watched")[0].current)
    assert told(busy)[1] is Exit.BLOCKED
    assert "shop-2-production, progressing, by ada since" in told(busy)[0]
    assert told(Blocked("no"))[1] is Exit.BLOCKED
    assert told(KeeperError("no")) == ("error: no", Exit.ERROR)
    assert told(StoreError("no")) == ("error: no", Exit.ERROR)
    assert told(PermissionError(13, "Permission denied", "/x")) == ("error: /x: Permission denied", Exit.ERROR)


@pytest.mark.parametrize("name", [n for group in COMMANDS.values() for n in group if n != "demo"])
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main([name, "--help"])
    assert end.value.code == 0
    assert f"usage: interlock {name}" in capsys.readouterr().out
    assert callable(module_of(name).run)


async def test_to_look_at_the_newest_run_reads_no_other(tmp_path: Path) -> None:
    newest, _ = await asyncio.to_thread(seen, "succeeded")
    for name in ("rolled back", "succeeded"):  # the same ids: the earlier ones are renamed
        view, _ = await asyncio.to_thread(seen, name)
        await asyncio.to_thread(keep, view, tmp_path)
        with contextlib.closing(sqlite3.connect(tmp_path / "interlock.db")) as db, db:
            if name == "rolled back":
                db.execute("UPDATE entries SET rollout = 'earlier-' || rollout")
                db.execute(
                    "UPDATE rollouts SET id = 'earlier-' || id, run = 'earlier', over = 1, record = 'unreadable'"
                )
    assert (await App(StateDirectory(tmp_path)).view()).run == newest.run
    assert (await asyncio.to_thread(look, StateDirectory(tmp_path))).run == newest.run


def test_help_and_get_import_nothing_slow(tmp_path: Path) -> None:
    keep(seen("succeeded")[0], tmp_path / "state")
    (tmp_path / "state" / "runtime").write_text(str(tmp_path))
    for arguments in (["--help"], ["--state", str(tmp_path / "state"), "get"]):
        code = (
            "import sys\nfrom interlock.surfaces.cli import main\n"
            f"try:\n    main({arguments!r})\nexcept SystemExit:\n    pass\n"
            f"sys.exit(' '.join(name for name in {SLOW!r} if name in sys.modules))"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            timeout=50,
        )
        assert done.stderr.strip() == "", f"{arguments} imports {done.stderr}"
        assert done.stdout
