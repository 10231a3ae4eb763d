"""Does the picture of a run say what a person must know, in the width there is?"""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest
from rich.console import Console
from tests.surfaces.worlds import TALES, overridden, seen

from interlock.surfaces.cli.show.picture import picture


def drawn(name: str, width: int = 80, *, folded: bool = False, stuck: str = "") -> list[str]:
    view, now = seen(name)
    view = replace(view, stuck={view.current.id: stuck} if stuck else {})
    out = io.StringIO()
    Console(file=out, width=width, highlight=False).print(picture(view, now, width, folded=folded))
    return out.getvalue().splitlines()


def field(lines: list[str], label: str) -> str:
    """Return a field of the header with the lines it goes on in."""
    start = next(i for i, line in enumerate(lines) if line.strip().startswith(f"{label}:"))
    found = [lines[start].partition(":")[2].strip()]
    for line in lines[start + 1 :]:
        if not line.startswith(" " * 13):
            break
        found.append(line.strip())
    return " ".join(found)


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", TALES)
def test_a_picture_fits_its_width_and_breaks_no_line_of_the_tree(name: str, width: int) -> None:
    lines = drawn(name, width)
    assert all(len(line) <= width for line in lines)
    assert all(line.startswith(tuple("│├└ ")) for line in lines[lines.index("") + 2 :])


def test_a_watched_canary_says_what_it_waits_for_until_when_and_who_can_move_it() -> None:
    lines = drawn("watched")
    assert re.fullmatch(r"◌ progressing since 12:01:\d\d UTC \(\d+ s\)", field(lines, "Status"))
    since = r"\d+ s more to be observed, and proof, since 12:01:\d\d UTC \(2\d s\)"
    assert re.fullmatch(since, field(lines, "Waits for"))
    until = r"12:02:\d\d UTC at the earliest; 12:12:\d\d UTC at the latest, then it goes back"
    assert re.fullmatch(until, field(lines, "until"))
    assert "interlock pause shop-2 | interlock promote shop-2 | interlock abort shop-2" in field(lines, "Move it")
    assert field(lines, "Step") == "7/16 watch 1 min, until proven"


def test_what_load_proves_is_counted_and_named_apart_from_users() -> None:
    lines = drawn("by load", 120)
    assert "proven by synthetic load, not by users: 0 of 2,000 synthetic requests failed" in field(lines, "Synthetic")
    assert field(lines, "Load").startswith("4,000 synthetic requests to the new revision, 0 failed; 4,000 to the old")
    assert re.match(r"\d+ requests on the new revision", field(lines, "Users"))
    assert any("8 watch 1 min, until proven, by synthetic load" in line for line in lines)
    assert any("synthetic error-rate" in line for line in drawn("loading", 120))


def test_a_watched_canary_shows_its_weight_wanted_and_in_force_and_the_users_share() -> None:
    lines = drawn("watched", 120)
    assert field(lines, "Weight").startswith("10 % wanted, 10 % in force; observed")
    assert "requests on the new revision since it has this weight" in field(lines, "Users")
    assert re.fullmatch(r"█+░+ \d+ s of 1 min observed, \d+ s left", field(lines, "Bake"))


def test_a_watched_canary_shows_its_evidence_and_how_much_more_is_needed() -> None:
    text = "\n".join(drawn("watched"))
    assert "error-rate   ░░░░░░░░│█" in text
    assert "of 20, against" in text
    assert "more canary requests" in text
    assert "1 of 2 ready, 10 % wanted" in text
    assert "2 of 2 ready, 90 % wanted" in text
    assert "error rate canary ▁" in text
    assert "p99        canary" in text


@pytest.mark.parametrize("story", ["loading", "by load", "watched"])
def test_no_odds_are_cut_off_in_a_terminal_of_80_columns(story: str) -> None:
    text = "\n".join(drawn(story, 80))
    assert len(re.findall(r"of 20, against \S+ of 100\b", text)) == text.count("│█") + text.count("│░") > 0


def test_every_step_has_its_sign_and_a_folded_picture_only_those_near_the_present_one() -> None:
    whole, folded = drawn("watched"), drawn("watched", folded=True)
    assert any("✔ 6 weight 10 %" in line for line in whole)
    assert any("· 16 retire production-1" in line for line in whole)
    assert any("✔ 1 to 4 done" in line for line in folded)
    assert any("· 10 to 16 to come" in line for line in folded)
    assert len(folded) < len(whole)


def test_without_a_keeper_it_says_so_first_and_how_to_get_one() -> None:
    assert "no keeper answers" in field(drawn("alone"), "Keeper")


def test_a_rollout_that_is_not_driven_says_since_when_and_why() -> None:
    assert "not driven since noon: unreadable" in field(
        drawn("watched", stuck="not driven since noon: unreadable"), "Stuck"
    )


def test_a_pause_names_who_ordered_it_and_why() -> None:
    lines = drawn("paused")
    assert field(lines, "Message") == "paused by ada: lunch"
    assert "interlock resume shop-2" in field(lines, "Move it")


def test_what_was_advanced_unproven_stays_visible() -> None:
    lines = drawn("promoted")
    assert "advanced unproven by ada: trust me" in field(lines, "Unproven")
    assert any("⚠ 7 watch 1 min, until proven, unproven" in line for line in lines)


def test_what_a_person_let_pass_is_in_red_from_the_beginning_to_the_end() -> None:
    for name in ("watched", "succeeded"):
        view, now = seen(name)
        out = io.StringIO()
        console = Console(file=out, width=80, highlight=False, force_terminal=True, color_system="standard")
        console.print(picture(overridden(view), now, 80))
        lines = [line for line in out.getvalue().splitlines() if "Break-glass:" in line]
        assert len(lines) == 1 and "gate window of production overridden by ada (unproven): the" in lines[0]
        assert "\x1b[1;31m" in lines[0], "bold and red"


def test_going_back_shows_why_and_how_far() -> None:
    lines = drawn("going back")
    assert "canary requests failed" in field(lines, "Message")
    assert any("✖ error-rate   ████████│" in line for line in lines)
    assert any("✖ 7 watch 1 min, until proven" in line for line in lines)
    assert any("◌ 5 watch until back to normal for 20 s" in line for line in lines)


def test_a_failed_rollback_offers_to_try_again() -> None:
    assert "interlock abort shop-2" in field(drawn("failed"), "Move it")
