"""Do those on call get mail through the file's mail channel, with a link that is theirs?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.adapters.notify.sink import MailSink, Receiver, listening
from tests.adapters.notify.test_library import Board, needs_apprise
from tests.engine.stories import revision, stage

from interlock.adapters.clock import SystemClock
from interlock.adapters.memory import EPOCH
from interlock.adapters.memory_store import MemoryStore
from interlock.app.duty import ChannelError, checked
from interlock.app.readers import readers
from interlock.app.secrets import key_for
from interlock.app.state import StateDirectory
from interlock.core import link
from interlock.core.channel import Apprise, Channel, Mail, Security, Webhook
from interlock.core.conditions import Conditions
from interlock.core.news import news
from interlock.core.on_call import OnCall, Reach, Roster
from interlock.core.plan import Plan
from interlock.core.rollout import begin
from interlock.engine.duty import Duty
from interlock.ports.store import Entry


class Still:
    """A clock that stands still."""

    boot = "boot"

    def now(self) -> object:
        return EPOCH

    def monotonic(self) -> float:
        return 0.0


async def test_who_is_on_call_gets_mail_at_their_own_address_with_a_link_that_is_theirs(tmp_path: Path) -> None:
    sink = MailSink()
    async with listening(sink):
        mail = Mail(("team@example.org",), "interlock@example.org", "127.0.0.1", sink.port, Security.NOTHING)
        call = OnCall(Roster(("ada@example.org", "grace")), acknowledge=True, within=timedelta(minutes=9))
        one = replace(stage(revision("v2"), None), conditions=Conditions(on_call=call))
        plan = Plan("shop", "v2", (one,), EPOCH, channels=(Channel("team", mail),))
        state, store = StateDirectory(tmp_path / "state"), MemoryStore()
        rollout = begin("shop-1-production", "shop-1", plan.hash, one, EPOCH)
        await store.add_plan(plan)
        await store.begin(rollout, Entry(EPOCH, "began", "it begins", {}))
        reader = readers(state, store, Still(), plan)[-1]  # type: ignore[arg-type]
        assert isinstance(reader, Duty)
        (first,) = reader.wants(news(plan, rollout, await store.entries(rollout.id)))
        await reader.take(first)
    (sent,) = sink.mails
    assert sent["To"] == "ada@example.org"
    token = sent.get_content().split("--token ")[1].split()[0]
    given = link.read(token, key_for(state.secrets, link.CHANNEL), EPOCH)
    assert (given.order, given.rollout, given.person) == ("acknowledge", rollout.id, "ada@example.org")
    assert given.expires == EPOCH + timedelta(minutes=9)
    (told,) = [line.text for line in await store.entries(rollout.id) if line.kind == "told"]
    assert told.startswith("on call and told that it begins: ada@example.org; on call and not told") and "grace" in told


@needs_apprise
async def test_who_has_ways_of_their_own_is_told_by_them_and_mail_goes_where_the_file_says(tmp_path: Path) -> None:
    sink, pager, phone = MailSink(), Receiver(key=b"geheim"), Board()
    async with listening(sink), listening(pager), listening(phone):
        secrets = tmp_path / "state" / "secrets"
        secrets.mkdir(parents=True)
        (secrets / "f1").write_text("geheim")
        (secrets / "f2").write_text(f"json://127.0.0.1:{phone.port}/geheim")
        mail = Mail(("team@example.org",), "interlock@example.org", "127.0.0.1", sink.port, Security.NOTHING)
        ways = (Webhook(f"http://127.0.0.1:{pager.port}/", key_secret="f1"), Apprise("f2"))
        reach = (Reach("Grace", "grace@home.example", ways), Reach("ada", by=ways[:1]))
        call = OnCall(Roster(("grace", "ada", "hedy")), reach=reach)
        one = replace(stage(revision("v2"), None), conditions=Conditions(on_call=call))
        plan = Plan("shop", "v2", (one,), EPOCH, channels=(Channel("team", mail),))
        state, store = StateDirectory(tmp_path / "state"), MemoryStore()
        rollout = begin("shop-1-production", "shop-1", plan.hash, one, EPOCH)
        await store.add_plan(plan)
        await store.begin(rollout, Entry(EPOCH, "began", "it begins", {}))
        reader = readers(state, store, SystemClock(), plan)[-1]
        (first,) = reader.wants(news(plan, rollout, await store.entries(rollout.id)))
        await reader.take(first)
    assert [one["To"] for one in sink.mails] == ["grace@home.example"]
    assert len(pager.shown) == 1, "one key, so it is shown once, though two people were told by it"
    assert [one["title"].split(":")[0] for one in phone.shown] == ["Started"]
    (told,) = [line.text for line in await store.entries(rollout.id) if line.kind == "told"]
    assert told == (
        "on call and told that it begins: grace, ada; on call and not told that it begins, as nothing in the file "
        "reaches them: hedy"
    )
    assert "geheim" not in told


def test_a_way_that_cannot_be_used_is_said_before_anything_begins(tmp_path: Path) -> None:
    def settled(channel: Channel) -> Channel:
        raise ChannelError(f"notify {channel.name}: not here")

    def call(*reach: Reach) -> OnCall:
        return OnCall(Roster(("ada",)), reach=reach)

    with pytest.raises(ChannelError, match="notify on-call ada: not here"):
        checked(call(Reach("ada", by=(Apprise("env:X"),))), (), settled)
    with pytest.raises(ChannelError, match=r"gates\.on_call\.reach\.ada: mail goes through the first mail channel"):
        checked(call(Reach("ada", "ada@example.org")), (), settled)
    checked(call(Reach("ada", "a@example.org")), (Channel("m", Mail((), "", "")),), settled)
    checked(None, (), settled)


def test_a_link_of_another_state_directory_is_refused_here(tmp_path: Path) -> None:
    one, other = (key_for(tmp_path / name, link.CHANNEL) for name in ("one", "other"))
    token = link.Link("acknowledge", "shop-1-production", "ada", EPOCH).token(one)
    with pytest.raises(link.LinkError):
        link.read(token, other, EPOCH - timedelta(minutes=1))
