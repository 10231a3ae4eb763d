"""Does the table say, for every phase and every event, where a rollout goes? One table, each cell tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tests.core.examples import canary_stage, revision

from interlock.core import transitions as table
from interlock.core.approval import Policy
from interlock.core.conditions import Conditions
from interlock.core.diagram import mermaid
from interlock.core.events import Done, Event, Failed, Held, Observed, Order, OrderKind, TurnedOff, Unsafe
from interlock.core.flag import Captured, Flag, FlagFile, FlagState
from interlock.core.phase import OVER, Phase
from interlock.core.rollout import Rollout, begin
from interlock.core.steps import Retire, SetFlag, SetWeight, Start, Step, Until, Watch
from interlock.core.transitions import TRANSITIONS, Refused, advance
from interlock.core.weight import ALL, NONE

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
LATER = AT + timedelta(minutes=5)
SECOND = timedelta(seconds=1)

PLAIN = Start("new", 1, SECOND)
WATCH = Watch(SECOND, Until.PROVEN)
PERSON = Watch(SECOND, Until.APPROVED)
LAST = Watch(SECOND, Until.QUIET, last=True)
STEPS: dict[str, Step] = {"plain": PLAIN, "watch": WATCH, "person": PERSON, "people": PERSON, "last": LAST}

FLAG = Flag("new_feature", FlagFile("flags.json"))
UP, OFF = SetFlag(FLAG, 5), SetFlag(FLAG, 0)
RETRACT = (OFF, Watch(SECOND, Until.RECOVERED), Retire("old", 0))
"""A flag goes up before the present step where that is `ramp`."""

LETTERS = {
    "P": Phase.PROGRESSING,
    "W": Phase.WAITING,
    "L": Phase.WATCHING,
    "Z": Phase.PAUSED,
    "T": Phase.RETRACTING,
    "B": Phase.ROLLING_BACK,
    "S": Phase.SUCCEEDED,
    "R": Phase.ROLLED_BACK,
    "U": Phase.SUPERSEDED,
    "F": Phase.FAILED,
}
FOLLOWING = {"nothing": "S", "plain": "P", "watch": "P", "person": "W", "last": "L"}
"""Where `>` leads: to what the next step makes of it."""

EVENTS = "done failed held observed unsafe turnedoff pause resume approve promote abort supersede acknowledge".split()
EXPECTED = """
phase        step    done failed held observed unsafe turnedoff pause resume approve promote abort supersede acknowledge
progressing  plain    >    B      W    P        B      P         Z     -      -       -       B     B         P
progressing  watch    >    B      W    P        B      P         Z     -      -       >       B     B         P
waiting      plain    >    B      W    W        B      W         Z     -      -       -       B     B         W
waiting      watch    >    B      W    W        B      W         Z     -      -       >       B     B         W
waiting      person   >    B      W    W        B      W         Z     -      >       -       B     B         W
waiting      people   >    B      W    W        B      W         Z     -      W       -       B     B         W
watching     last     >    B      L    L        B      L         Z     -      -       >       B     B         L
paused       plain    -    B      -    -        B      Z         -     P      -       -       B     B         Z
paused       watch    -    B      -    -        B      Z         -     P      -       -       B     B         Z
paused       person   -    B      -    -        B      Z         -     W      -       -       B     B         Z
paused       last     -    B      -    -        B      Z         -     L      -       -       B     B         Z
progressing  ramp     >    T      W    P        T      P         Z     -      -       >       B     B         P
waiting      ramp     >    T      W    W        T      W         Z     -      -       >       B     B         W
paused       ramp     -    T      -    -        T      Z         -     P      -       -       B     B         Z
paused       hand     -    T      -    -        T      Z         -     T      -       -       B     B         Z
retracting   flag     T    B      T    T        T      T         -     -      -       -       B     B         T
retracting   watch    T    B      T    T        B      T         -     -      -       -       B     B         T
retracting   end      S    B      T    T        B      T         -     -      -       -       B     B         T
rolling-back more     B    F      B    B        B      B         -     -      -       -       B     B         -
rolling-back end      R    F      B    B        B      B         -     -      -       -       B     B         -
rolling-back replaced U    F      B    B        B      B         -     -      -       -       B     B         -
succeeded    end      -    -      -    -        -      -         -     -      -       -       -     -         -
rolled-back  end      -    -      -    -        -      -         -     -      -       -       -     -         -
superseded   end      -    -      -    -        -      -         -     -      -       -       -     -         -
failed       end      -    -      -    -        -      -         -     -      -       -       B     -         -
"""


def going(phase: Phase, present: str, following: str) -> Rollout:
    """A rollout at its second step, with this step after it."""
    after = () if following == "nothing" else (STEPS[following],)
    if present in ("ramp", "hand"):
        steps = (SetWeight(ALL), UP, WATCH, *after)
        stage = replace(canary_stage(), steps=steps, retract=RETRACT)
        by_hand = Captured(FLAG, FlagState(False), FlagState(True, 5), off_by="ada")
        begun = begin("shop-1-production", "shop-1", "hash", stage, AT)
        return replace(begun, phase=phase, index=2, flags=(by_hand,) if present == "hand" else ())
    two = Conditions(approvals=Policy("signers", needed=2)) if present == "people" else Conditions()
    stage = replace(canary_stage(), steps=(SetWeight(ALL), STEPS[present], *after), conditions=two)
    return replace(begin("shop-1-production", "shop-1", "hash", stage, AT), phase=phase, index=1)


def retracting(where: str) -> Rollout:
    """A rollout whose flags were taken back at its third step, while its code stays."""
    index = {"flag": 0, "watch": 1, "end": 2}[where]
    going_up = going(Phase.RETRACTING, "ramp", "last")
    return replace(going_up, index=index, retracted_at=2, retracted="bad")


def back(phase: Phase, where: str) -> Rollout:
    """A rollout that has turned back at its second step."""
    turned = replace(going(phase, "plain", "watch"), turned_at=1, reason="bad")
    index = 0 if where == "more" else len(turned.way_back) - 1
    return replace(turned, index=index, superseded=where == "replaced")


def event(name: str, index: int) -> Event:
    match name:
        case "done":
            return Done(LATER, index)
        case "failed":
            return Failed(LATER, index, "broke")
        case "held":
            return Held(LATER, index, "closed")
        case "observed":
            return Observed(LATER, index, SECOND)
        case "unsafe":
            return Unsafe(LATER, "found", quarantine=True)
        case "turnedoff":
            return TurnedOff(LATER, FLAG, "ada")
    return Order(LATER, OrderKind(name), "ada", f"key-{name}")


def cells() -> list[tuple[Rollout, str, str]]:
    """Each cell as (rollout, event, letter): those that lead to the next step once for each kind of next step."""
    found = []
    for line in EXPECTED.strip().splitlines()[1:]:
        phase_name, step, *letters = line.split()
        phase = Phase(phase_name.replace("-", " "))
        for name, letter in zip(EVENTS, letters, strict=True):
            if phase is Phase.SUCCEEDED:
                found.append((going(phase, "plain", "nothing"), name, letter))
            elif phase is Phase.RETRACTING:
                found.append((retracting(step), name, letter))
            elif step in (*STEPS, "ramp", "hand"):
                found += [(going(phase, step, f), name, to if letter == ">" else letter) for f, to in FOLLOWING.items()]
            else:
                found.append((back(phase, step), name, letter))
    return found


def described(cell: tuple[Rollout, str, str]) -> str:
    rollout, name, letter = cell
    return f"{rollout.phase} at {rollout.next_step} {rollout.way[rollout.index + 1 :][:1]} {name} {letter}"


@pytest.mark.parametrize("cell", cells(), ids=described)
def test_every_event_leads_from_every_phase_where_the_table_says(cell: tuple[Rollout, str, str]) -> None:
    rollout, name, letter = cell
    if letter == "-":
        with pytest.raises(Refused, match=rollout.id):
            advance(rollout, event(name, rollout.index))
        return
    after = advance(rollout, event(name, rollout.index))
    assert after.phase is LETTERS[letter]
    assert after.since == (rollout.since if after.phase is rollout.phase else LATER)
    if rollout.going_back:
        assert after.going_back
    assert 0 <= after.index < len(after.way)


def test_every_phase_and_every_event_is_in_the_table() -> None:
    phases = {line.split()[0].replace("-", " ") for line in EXPECTED.strip().splitlines()[1:]}
    assert phases == {phase.value for phase in Phase}
    assert set(EVENTS) == {row.on for row in TRANSITIONS} == {*EVENTS[:6], *OrderKind}


def test_every_row_is_reached() -> None:
    reached = set()
    for rollout, name, letter in cells():
        if letter != "-":
            happened = event(name, rollout.index)
            reached.add(next(row for row in TRANSITIONS if fits(row, rollout, happened)))
    assert [row for row in TRANSITIONS if row not in reached] == []


def fits(row: table.Row, rollout: Rollout, happened: Event) -> bool:
    return rollout.phase in row.phases and row.on == table.name(happened) and table._GUARDS[row.when](rollout, happened)


def test_what_a_step_says_is_heard_only_for_the_present_step() -> None:
    rollout = going(Phase.PROGRESSING, "watch", "plain")
    for name in EVENTS[:4]:
        for index in (0, 2):
            with pytest.raises(Refused, match=f"step {index + 1} is not the present one"):
                advance(rollout, event(name, index))


@pytest.mark.parametrize("kind", OrderKind)
def test_an_order_for_another_step_or_phase_than_its_sender_saw(kind: OrderKind) -> None:
    phase, step = {
        OrderKind.RESUME: (Phase.PAUSED, "watch"),
        OrderKind.APPROVE: (Phase.WAITING, "person"),
    }.get(kind, (Phase.PROGRESSING, "watch"))
    rollout = going(phase, step, "plain")
    for seen in (Order(LATER, kind, "ada", "k", index=0), Order(LATER, kind, "ada", "k", phase=Phase.WATCHING)):
        if kind in (OrderKind.ABORT, OrderKind.SUPERSEDE):
            assert advance(rollout, seen).phase is Phase.ROLLING_BACK
        else:
            with pytest.raises(Refused, match=r"has passed step 1|no longer watching"):
                advance(rollout, seen)
    assert advance(rollout, Order(LATER, kind, "ada", "k", index=1, phase=phase)) != rollout


HEARD = [cell for cell in cells() if cell[1] in list(OrderKind) and cell[2] != "-"]


@pytest.mark.parametrize("cell", HEARD, ids=described)
def test_the_same_order_twice_is_once(cell: tuple[Rollout, str, str]) -> None:
    rollout, name, _ = cell
    order = event(name, rollout.index)
    once = advance(rollout, order)
    assert advance(once, order) == once


def test_going_back_never_turns_again() -> None:
    """From a rollout that has turned, no event of any kind leads anywhere but on and to the end."""
    seen, left = set(), [back(Phase.ROLLING_BACK, "more")]
    while left:
        rollout = left.pop()
        for name in EVENTS:
            for quarantine in (True, False):
                happened = event(name, rollout.index)
                if isinstance(happened, Unsafe):
                    happened = replace(happened, quarantine=quarantine)
                try:
                    after = advance(rollout, happened)
                except Refused:
                    continue
                assert after.phase in {Phase.ROLLING_BACK} | (OVER - {Phase.SUCCEEDED})
                assert after.turned_at == rollout.turned_at
                place = (after.phase, after.index, after.quarantine, after.superseded)
                if place not in seen:
                    seen.add(place)
                    left.append(replace(after, heard=(), observed=timedelta(0)))
    assert {phase for phase, *_ in seen} == {Phase.ROLLING_BACK} | (OVER - {Phase.SUCCEEDED})


def test_a_promotion_is_recorded_as_unproven_and_an_approval_with_what_it_is_bound_to() -> None:
    promoted = advance(going(Phase.WAITING, "watch", "plain"), Order(LATER, OrderKind.PROMOTE, "ada", "k", "hurry"))
    assert promoted.unproven == ("step 2 (watch 1 s, until proven) advanced unproven by ada: hurry",)
    approved = advance(going(Phase.WAITING, "person", "plain"), Order(LATER, OrderKind.APPROVE, "ada", "k"))
    (approval,) = approved.approvals
    assert (approval.at, approval.by, approval.plan) == (LATER, "ada", "hash")
    assert approval.identity == approved.stage.revision.release.identity


def test_what_turns_a_rollout_is_its_reason_to_the_end() -> None:
    rollout = advance(going(Phase.PROGRESSING, "watch", "plain"), Unsafe(LATER, "it burns", quarantine=True))
    assert (rollout.reason, rollout.quarantine, rollout.turned_at, rollout.index) == ("it burns", True, 1, 0)
    while not rollout.over:
        rollout = advance(rollout, Done(LATER, rollout.index))
    assert (rollout.phase, rollout.reason) == (Phase.ROLLED_BACK, "it burns")
    failed = advance(back(Phase.ROLLING_BACK, "more"), Failed(LATER, 0, "stuck"))
    assert failed.reason == "bad; the rollback could not be verified: stuck"


def test_an_abort_does_not_quarantine_and_a_later_finding_does() -> None:
    aborted = advance(going(Phase.PROGRESSING, "watch", "plain"), event("abort", 1))
    assert not aborted.quarantine
    assert advance(aborted, Unsafe(LATER, "worse", quarantine=True)).quarantine
    assert not advance(aborted, Unsafe(LATER, "blind", quarantine=False)).quarantine


def test_observed_time_adds_up_and_begins_again_with_each_step() -> None:
    rollout = going(Phase.PROGRESSING, "watch", "watch")
    for _ in range(3):
        rollout = advance(rollout, Observed(LATER, 1, SECOND))
    assert rollout.observed == 3 * SECOND
    paused = advance(rollout, event("pause", 1))
    resumed = advance(paused, event("resume", 1))
    assert resumed.observed == 3 * SECOND
    assert advance(resumed, Done(LATER, 1)).observed == timedelta(0)


def test_the_weight_is_that_of_the_last_weight_step_begun() -> None:
    stage = canary_stage()
    rollout = begin("r", "run", "hash", stage, AT)
    weight = NONE
    while not rollout.over:
        step = rollout.next_step
        weight = step.weight if isinstance(step, SetWeight) else weight
        assert rollout.weight == weight
        assert rollout.exposed is (weight != NONE)
        turned = advance(rollout, event("abort", rollout.index))
        assert (turned.weight, turned.exposed) == (weight, rollout.exposed)
        while not turned.over:
            turned = advance(turned, Done(LATER, turned.index))
        assert turned.weight == NONE
        rollout = advance(rollout, Done(LATER, rollout.index))
    assert weight == ALL


def test_where_no_user_ever_came_the_way_back_only_ends_the_new_revision() -> None:
    stage = canary_stage()
    unexposed = advance(begin("r", "run", "hash", stage, AT), event("abort", 0))
    assert {step.revision for step in unexposed.way_back if isinstance(step, Retire)} == {revision("v2").name}
    assert not [step for step in unexposed.way_back if isinstance(step, (Start, SetWeight, Watch))]
    first_weight = next(number for number, step in enumerate(stage.steps) if isinstance(step, SetWeight))
    exposed = replace(begin("r", "run", "hash", stage, AT), index=first_weight)
    assert advance(exposed, event("abort", first_weight)).way_back == stage.rollback


def test_a_refusal_says_where_the_rollout_stands_and_what_to_do() -> None:
    over = replace(going(Phase.SUCCEEDED, "plain", "nothing"), since=AT)
    with pytest.raises(Refused, match="is succeeded since 2026-03-01 12:00:00 UTC: there is nothing left to abort"):
        advance(over, event("abort", 1))
    with pytest.raises(
        Refused, match=r"is progressing at step 2 \(start 1 instance of new\): promote only ends a watch"
    ):
        advance(going(Phase.PROGRESSING, "plain", "watch"), event("promote", 1))
    with pytest.raises(Refused, match="which waits for no approval"):
        advance(going(Phase.PROGRESSING, "watch", "watch"), event("approve", 1))
    with pytest.raises(Refused, match="is paused: pause does not fit there"):
        advance(going(Phase.PAUSED, "watch", "watch"), event("pause", 1))


def test_the_documentation_shows_the_diagram_of_this_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-a-rollout-works.md").read_text()
    assert page.count("```mermaid\n") == 1
    shown = page.split("```mermaid\n")[1].split("\n```")[0]
    assert shown == mermaid()


def test_the_documentation_names_every_phase() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-a-rollout-works.md").read_text()
    for phase in Phase:
        assert f"| {phase.value} |" in page


def test_a_bad_flag_step_takes_the_flag_back_and_blames_no_code() -> None:
    bad = Unsafe(LATER, "error rate 30 %", quarantine=True)
    after = advance(going(Phase.PROGRESSING, "ramp", "last"), bad)
    assert (after.phase, after.next_step, after.retracted_at) == (Phase.RETRACTING, OFF, 2)
    assert (after.retracted, after.quarantine, after.going_back) == ("error rate 30 %", False, False)
    assert after.reached[-1] is WATCH
    again = advance(after, bad)
    assert again == after


def test_code_that_does_not_recover_without_its_flag_goes_back_from_where_the_flag_was_bad() -> None:
    after = advance(retracting("watch"), Unsafe(LATER, "still 30 %", quarantine=True))
    assert (after.phase, after.turned_at, after.index) == (Phase.ROLLING_BACK, 2, 0)
    assert (after.quarantine, after.retracted, after.retracting) == (True, "bad", False)


def test_where_everything_is_to_go_back_a_bad_flag_step_is_like_any_other() -> None:
    ramp = going(Phase.PROGRESSING, "ramp", "last")
    everything = replace(ramp, stage=replace(ramp.stage, retract=()))
    assert advance(everything, Failed(LATER, 2, "no proof")).phase is Phase.ROLLING_BACK


def test_how_a_flag_stood_before_is_kept_from_the_first_time_it_is_told() -> None:
    rollout = going(Phase.PROGRESSING, "ramp", "last")
    states = [FlagState(enabled=True, percentage=p, native=str(p)) for p in (10, 5, 25)]
    for state in states:
        done = Done(LATER, 2, flags=(Captured(FLAG, state, state),))
        rollout = replace(advance(rollout, done), index=2, phase=Phase.PROGRESSING)
    assert rollout.flags == (Captured(FLAG, states[0], states[-1]),)
