"""Are values that are made quickly as frozen as others, with the same defaults?"""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from interlock.core.judge.mixture import Mixture
from interlock.core.judge.quick import quick
from interlock.core.record import plain, restore


@quick
@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float = 2.0


def test_a_quick_value_takes_what_any_dataclass_takes_and_cannot_be_changed() -> None:
    assert Point(1.0) == Point(1.0, 2.0) == Point(x=1.0, y=2.0) == replace(Point(0.0), x=1.0)
    assert repr(Point(1.0)) == "Point(x=1.0, y=2.0)" and hash(Point(1.0)) == hash(Point(1.0, 2.0))
    with pytest.raises(FrozenInstanceError):
        Point(1.0).x = 3.0  # type: ignore[misc]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        Point()  # type: ignore[call-arg]


def test_a_quick_value_comes_back_from_its_record() -> None:
    mixture = Mixture.start((0.4, 0.6), 0.01).grow((2.0, 3.0))
    assert restore(Mixture, plain(mixture)) == mixture


def test_a_default_that_is_made_anew_each_time_is_refused() -> None:
    with pytest.raises(AssertionError):

        @quick
        @dataclass(frozen=True, slots=True)
        class _(Point):
            more: list[int] = field(default_factory=list)
