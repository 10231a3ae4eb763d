"""Does a word count for what was signed, for as long as it holds, and once for each person?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.core.examples import canary_stage

from interlock.core.approval import Policy, Word, enough, holding, is_author, read, refusal
from interlock.core.conditions import Conditions
from interlock.core.rollout import Approval, Rollout, begin

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = Policy("signers", needed=2)


def rollout(policy: Policy | None = POLICY) -> Rollout:
    stage = replace(canary_stage(), conditions=Conditions(approvals=policy))
    return begin("shop-1-production", "shop-1", "hash", stage, NOW, "ada")


def word(by: str, minutes: int = 30, index: int = 0) -> Approval:
    return Approval(NOW, by, "hash", "id", proven=True, index=index, expires=NOW + timedelta(minutes=minutes))


def test_what_is_signed_can_be_read_by_people_and_read_back() -> None:
    signed = Word.of(rollout(), NOW + timedelta(hours=1))
    assert "environment production\n" in signed.text() and "step 1\n" in signed.text()
    assert read(signed.text()) == signed


@pytest.mark.parametrize(
    "text", ["", "hello", "interlock approval 1\nplan x\n", "interlock approval 1\n" + 6 * "x y\n"]
)
def test_other_texts_are_no_word(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read(text)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"plan": "other"}, "plan other"),
        ({"release": "other"}, "release other"),
        ({"environment": "staging"}, "environment staging"),
        ({"rollout": "shop-2-production"}, "rollout shop-2-production"),
        ({"step": 3}, "step 4"),
        ({"expires": NOW}, "held until"),
        ({"expires": NOW + timedelta(days=9)}, "longer than allowed"),
    ],
)
def test_a_word_for_anything_else_is_refused(changed: dict[str, object], said: str) -> None:
    signed = Word.of(rollout(), NOW + timedelta(hours=1))
    assert refusal(signed, rollout(), POLICY, NOW) == ""
    assert said in refusal(replace(signed, **changed), rollout(), POLICY, NOW)  # type: ignore[arg-type]


def test_one_person_counts_once_and_only_while_the_word_holds() -> None:
    given = (word("ada"), word("ada"), word("grace", minutes=-1), word("linus", index=3))
    assert [one.by for one in holding(given, 0, NOW)] == ["ada"]
    assert not enough(rollout(), given, NOW)
    assert enough(rollout(), (*given, word("hedy")), NOW)


def test_without_a_policy_one_word_is_enough() -> None:
    assert enough(rollout(None), (), NOW)


@pytest.mark.parametrize(
    ("name", "author", "same"),
    [("ada", "ada", True), ("Ada@example.com", "ada", True), ("grace", "ada", False), ("a@b", "a@b", True)],
)
def test_whoever_started_it_is_known_by_name_or_address(name: str, author: str, same: bool) -> None:
    assert is_author(name, author) is same
