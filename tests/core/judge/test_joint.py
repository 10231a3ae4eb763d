"""Do users' requests and our own decide together, without ever being added up?"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.judge.test_judge import STABLE, fixed, play, side, start

from interlock.core.criteria import Criteria
from interlock.core.judge import (
    Evidence,
    Verdict,
    begin,
    decide,
    joint_odds_against,
    judge,
    judge_both,
    observe,
    odds_against,
)
from interlock.core.judge.joint import SYNTHETIC, USERS, decide_both
from interlock.core.sample import Sample, Side

FEW = [(side(1, 0), side(9, 0))] * 3
MANY = fixed(100, 0, 12, side(100, 0))


def ours(*samples: tuple[Side | None, Side | None]) -> Evidence:
    evidence = begin(Criteria(), 30)
    for sample in samples:  # on and on: what condemns alone may not do so as a part
        evidence = play(evidence, [sample])[0]
    return evidence


def of_users(*samples: tuple[Side | None, Side | None]) -> Evidence:
    return play(start(), samples)[0]


def test_the_shares_of_alpha_sum_to_one() -> None:
    assert pytest.approx(1.0) == USERS + SYNTHETIC


@pytest.mark.parametrize("samples", [FEW, MANY, fixed(100, 20, 3, STABLE), [(None, STABLE)] * 9])
def test_without_a_load_nothing_is_judged_otherwise(samples: list[tuple[Side | None, Side | None]]) -> None:
    evidence = of_users(*samples)
    assert judge_both(evidence, None) == judge(evidence)
    assert decide_both(evidence, None) is decide(evidence)
    assert joint_odds_against(evidence, None) == odds_against(evidence)


def test_a_load_proves_what_too_few_users_cannot_and_says_whose_proof_it_is() -> None:
    judgement = judge_both(of_users(*FEW), ours(*MANY))
    assert (judgement.verdict, judgement.synthetic) == (Verdict.PASS, True)
    assert judge(of_users(*FEW)).verdict is Verdict.INCONCLUSIVE


def test_what_users_prove_is_called_so() -> None:
    judgement = judge_both(of_users(*fixed(100, 0, 12, STABLE)), ours(*MANY))
    assert (judgement.verdict, judgement.synthetic) == (Verdict.PASS, False)


@pytest.mark.parametrize(
    "users",
    [
        [],
        [(None, STABLE)] * 9,
        [*FEW, (side(3, 2), side(9, 0))],
        [*FEW, (side(2, 2), side(9, 0))],
    ],
    ids=["never-seen", "blind", "suspicious", "restless"],
)
def test_a_load_proves_nothing_while_users_are_not_seen_or_something_is_suspicious(
    users: list[tuple[Side | None, Side | None]],
) -> None:
    assert judge_both(of_users(*users), ours(*MANY)).verdict is Verdict.INCONCLUSIVE


def test_what_is_missing_is_told_of_both() -> None:
    missing = judge_both(of_users(*FEW), ours(*MANY[:1])).missing
    assert "; of synthetic load: " in missing


def test_a_load_alone_condemns_and_its_finding_stands_first() -> None:
    judgement = judge_both(of_users(), ours(*fixed(100, 30, 4, side(100, 0))))
    assert judgement.verdict is Verdict.FAIL
    first = judgement.findings[0]
    assert first.rule.startswith("synthetic ") and first.verdict is Verdict.FAIL
    assert first.text.startswith("of synthetic requests: ")
    assert [finding for finding in judgement.findings[1:] if finding.verdict is Verdict.FAIL] == []


def test_our_good_requests_do_not_outweigh_users_failures() -> None:
    """A thousand good requests of ours, and the users' twenty bad ones condemn all the same."""
    judgement = judge_both(of_users(*fixed(20, 10, 4, STABLE)), ours(*MANY))
    assert judgement.verdict is Verdict.FAIL
    assert not judgement.findings[0].rule.startswith("synthetic ")


def test_odds_short_of_either_decision_add_up_by_their_shares() -> None:
    users, load = of_users((side(10, 2), side(90, 0))), ours((side(10, 2), side(10, 0)))
    together = joint_odds_against(users, load)
    assert together == pytest.approx(USERS * odds_against(users) + SYNTHETIC * odds_against(load))
    assert judge_both(users, load).verdict is Verdict.INCONCLUSIVE


def test_what_alone_would_have_condemned_is_not_called_a_fail_while_both_do_not() -> None:
    just = next(e for e in growing() if odds_against(e) * e.criteria.alpha >= 1.0)
    alpha = 0.9 / odds_against(just)
    evidence = replace(just, criteria=replace(just.criteria, alpha=alpha * 1.2))
    judgement = judge_both(evidence, ours(*MANY))
    assert judge(evidence).verdict is Verdict.FAIL and judgement.verdict is Verdict.INCONCLUSIVE
    assert [finding for finding in judgement.findings if finding.verdict is Verdict.FAIL] == []


def growing() -> list[Evidence]:
    return [of_users(*fixed(10, 3, n, side(90, 0))) for n in range(1, 20)]


def test_healthy_releases_are_rarely_taken_back_however_their_odds_are_shared() -> None:
    """At the limit itself, with users and load at once: the promise is one in a hundred for both together."""
    condemned = sum(_condemned(random.Random(seed)) for seed in range(100))
    assert condemned <= 4


def _condemned(chance: random.Random) -> bool:
    users, load = begin(Criteria(), 60), begin(Criteria(), 30)
    for number in range(60):
        sample = _sample(number, 20, 200, lambda n: sum(chance.random() < 0.01 for _ in range(n)))
        users = observe(users, sample, concurrent=True)
        if number < 30:
            sample = _sample(number, 50, 50, lambda n: sum(chance.random() < 0.01 for _ in range(n)))
            load = observe(load, sample, concurrent=True)
        if decide_both(users, load) is Verdict.FAIL:
            return True
    return False


def _sample(number: int, n: int, m: int, bad: Callable[[int], int]) -> Sample:
    canary, stable = Side(n, n, bad(n)), Side(m, m, bad(m))
    return Sample(1000.0 + 5 * number, timedelta(seconds=5), canary, stable)
