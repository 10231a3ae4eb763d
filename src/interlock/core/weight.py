"""What share of the traffic goes to the new revision?"""

from __future__ import annotations

import re
from dataclasses import dataclass

_PERCENT = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)\s*%")


@dataclass(frozen=True, slots=True, order=True)
class Weight:
    """The canary's share in basis points: 0 is none of the traffic, 10,000 all of it.

    Basis points fit the range of every proxy we drive without rounding: Envoy takes any total, Kong 0 to 65,535,
    the Gateway API 0 to 1,000,000.
    """

    points: int

    def __post_init__(self) -> None:
        if not 0 <= self.points <= WHOLE:
            raise ValueError(f"a weight is 0 to {WHOLE} basis points, not {self.points}")

    @classmethod
    def parse(cls, text: str) -> Weight:
        """Read a percentage such as ``5%`` or ``0.25 %``; raise ValueError when it is not one of 0 % to 100 %."""
        match = _PERCENT.fullmatch(text.strip())
        if match is None or float(match[1]) > 100:
            raise ValueError(f'expected a percentage from 0% to 100% such as "5%", found "{text}"')
        return cls(round(float(match[1]) * 100))

    @property
    def share(self) -> float:
        """The weight as a fraction from 0 to 1."""
        return self.points / WHOLE

    @property
    def rest(self) -> Weight:
        """What is left for the other side."""
        return Weight(WHOLE - self.points)

    def needs(self, instances: int) -> int:
        """How many ready instances, of a full set, must carry this weight (interlock 2).

        One point more than so many instances carry needs no further one: a third of the traffic is 3,334 points for
        the side that the rounding favours.
        """
        return max(min(1, self.points), -((1 - self.points) * instances // WHOLE))

    def __str__(self) -> str:
        return f"{self.points / 100:g} %"


WHOLE = 10_000
NONE = Weight(0)
ALL = Weight(WHOLE)
