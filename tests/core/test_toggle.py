"""What may be asked of one flag, what does it mean, and what is said when it cannot be meant?"""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.core.flag import Flag, FlagFile, FlagState, Unleash
from interlock.core.record import plain, restore
from interlock.core.toggle import Action, Toggle, TogglingError, sane, understood


def toggle(action: str, percentage: int | None = None) -> Toggle:
    return Toggle("shop", "production", Flag("new", FlagFile("/f.json")), *understood(action, percentage), "ada")


@pytest.mark.parametrize(
    ("action", "percentage", "meant"),
    [
        ("enable", None, None),
        ("enable", 25, 25),
        ("disable", None, 0),
        ("disable", 0, 0),
        ("update_strategy", 5, 5),
        ("update_strategy", 100, 100),
        ("update_strategy", 0, 0),
    ],
)
def test_an_action_means_a_percentage_where_0_is_off_and_none_the_present_one(
    action: str, percentage: int | None, meant: int | None
) -> None:
    assert understood(action, percentage) == (Action(action), meant)


@pytest.mark.parametrize(
    ("action", "percentage", "said"),
    [
        ("toggle", None, 'expected one of enable, disable, update_strategy, found "toggle"'),
        ("update_strategy", None, "expected a rollout percentage"),
        ("update_strategy", 101, "from 0 to 100, found 101"),
        ("update_strategy", -1, "from 0 to 100, found -1"),
        ("enable", True, "from 0 to 100, found True"),
        ("enable", 0, "disable turns it off"),
        ("disable", 5, "expected no rollout percentage with disable, found 5"),
    ],
)
def test_what_cannot_be_meant_is_refused(action: str, percentage: int | None, said: str) -> None:
    with pytest.raises(TogglingError, match=said):
        understood(action, percentage)


@pytest.mark.parametrize("name", ["", "a b", "-off", "a/b", "../x", "x" * 101, "grün"])
def test_what_can_be_no_name_of_a_flag_is_refused(name: str) -> None:
    with pytest.raises(TogglingError, match="expected the name of a flag"):
        sane(name)


def test_more_users_are_more_than_may_get_it_now() -> None:
    off, at_25, for_all = FlagState(False, 25), FlagState(True, 25), FlagState(True)
    assert toggle("enable").raises(off) and not toggle("enable").raises(at_25)
    assert toggle("enable").raises(FlagState(False)), "a flag that is not given out by percentage goes to everybody"
    assert toggle("update_strategy", 5).raises(off) and not toggle("update_strategy", 5).raises(at_25)
    assert not toggle("update_strategy", 100).raises(for_all)
    assert not any(toggle("disable").raises(one) for one in (off, at_25, for_all))


def test_a_flag_is_the_same_by_whatever_token_it_is_reached() -> None:
    source = Unleash("http://u", "production", "one")
    assert Flag("f", source).place == Flag("f", replace(source, token_secret="two")).place
    for other in (replace(source, environment="development"), replace(source, project="till"), FlagFile("/f")):
        assert Flag("f", other).place != Flag("f", source).place


def test_what_is_asked_and_what_came_of_it_go_over_the_line() -> None:
    asked = toggle("update_strategy", 5)
    assert restore(Toggle, plain(asked)) == asked
