"""Do `notify` and `docs` become the values they mean, and does everything else become an error with its place?"""

from __future__ import annotations

import re
import time
import typing
from pathlib import Path

import pytest
from tests.config.test_load import TEN, errors, one, read
from tests.engine.stories import revision, stage

from interlock.adapters.memory import EPOCH
from interlock.adapters.notify.webhook import signature
from interlock.app.announce import announced
from interlock.app.state import StateDirectory
from interlock.config import notify
from interlock.core.channel import Apprise, Channel, DeploymentLog, Mail, Security, Webhook, references, sealed
from interlock.core.news import Kind
from interlock.core.plan import Plan
from interlock.core.record import plain, restore


def test_channels_and_log_become_values_with_references_for_secrets(tmp_path: Path) -> None:
    file = read(
        tmp_path,
        TEN
        + """\
notify:
  - {name: dashboard, webhook: {url: "https://d.example.org/events", secret: env:KEY}}
  - {name: chat, webhook: file:hook}
  - {name: team, apprise: env:CHAT, events: [started, turned-back]}
  - name: on-call
    mail: {to: [a@example.org], from: i@example.org, server: m.example.org, user: i, password: env:PW}
    page: true
docs: LOG.md
""",
    )
    assert file.channels == (
        Channel("dashboard", Webhook("https://d.example.org/events", "", "env:KEY")),
        Channel("chat", Webhook("", f"file:{tmp_path}/hook", "")),
        Channel("team", Apprise("env:CHAT"), ("started", "turned-back")),
        Channel(
            "on-call",
            Mail(("a@example.org",), "i@example.org", "m.example.org", 587, Security.STARTTLS, "i", "env:PW"),
            ("failed", "stopped", "waiting"),
        ),
    )
    assert file.log == DeploymentLog(str(tmp_path), "LOG.md", code=str(tmp_path))
    assert [reference for channel in file.channels for reference in references(channel)] == [
        "env:KEY",
        f"file:{tmp_path}/hook",
        "env:CHAT",
        "env:PW",
    ]


def test_without_them_nobody_is_told_and_a_plan_keeps_the_hash_that_it_had(tmp_path: Path) -> None:
    assert read(tmp_path, TEN).channels == () and read(tmp_path, TEN).log is None
    silent = Plan("shop", "v2", (stage(revision("v2"), None),), EPOCH)
    channel = sealed(Channel("team", Apprise("env:CHAT")), {"env:CHAT": "ab12"})
    told = Plan("shop", "v2", silent.stages, EPOCH, "", (channel,), DeploymentLog("/srv/shop"))
    assert told.hash != silent.hash
    assert restore(Plan, plain(told)) == told
    assert channel.by == Apprise("ab12"), "a plan names a secret by its fingerprint"


def test_the_file_knows_every_kind_of_news() -> None:
    assert set(typing.get_args(notify._KINDS)) == {kind.value for kind in Kind}


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        ("{name: a}", "expected one of webhook, apprise, mail, found none of them"),
        ("{name: a, apprise: env:A, webhook: env:B}", "found webhook and apprise"),
        ("{name: a, apprise: slack://geheim}", "expected a reference, env:NAME or file:PATH"),
        ("{name: a, webhook: 'https://x.example.org/?token=geheim'}", "keep the whole address as a secret"),
        ("{name: a, webhook: 'https://ada:geheim@x.example.org/'}", "keep the whole address as a secret"),
        ("{name: a, webhook: {url: 'ftp://geheim'}}", "expected an address that begins with https://"),
        ("{name: a, webhook: env:A, events: [starts]}", 'did you mean "started"?'),
        ("{name: a, webhook: env:A, events: [held], page: true}", "expected page or events, found both"),
        ("{name: A, webhook: env:A}", "expected a name of lower-case letters"),
        ("{name: a, mail: {to: [x], from: i@e.org, server: m}}", "expected a mail address such as team@example.org"),
        ("{name: a, mail: {to: [], from: i@e.org, server: m}}", "expected at least one address in to"),
        ("{name: a, mail: {to: [a@e.org], from: i@e.org, server: m, user: i}}", "expected user and password together"),
        (
            "{name: a, mail: {to: [a@e.org], from: i@e.org, server: m, user: i, password: env:P, security: nothing}}",
            "expected security: starttls (or tls) where a password is sent",
        ),
    ],
)
def test_what_is_wrong_with_a_channel_is_said_with_its_place_and_without_secrets(
    tmp_path: Path, channel: str, said: str
) -> None:
    error = one(tmp_path, f"{TEN}notify: [{channel}]\n")
    assert error.startswith("interlock.yaml:7:") and "notify[0]" in error and said in error
    assert "geheim" not in error


def test_two_channels_of_one_name_are_refused(tmp_path: Path) -> None:
    error = one(tmp_path, f"{TEN}notify: [{{name: a, apprise: env:A}}, {{name: a, apprise: env:B}}]\n")
    assert "with a name of its own, found a twice" in error


@pytest.mark.parametrize(
    ("docs", "said"),
    [
        ("{file: ../LOG.md}", "expected the path of a file in the repository"),
        ("{file: /LOG.md}", "expected the path of a file in the repository"),
        ("{file: .git/config}", "expected the path of a file in the repository"),
        ("{branch: --force}", "expected a name such as main"),
        ("{remote: '-x'}", "expected a name such as main"),
        ("{report: 'https://example.org/'}", "expected an address with {run} in it"),
        ("{push: yes}", "did you mean true?"),
    ],
)
def test_what_is_wrong_with_the_log_is_said(tmp_path: Path, docs: str, said: str) -> None:
    assert said in one(tmp_path, f"{TEN}docs: {docs}\n")


@pytest.mark.parametrize(
    ("links", "address"),
    [
        ("https://d.example.org/interlock/", "https://d.example.org/interlock"),
        ("{url: 'http://127.0.0.1:7878'}", "http://127.0.0.1:7878"),
    ],
)
def test_where_links_lead_is_an_address_that_is_part_of_the_plan_and_of_what_it_is_named_by(
    tmp_path: Path, links: str, address: str
) -> None:
    file = read(tmp_path, f"{TEN}links: {links}\n")
    plan = Plan("shop", "v2", (stage(revision("v2"), None),), EPOCH)
    there = announced(plan, file, StateDirectory(tmp_path / "state"))
    assert (file.links, there.links) == (address, address) and there.hash != plan.hash
    assert restore(Plan, plain(there)) == there
    old = {name: value for name, value in plain(plan).items() if name != "links"}
    assert restore(Plan, old) == plan, "a plan from before there were links"


@pytest.mark.parametrize(
    ("links", "said"),
    [
        ("http://deploy.example.org", "begins with https:// (http:// only on this machine)"),
        ("'https://user:geheim@deploy.example.org'", "without a user, a query or a fragment"),
        ("'https://deploy.example.org/?a=b'", "without a user, a query or a fragment"),
        ("{}", "links"),
    ],
)
def test_a_link_that_others_could_read_or_that_leads_nowhere_is_refused(tmp_path: Path, links: str, said: str) -> None:
    found = errors(tmp_path, f"{TEN}links: {links}\n")
    assert any(said in one for one in found), found


PAGE = (Path(__file__).parents[2] / "docs" / "notify.md").read_text()


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL))
def test_the_examples_of_the_manual_load(tmp_path: Path, example: str) -> None:
    file = read(tmp_path, example)
    assert file.channels or file.log


def test_the_manual_verifies_what_we_sign() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    scope: dict[str, typing.Any] = {}
    exec(code, scope)
    at, body, key = int(time.time()), b'{"id": "a"}', b"a key"
    headers = {"webhook-id": "a", "webhook-timestamp": str(at), "webhook-signature": signature(key, "a", at, body)}
    assert scope["ours"](headers, body, key) and not scope["ours"](headers, body + b" ", key)


def test_the_manual_has_every_word_for_news() -> None:
    assert [kind.value for kind in Kind if f"| `{kind.value}`" not in PAGE and f"`{kind.value}` |" not in PAGE] == []
