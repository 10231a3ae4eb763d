"""Are those whom the file names settled into a plan, with their secrets kept, and is one that cannot be told said?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.adapters.notify.letters import news
from tests.config.test_load import TEN, read
from tests.engine.stories import revision, stage

from interlock.adapters.clock import SystemClock
from interlock.adapters.memory import EPOCH
from interlock.adapters.memory_store import MemoryStore
from interlock.app import readers as module
from interlock.app.announce import announced, announced_anyway
from interlock.app.readers import ChannelError, readers
from interlock.app.secrets import SecretError
from interlock.app.state import StateDirectory
from interlock.config import File
from interlock.core.channel import Webhook
from interlock.core.plan import Plan
from interlock.core.rollout import begin
from interlock.ports.notify import Undelivered
from interlock.ports.store import Entry

HOOK = "notify: [{name: hook, webhook: {url: env:HOOK, secret: env:KEY}}]\n"
PLAN = Plan("shop", "v2", (stage(revision("v2"), None),), EPOCH)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def file(tmp_path: Path, more: str) -> File:
    return read(tmp_path, TEN + more)


def test_a_plan_names_channels_with_fingerprints_and_its_hash_says_so(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.org/T0/geheim")
    monkeypatch.setenv("KEY", "geheim-too")
    plan = announced(PLAN, file(tmp_path, HOOK + "docs: {}\n"), state)
    (channel,) = plan.channels
    assert isinstance(channel.by, Webhook) and "geheim" not in repr(plan)
    assert (state.secrets / channel.by.url_secret).read_text() == "https://hooks.example.org/T0/geheim"
    assert plan.hash != PLAN.hash and plan.log is not None
    names = [one.name for one in readers(state, MemoryStore(), SystemClock(), plan)]
    assert names == ["notify:hook", "docs"]


def test_a_secret_that_is_not_at_hand_forbids_a_deploy(tmp_path: Path, state: StateDirectory) -> None:
    with pytest.raises(SecretError, match="the secret env:HOOK is not set"):
        announced(PLAN, file(tmp_path, HOOK), state)


def test_a_secret_that_holds_no_address_is_said_without_it(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "geheim")
    monkeypatch.setenv("KEY", "k")
    with pytest.raises(ChannelError, match="notify hook: env:HOOK holds no address") as error:
        announced(PLAN, file(tmp_path, HOOK), state)
    assert "geheim" not in str(error.value)


def test_without_apprise_a_plan_that_needs_it_says_how_to_install_it(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT", "slack://x")
    monkeypatch.setattr(module, "installed", lambda: False)
    with pytest.raises(ChannelError, match=r"notify chat: apprise is not installed: pip install 'interlock\[notify\]'"):
        announced(PLAN, file(tmp_path, "notify: [{name: chat, apprise: env:CHAT}]\n"), state)


async def test_to_go_back_is_not_held_up_by_a_missing_secret_and_takes_the_one_kept_last(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, store = file(tmp_path, HOOK), MemoryStore()
    assert (await announced_anyway(PLAN, wanted, state, store)).channels == ()
    monkeypatch.setenv("HOOK", "https://hooks.example.org/T0/geheim")
    monkeypatch.setenv("KEY", "k")
    before = announced(PLAN, wanted, state)
    await store.add_plan(before)
    rollout = begin("shop-1-production", "shop-1", before.hash, before.stages[0], EPOCH)
    await store.begin(rollout, Entry(EPOCH, "began", "", {}))
    monkeypatch.delenv("HOOK")
    assert (await announced_anyway(PLAN, wanted, state, store)).channels == before.channels


async def test_a_secret_that_is_gone_is_tried_again_and_said_without_its_place(
    tmp_path: Path, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOOK", "https://hooks.example.org/T0/geheim")
    monkeypatch.setenv("KEY", "k")
    plan = announced(PLAN, file(tmp_path, HOOK), state)
    for path in state.secrets.iterdir():
        path.unlink()
    (reader,) = readers(state, MemoryStore(), SystemClock(), plan)
    with pytest.raises(Undelivered, match="notify hook: its secret cannot be read"):
        await reader.take(replace(news(), text="x"))
