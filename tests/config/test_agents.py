"""What does the file leave to agents?"""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.config import File, FileError
from interlock.config.document import parse
from interlock.config.load import understand
from interlock.core.agents import Limits, Verb

BASE = "service: shop\ncommand: [app]\nenvironments: {dev: {port: 1}, staging: {port: 2}, production: {port: 3}}\n"


def file(agents: str = "") -> File:
    return understand(parse(BASE + agents, "interlock.yaml"), Path("/p/interlock.yaml"))


def test_without_a_word_agents_have_everything_but_production_and_end_no_watch() -> None:
    left = file().agents
    assert left == Limits(("dev", "staging"))
    assert left.verbs == tuple(Verb) and left.promote == () and not left.dry_run


def test_what_the_file_says_is_what_they_have() -> None:
    left = file("agents: {environments: [production], verbs: [abort], starts_per_hour: 1, dry_run: true}\n").agents
    assert left == Limits(("production",), (), (Verb.ABORT,), 1, 12, True)


def test_each_environment_says_in_its_plans_whether_an_agent_may_end_a_watch_unproven() -> None:
    found = {one.name: one.conditions.agents_promote for one in file("agents: {promote: [staging]}\n").environments}
    assert found == {"dev": False, "staging": True, "production": False}


@pytest.mark.parametrize("setting", ["environments", "promote"])
def test_an_environment_that_is_not_there_is_an_error_at_its_place(setting: str) -> None:
    with pytest.raises(FileError) as wrong:
        file(f"agents:\n  {setting}: [staging, prod]\n")
    assert "interlock.yaml:5:" in str(wrong.value)
    assert "expected an environment of this file (dev, staging, production), found prod" in str(wrong.value)


def test_no_verb_lets_an_agent_approve_or_acknowledge() -> None:
    with pytest.raises(FileError, match="expected"):
        file("agents: {verbs: [approve]}\n")
    assert {"approve", "acknowledge", "release", "supersede"}.isdisjoint(Verb)
