"""How strongly do the observations so far speak against what was assumed?

A `Mixture` is a bet that gains nothing on average as long as the assumption holds, however long one plays and however
often one looks. So its odds reach 1/a with a probability of at most a over the whole rollout (Ville's inequality), and
we may decide after every single sample. Stakes are spread over several alternatives and over the moments at which
things may have changed, because 8,000 good requests must not have to be paid back first when a release turns bad:

    A_j(0) = prior_j * early      A_j <- (A_j + prior_j * w_t) * factor_j      odds = sum A_j + what is not yet staked

with w_t = (1 - early) * hazard * (1 - hazard)^(t-1). One number for each alternative is all there is to remember.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

EARLY = 0.7
"""Share of the stakes on "so from the first request"; the rest waits for a change later on."""

_CEILING = 1e100


@dataclass(frozen=True, slots=True, init=False)
class Mixture:
    """Stakes on the alternatives, and the stake `kept` back for changes to come; `odds` is their sum, 1 at the start.

    `births` is the share of what is kept that goes to each alternative with each sample.
    """

    births: tuple[float, ...]
    stakes: tuple[float, ...]
    kept: float
    odds: float = 1.0

    def __init__(self, births: tuple[float, ...], stakes: tuple[float, ...], kept: float, odds: float = 1.0) -> None:
        # Written out, as seven of these are made for each sample: what a frozen dataclass does takes twice as long.
        _births(self, births)
        _stakes(self, stakes)
        _kept(self, kept)
        _odds(self, odds)

    @classmethod
    def start(cls, prior: tuple[float, ...], hazard: float) -> Mixture:
        """Begin to bet; `prior` sums to one, `hazard` is the chance of a change from one sample to the next."""
        return cls(tuple([p * hazard for p in prior]), tuple([p * EARLY for p in prior]), 1.0 - EARLY)

    def grow(self, factors: Sequence[float], at_most: float = _CEILING) -> Mixture:
        """Take in one observation: one likelihood factor for each alternative; then as `capped` at `at_most`."""
        births, kept = self.births, self.kept
        # Not `strict`, here and in `bets`: this is where the time goes, and the lengths are fixed at the start.
        stakes = [(s + b * kept) * f for s, b, f in zip(self.stakes, births, factors)]  # noqa: B905
        kept -= kept * sum(births)
        odds = sum(stakes) + kept
        if odds > _CEILING:
            stakes, odds = [min(s, _CEILING) for s in stakes], _CEILING
        if odds > at_most:
            scale = at_most / odds
            stakes, kept, odds = [s * scale for s in stakes], kept * scale, at_most
        return Mixture(births, tuple(stakes), kept, odds)

    def anew(self) -> Mixture:
        """The same bet without what has been won and lost."""
        hazard = sum(self.births)
        return Mixture.start(tuple([b / hazard for b in self.births]), hazard)

    def capped(self, odds: float) -> Mixture:
        """Forget winnings above `odds`, so that a change for the worse shows at once; it can only lower the odds."""
        if self.odds <= odds:
            return self
        scale = odds / self.odds
        return Mixture(self.births, tuple([s * scale for s in self.stakes]), self.kept * scale, odds)


_births, _stakes, _kept, _odds = (vars(Mixture)[field.name].__set__ for field in fields(Mixture))
