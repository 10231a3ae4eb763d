"""Do the writes between two standings of a flag in Unleash end where they should, and never mix the two?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unleash.server import gradual

from interlock.adapters.flags.unleash.standing import Standing, Strategy, canonical, evened, read, recall, way

ROLLOUTS = st.sampled_from((5, 25, 50, 100))
STRATEGIES = st.builds(
    lambda rollout, disabled, kind, group: {**gradual(rollout, group=group), "disabled": disabled, "name": kind},
    ROLLOUTS,
    st.sampled_from((False, False, True)),
    st.sampled_from(("flexibleRollout", "flexibleRollout", "default")),
    st.sampled_from("abcd"),
)


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """Any standing that Unleash lets be: what is enabled has an active strategy."""
    listed = [{**one, "sortOrder": place} for place, one in enumerate(draw(st.lists(STRATEGIES, max_size=4)))]
    active = any(not one["disabled"] for one in listed)
    ids = [f"id-{number}" for number in draw(st.permutations(range(len(listed))))]
    with_ids = [{**one, "id": key} for one, key in zip(listed, ids, strict=True)]
    return read({"enabled": active and draw(st.sampled_from((True, True, False))), "strategies": with_ids})


@settings(max_examples=300)
@given(standings(), standings())
def test_on_the_way_a_flag_is_always_a_part_of_what_it_was_or_of_what_it_shall_be(
    now: Standing, then: Standing
) -> None:
    before, after = exposing(now), exposing(then)
    for enabled, held in moments(now, then):
        exposed = {key(one) for one in held if enabled and not one["disabled"]}
        assert exposed <= before or exposed <= after, "users of both together may be more than those of either"
    assert (enabled, sorted(map(canonical, held))) == (then.enabled, sorted(map(canonical, then.strategies)))


@given(standings())
def test_nothing_is_written_where_nothing_changed_and_what_was_written_down_comes_back(standing: Standing) -> None:
    there = recall(standing.native())
    assert there.native() == standing.native()
    writes = way(standing, there)
    assert (writes.off, writes.gone, writes.changed, writes.missing, writes.order) == (False, (), (), (), ())


def moments(now: Standing, then: Standing) -> Iterator[tuple[bool, list[Strategy]]]:
    """Play Unleash: it disables what is left without an active strategy, at each write that leaves it so."""
    enabled, writes = now.enabled, way(now, then)
    held: dict[str, Strategy] = dict(zip(now.ids, now.strategies, strict=True))

    def seen() -> tuple[bool, list[Strategy]]:
        return enabled and any(not one["disabled"] for one in held.values()), list(held.values())

    enabled = enabled and not writes.off
    yield seen()
    for gone in writes.gone:
        del held[gone]
        enabled, _ = seen()
        yield seen()
    for changed, strategy in writes.changed:
        held[changed] = {**strategy, "sortOrder": held[changed]["sortOrder"]}
        enabled, _ = seen()
        yield seen()
    for number, strategy in enumerate(writes.missing):
        held[f"new-{number}"] = strategy
        yield seen()
    for moved, place in writes.order:
        held[moved] = {**held[moved], "sortOrder": place}
    enabled = then.enabled
    yield seen()


def exposing(standing: Standing) -> set[str]:
    return {key(standing.strategies[index]) for index in standing.active} if standing.enabled else set()


def key(strategy: Strategy) -> str:
    return canonical({name: value for name, value in strategy.items() if name not in ("sortOrder", "disabled")})


def test_variants_are_sent_in_the_order_in_which_unleash_leaves_their_weights() -> None:
    stored: list[dict[str, Any]] = [
        {"name": "a", "weight": 283},
        {"name": "b", "weight": 283},
        {"name": "c", "weight": 284},
        {"name": "d", "weight": 150, "weightType": "fix"},
    ]
    assert [one["name"] for one in evened(stored)] == ["c", "a", "b", "d"]


def test_any_text_for_a_percentage_is_read_as_no_less_than_it_is() -> None:
    for text, percentage in (("5", 5), ("12.5", 13), ("500", 100), ("-3", 0), ("much", 100), ("nan", 100), (None, 100)):
        found = read({"enabled": True, "strategies": [{**gradual(0), "parameters": {"rollout": text}}]})
        assert found.state().percentage == percentage, text
