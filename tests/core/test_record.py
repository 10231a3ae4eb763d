"""Does every value come back from its record as it was, and does a record that does not fit say where?"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.examples import canary_stage

from interlock.core.criteria import Criteria
from interlock.core.events import Done, Failed, Held, Observed, Order, Unsafe
from interlock.core.health import SmokeTest
from interlock.core.judge.baseline import History
from interlock.core.plan import Plan, Stage
from interlock.core.record import plain, restore
from interlock.core.release import Instance, Revision, fingerprint
from interlock.core.rollout import Rollout
from interlock.core.route import Route
from interlock.core.sample import Reading, Sample
from interlock.core.source import Source
from interlock.core.steps import Step
from interlock.core.tally import Tally
from interlock.core.weight import WHOLE, Weight

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
NUMBERS = st.floats(0, 1e12) | st.just(float("inf"))
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=5),
    int: st.integers(0, 10**9),
    bool: st.booleans(),
    float: NUMBERS,
    timedelta: st.timedeltas(timedelta(0), timedelta(days=3650)),
    datetime: st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    Weight: st.integers(0, WHOLE).map(Weight),
    Route: st.builds(Route, st.text(max_size=3), st.just("old"), st.just("new"), st.integers(0, WHOLE).map(Weight)),
}


def of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, built from the types of its fields."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind in SIMPLE:
        return SIMPLE[kind]
    if kind is type(None):
        return st.none()
    if origin in (types.UnionType, typing.Union):
        return st.one_of([of(one) for one in arguments])
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(of(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*[of(one) for one in arguments])
    if origin is not None and issubclass(origin, Mapping):
        return st.dictionaries(of(arguments[0]), of(arguments[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    assert is_dataclass(kind), kind
    hints: dict[str, Any] = typing.get_type_hints(kind)
    build: Any = kind
    return st.builds(build, **{f.name: of(hints[f.name]) for f in fields(kind)})


KINDS: list[Any] = [
    *typing.get_args(Step),
    Criteria,
    SmokeTest,
    Revision,
    Instance,
    Route,
    Reading,
    Sample,
    Tally,
    History,
    Source,
    Done,
    Failed,
    Held,
    Observed,
    Unsafe,
    Order,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_comes_back_from_its_record_as_it_was(kind: Any, data: st.DataObject) -> None:
    value = data.draw(of(kind))
    assert restore(kind, json.loads(json.dumps(plain(value)))) == value


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_whole_rollout_and_a_whole_plan_come_back(data: st.DataObject) -> None:
    stage = canary_stage()
    for kind in (Rollout, Plan):
        hints = typing.get_type_hints(kind)
        inner = {"stage": st.just(stage), "stages": st.just((stage, stage))}
        drawn = {n: data.draw(inner[n] if n in inner else of(hints[n])) for n in (f.name for f in fields(kind))}
        value: object = kind(**drawn)
        assert restore(kind, json.loads(json.dumps(plain(value)))) == value


@dataclass(frozen=True)
class Old:
    name: str


@dataclass(frozen=True)
class New:
    name: str
    added: int = 7
    weights: tuple[Weight, ...] = (Weight(5),)
    either: Old | Weight | None = None


def test_a_field_that_an_old_record_lacks_takes_its_default() -> None:
    assert restore(New, plain(Old("x")) | {"kind": "New"}) == New("x")


def test_a_field_that_is_not_known_is_an_error_and_never_dropped() -> None:
    with pytest.raises(ValueError, match=r"Old has no field 'added'; was it written by a newer version\?"):
        restore(Old, plain(New("x")))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": 5}, r"New.name: expected str, found 5"),
        ({"added": "5"}, r"New.added: expected int, found '5'"),
        ({"added": True}, r"New.added: expected int, found True"),
        ({"weights": None}, r"New.weights: expected a list, found None"),
        ({"weights": "abc"}, r"New.weights: expected a list, found 'abc'"),
        ({"weights": [{"kind": "Weight", "points": 5}, 7]}, r"New.weights\[1\]: expected the fields of Weight"),
        ({"weights": [{"kind": "Weight", "points": 10_001}]}, r"New.weights\[0\]: .* a weight is 0 to 10000"),
        ({"either": {"kind": "Other"}}, r"New.either: unknown kind 'Other'"),
        ({"either": 7}, r"New.either: 7 is none of Old, Weight"),
    ],
)
def test_a_record_that_does_not_fit_says_where(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        restore(New, plain(New("x")) | change)


def test_a_field_without_default_must_be_there() -> None:
    with pytest.raises(ValueError, match="New: New lacks 'name'"):
        restore(New, {"kind": "New"})


@pytest.mark.parametrize("wrong", ["yesterday", None, 5, [], {}])
def test_a_moment_or_a_duration_that_is_none_says_so_with_its_name(wrong: object) -> None:
    record = plain(Observed(AT, 1, timedelta(seconds=2)))
    with pytest.raises(ValueError, match=r"Observed\.at: "):
        restore(Observed, record | {"at": wrong})
    if not isinstance(wrong, int):
        with pytest.raises(ValueError, match=r"Observed\.covers: "):
            restore(Observed, record | {"covers": wrong})


def test_a_union_comes_back_by_its_kind() -> None:
    stage = canary_stage()
    assert restore(Stage, plain(stage)) == stage
    for step in (*stage.steps, *stage.rollback):
        assert plain(step)["kind"] == type(step).__name__


def test_the_hash_of_a_plan_names_all_that_will_be_done_and_nothing_else() -> None:
    stage = canary_stage()
    plan = Plan("shop", "v2", (stage,), AT, "ada")
    assert plan.hash == Plan("shop", "v2", (stage,), AT + timedelta(days=1), "bob").hash
    assert plan.hash == restore(Plan, json.loads(json.dumps(plain(plan)))).hash
    others = [
        replace(stage, steps=stage.steps[:-1]),
        replace(stage, rollback=stage.rollback[:-1]),
        replace(stage, replaces=None),
        replace(stage, proof_valid_for=timedelta(days=1)),
        replace(stage, criteria=None),
    ]
    hashes = {Plan("shop", "v2", stages, AT).hash for stages in ((one,) for one in others)}
    assert len({plan.hash, Plan("shop", "v2", (stage, stage), AT).hash, *hashes}) == 2 + len(others)


def test_a_fingerprint_is_the_same_in_every_process_and_version() -> None:
    """Quarantine, approvals, proofs and plan files name it: it may never change for the same value."""
    assert fingerprint({"b": [1, 2.5, None, True], "a": "ü"}) == fingerprint({"a": "ü", "b": [1, 2.5, None, True]})
    assert fingerprint({"artefact": "sha256:1", "common": "x"}) == "51e25f1402e0813b"


def test_a_release_is_named_by_what_runs_and_how_and_not_by_its_version() -> None:
    release = canary_stage().revision.release
    again = replace(release, version="v9", service="other", common="else")
    assert again.identity == release.identity
    assert replace(release, artefact=replace(release.artefact, digest="x")).identity != release.identity
    more = replace(release.configuration, instances=9)
    assert replace(release, configuration=more).identity != release.identity
    assert replace(release, configuration=more).proven_as == release.proven_as
    assert again.proven_as != release.proven_as
