"""Who is asked when, what are they given, and what must a plan with a migration say?"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from tests.core.examples import revision, stage_of

from interlock.core.hooks import (
    Consent,
    Hook,
    Post,
    Program,
    When,
    asked,
    clean,
    due,
    gates,
    key,
    missing,
    variables,
    weights,
)
from interlock.core.migration import Migration, Seen, Standing, may_begin
from interlock.core.plan import OF_CODE, Plan, Stage, StrategyName
from interlock.core.record import plain, restore
from interlock.core.rollout import begin
from interlock.core.steps import Gate, GateName, Migrate, Retire, Settle, SetWeight, Start, Step, Until, Watch
from interlock.core.strategy import Pace
from interlock.core.weight import NONE, Weight
from interlock.surfaces.cli.show.plan import document, lines

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
EVERYBODY = tuple(Hook(when, Program(("ask", when.value))) for when in When)
ASKS = Pace(hooks=gates(EVERYBODY))
MIGRATION = Migration(("migrate", "up"))


def laid_out(strategy: StrategyName, pace: Pace, *, first: bool = False) -> Stage:
    return stage_of(strategy, revision("v2"), None if first else revision("v1"), pace)


def is_gate(step: Step, name: GateName) -> bool:
    return isinstance(step, Gate) and step.name is name


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_hooks_are_asked_before_the_start_each_increase_and_the_promotion(strategy: StrategyName, first: bool) -> None:
    steps = laid_out(strategy, ASKS, first=first).steps
    start = next(number for number, step in enumerate(steps) if isinstance(step, Start))
    assert sum(is_gate(step, GateName.BEFORE_START) for step in steps[:start]) == 1
    for before, step in pairwise(steps):
        assert isinstance(step, SetWeight) == is_gate(before, GateName.BEFORE_TRAFFIC)
        assert isinstance(step, Settle) == is_gate(before, GateName.BEFORE_PROMOTION)


@pytest.mark.parametrize("strategy", OF_CODE)
def test_where_nobody_is_to_be_asked_the_steps_are_what_they_were(strategy: StrategyName) -> None:
    only_told = gates(tuple(hook for hook in EVERYBODY if hook.when in (When.AFTER, When.ROLLBACK, When.BUILD)))
    assert only_told == ()
    assert laid_out(strategy, Pace(hooks=only_told)) == laid_out(strategy, Pace())


@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_rollback_asks_nobody_and_migrates_nothing(strategy: StrategyName) -> None:
    back = laid_out(strategy, replace(ASKS, migration=MIGRATION)).rollback
    assert back == laid_out(strategy, Pace()).rollback
    assert not any(isinstance(step, (Gate, Migrate)) for step in back)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("strategy", OF_CODE)
def test_a_migration_comes_after_the_gates_and_before_anything_starts(strategy: StrategyName, first: bool) -> None:
    steps = laid_out(strategy, replace(ASKS, migration=MIGRATION), first=first).steps
    (place,) = [number for number, step in enumerate(steps) if isinstance(step, Migrate)]
    assert all(isinstance(step, Gate) for step in steps[:place]) and isinstance(steps[place + 1], Start)
    assert is_gate(steps[place - 1], GateName.ROLLBACK_READY)


def test_an_irreversible_migration_needs_a_persons_agreement_of_its_own() -> None:
    irreversible = replace(MIGRATION, irreversible=True)
    steps = laid_out(StrategyName.CANARY, Pace(migration=irreversible, approve=True)).steps
    people = [number for number, step in enumerate(steps) if isinstance(step, Watch) and step.until is Until.APPROVED]
    (place,) = [number for number, step in enumerate(steps) if isinstance(step, Migrate)]
    assert len(people) == 2 and people[0] < place < people[1]
    assert "wait for approval of an irreversible migration" in str(steps[people[0]])
    assert all(isinstance(step, Gate) for step in steps[people[0] + 1 : place]), "what was open is asked again"


@pytest.mark.parametrize("irreversible", [False, True])
def test_a_plan_shows_the_migration_and_what_going_back_does_not_undo(irreversible: bool) -> None:
    migration = replace(MIGRATION, irreversible=irreversible)
    stage = replace(laid_out(StrategyName.CANARY, replace(ASKS, migration=migration)), hooks=EVERYBODY)
    plan = Plan("shop", "v2", (stage,), AT)
    text = "\n".join(lines(plan, {}))
    assert f"! migration: migrate up{' (IRREVERSIBLE)' if irreversible else ''} (within 10 min)" in text
    said = "going back cannot undo the migration migrate up" if irreversible else "going back runs no migration"
    assert said in text.partition("  rollback")[2]
    assert "  asks ask before-start before-start (within 30 s)" in text
    assert "  tells ask after after (within 30 s)" in text
    assert said in document(plan, {})["stages"][0]["not_undone"]
    assert stage.longest >= laid_out(StrategyName.CANARY, ASKS).longest + migration.timeout


def test_without_a_migration_there_is_nothing_of_it_in_a_plan() -> None:
    stage = laid_out(StrategyName.CANARY, Pace())
    assert stage.migration is None and stage.not_undone == ""
    assert "undo" not in "\n".join(lines(Plan("shop", "v2", (stage,), AT), {}))


def test_plans_with_hooks_and_migrations_are_kept_and_come_back() -> None:
    stage = laid_out(StrategyName.CANARY, replace(ASKS, migration=replace(MIGRATION, irreversible=True)))
    hooks = (*EVERYBODY, Hook(When.START, Post("https://x.example/", "", "print"), timedelta(seconds=5), "x"))
    consents = (Consent("production", "ask before-build", "key", AT, "go"),)
    plan = Plan("shop", "v2", (replace(stage, hooks=hooks),), AT, consents=consents)
    assert restore(Plan, plain(plan)) == plan
    assert plan.hash == replace(plan, consents=()).hash, "who agreed is evidence, not part of what is done"
    assert plan.hash != replace(plan, stages=(stage,)).hash


def test_a_plan_made_before_there_were_hooks_is_understood() -> None:
    record = plain(Plan("shop", "v2", (laid_out(StrategyName.CANARY, Pace()),), AT))
    del record["consents"], record["stages"][0]["hooks"]
    for step in record["stages"][0]["steps"]:
        step.pop("about", None)
    assert restore(Plan, record).stages[0].hooks == ()


def test_consent_to_build_is_missing_until_every_hook_of_every_stage_has_given_it() -> None:
    stage = replace(laid_out(StrategyName.CANARY, Pace()), hooks=EVERYBODY)
    plan = Plan("shop", "v2", (stage,), AT)
    assert "production asks ask before-build before a version is built" in missing(plan)
    given = Consent("production", "ask before-build", "key", AT)
    assert missing(replace(plan, consents=(given,))) == ""
    assert missing(replace(plan, consents=(replace(given, environment="staging"),))) != ""


def test_a_question_has_one_key_however_often_it_is_asked_and_no_other_has_it() -> None:
    stage = replace(laid_out(StrategyName.CANARY, ASKS), hooks=(*EVERYBODY, *EVERYBODY))
    rollout = begin("shop-1-production", "shop-1", "plan", stage, AT)
    elsewhere = replace(rollout, started=AT + timedelta(seconds=1))
    keys = [
        key(one, place, hook, f"step-{step}")
        for one in (rollout, elsewhere)
        for when in When
        for place, hook in due(stage.hooks, when)
        for step in (1, 2)
    ]
    assert len(set(keys)) == len(keys)
    assert key(replace(rollout, index=3, reason="x"), 1, EVERYBODY[0], "step-1") == keys[0]


def test_the_facts_say_what_whoever_decides_must_know() -> None:
    rollout = begin("shop-1-production", "shop-1", "plan", laid_out(StrategyName.CANARY, ASKS), AT, "ada")
    facts = {**asked(EVERYBODY[1], rollout, "the key"), **weights(rollout)}
    assert facts["key"] == "the key" and facts["when"] == "before-start" and facts["schema"] == 1
    assert (facts["service"], facts["environment"], facts["version"]) == ("shop", "production", "v2")
    assert (facts["old_version"], facts["by"], facts["plan"], facts["rollout"]) == ("v1", "ada", "plan", rollout.id)
    assert (facts["step"], facts["steps"]) == (1, len(rollout.stage.steps))
    assert facts["weight"] == {"from": 0.0, "to": 5.0}


def test_the_weight_goes_from_what_users_have_to_what_they_get_next() -> None:
    rollout = begin("shop-1-production", "shop-1", "plan", laid_out(StrategyName.CANARY, ASKS), AT)
    seen = []
    for index, step in enumerate(rollout.stage.steps):
        if is_gate(step, GateName.BEFORE_TRAFFIC) or is_gate(step, GateName.BEFORE_PROMOTION):
            seen.append(tuple(weights(replace(rollout, index=index))["weight"].values()))
    assert seen == [(0.0, 5.0), (5.0, 25.0), (25.0, 50.0), (50.0, 100.0), (100.0, 100.0)]
    assert Weight(500) > NONE


def test_facts_become_variables_with_joined_names_and_nothing_unknown() -> None:
    told = variables({"key": "k", "old_version": None, "weight": {"from": 5.0, "to": 25.0}, "reason": "a\nb\x1b[1m\0c"})
    assert told == {
        "INTERLOCK_KEY": "k",
        "INTERLOCK_WEIGHT_FROM": "5",
        "INTERLOCK_WEIGHT_TO": "25",
        "INTERLOCK_REASON": "a b [1m c",
    }
    assert clean("x" * 9, 5) == "xxxx…"


def test_secrets_are_references_in_the_file_and_fingerprints_in_a_plan() -> None:
    hook = Hook(When.START, Post("", "env:URL", "env:TOKEN"))
    assert set(hook.references()) == {"env:URL", "env:TOKEN"}
    assert hook.sealed({"env:URL": "ab", "env:TOKEN": "cd"}).by == Post("", "ab", "cd")
    assert str(hook) == "a secret URL"
    with pytest.raises(KeyError):
        hook.sealed({})


@pytest.mark.parametrize(
    ("seen", "idempotent", "may"),
    [
        (Seen(), True, True),
        (Seen(), False, True),
        (Seen(Standing.NEW, 1, "r1"), False, True),
        (Seen(Standing.LOST, 1, "r1"), True, True),
        (Seen(Standing.LOST, 1, "r1"), False, False),
        (Seen(Standing.LOST, 1, "r2"), False, False),
        (Seen(Standing.ENDED, 1, "r1", status=3), True, True),
        (Seen(Standing.ENDED, 1, "r1", status=3), False, False),
        (Seen(Standing.ENDED, 1, "r2", status=3), True, False),
    ],
)
def test_a_migration_is_begun_again_only_where_that_is_declared_to_be_harmless(
    seen: Seen, idempotent: bool, may: bool
) -> None:
    why = may_begin(replace(MIGRATION, idempotent=idempotent), seen, "r2")
    assert (why == "") is may, why


def test_what_ends_a_release_is_the_last_thing_in_a_plan_with_hooks() -> None:
    assert isinstance(laid_out(StrategyName.CANARY, ASKS).steps[-1], Retire)
