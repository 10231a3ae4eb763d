"""What may be declared of hooks and migrations, and what is said when it may not?"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.config.document import FileError, parse
from interlock.config.file import Environment
from interlock.config.load import understand
from interlock.core.hooks import Hook, Post, Program, When
from interlock.core.migration import Migration

PATH = Path("/project/interlock.yaml")
FILE = """service: shop
command: [serve]
environments:
  staging: {{port: 8001}}
  production:
    port: 8000
    {more}
"""


def declared(more: str) -> Environment:
    return understand(parse(FILE.format(more=more), PATH.name), PATH).production


def refused(more: str) -> str:
    with pytest.raises(FileError) as caught:
        declared(more)
    return str(caught.value)


def test_without_a_word_of_them_there_are_none() -> None:
    assert (declared("approve: true").hooks, declared("approve: true").migration) == ((), None)


def test_a_command_runs_where_the_file_is_and_an_address_is_asked_as_it_stands() -> None:
    found = declared(
        "hooks: [{when: before-start, command: [ask, it], token: 'file:token', timeout: 5s}, "
        "{when: after, http: 'https://x.example/after', name: board}]"
    ).hooks
    assert found == (
        Hook(When.START, Program(("ask", "it"), "/project", "file:/project/token"), timedelta(seconds=5)),
        Hook(When.AFTER, Post("https://x.example/after"), name="board"),
    )


def test_an_address_that_is_a_secret_is_a_reference() -> None:
    (hook,) = declared("hooks: [{when: after, http: env:HOOK, token: env:TOKEN}]").hooks
    assert hook.by == Post("", "env:HOOK", "env:TOKEN")
    assert list(hook.references()) == ["env:HOOK", "env:TOKEN"]


@pytest.mark.parametrize("when", When)
def test_every_moment_can_be_named(when: When) -> None:
    assert declared(f"hooks: [{{when: {when.value}, command: [ask]}}]").hooks[0].when is when


@pytest.mark.parametrize(
    ("hook", "said"),
    [
        ("{command: [ask]}", "when"),
        ("{when: sometimes, command: [ask]}", "before-start"),
        ("{when: after}", "expected one of http, command, found none of them"),
        ("{when: after, http: 'https://x.example/', command: [ask]}", "found http and command"),
        ("{when: after, http: 'ftp://x.example/'}", "expected an address that begins with https://"),
        ("{when: after, http: 'https://x.example/?token=geheim'}", "without a user, a password or a query"),
        ("{when: after, command: []}", "command"),
        ("{when: after, command: [ask], token: geheim}", "env:NAME"),
        ("{when: after, command: [ask], timeout: 5m}", "expected a timeout of at most 1 min for after"),
        ("{when: before-start, command: [ask], timeout: 1h}", "expected a timeout of at most 10 min for before-start"),
    ],
)
def test_what_cannot_be_is_said(hook: str, said: str) -> None:
    text = refused(f"hooks: [{hook}]")
    assert said in text and "geheim" not in text


def test_a_migration_has_what_is_written_and_else_its_defaults() -> None:
    assert declared("migration: {command: [up]}").migration == Migration(("up",))
    written = "migration: {command: [up, all], timeout: 2h, irreversible: true, idempotent: false}"
    assert declared(written).migration == Migration(("up", "all"), timedelta(hours=2), True, False)
    assert "command" in refused("migration: {irreversible: true}")


def test_a_migration_is_of_the_environment_alone() -> None:
    file = understand(parse(FILE.format(more="migration: {command: [up]}"), PATH.name), PATH)
    assert file.staging[0].migration is None


def test_the_example_of_the_manual_loads_and_its_table_has_every_moment() -> None:
    page = (Path(__file__).parents[2] / "docs" / "hooks.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    production = understand(parse(example, PATH.name), PATH).production
    assert production.migration is not None and len(production.hooks) == 3
    assert [when for when in When if f"| `{when.value}` |" not in page] == []
