"""What may be said of feature flags, where does it hold, and what is said when it may not?"""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest
from tests.config.test_load import TEN, errors, read

from interlock.config import Environment
from interlock.config.document import parse
from interlock.config.load import understand
from interlock.core.flag import Flag, FlagFile, FlagUse, OnFlagFailure, Unleash, references, sealed_use
from interlock.core.record import plain, restore
from interlock.core.weight import Weight

SERVER = "unleash: {url: 'https://flags.example/', token: env:UNLEASH}"
IN_FILE = "file: 'flags/{environment}.json'"


def production(tmp_path: Path, flags: str) -> Environment:
    return read(tmp_path, f"{TEN}flags: {{{flags}}}\n").production


def test_a_name_is_enough_and_the_specification_says_the_rest(tmp_path: Path) -> None:
    (use,) = production(tmp_path, f"{SERVER}, release: [new_feature]").flags
    kept = Unleash("https://flags.example", "production", "env:UNLEASH")
    assert use == FlagUse(Flag("new_feature", kept))
    assert (use.disable, use.ramp, use.on_failure) == (True, (5, 25, 50, 100), OnFlagFailure.FLAG_ONLY)


def test_all_that_a_release_does_with_a_flag_can_be_written(tmp_path: Path) -> None:
    text = (
        f"{TEN}strategy: {{canary: {{weights: [5%, 25%, 100%]}}}}\n"
        "flags:\n"
        f"  {IN_FILE}\n"
        "  release:\n"
        "    - name: new_feature\n"
        "      before: keep\n"
        "      during: {5%: 1%, 25%: 5%}\n"
        "      after: [50%, 100%]\n"
        "      bake: 2m\n"
        "      on_failure: everything\n"
        "      recovered_for: 30s\n"
        "    - {name: other, after: []}\n"
    )
    first, second = read(tmp_path, text).production.flags
    during = ((Weight(500), 1), (Weight(2500), 5))
    kept = FlagFile(str(tmp_path / "flags" / "production.json"))
    minutes, seconds = timedelta(minutes=2), timedelta(seconds=30)
    assert first == FlagUse(
        Flag("new_feature", kept), False, (50, 100), during, minutes, OnFlagFailure.EVERYTHING, seconds
    )
    assert (second.flag, second.ramp) == (Flag("other", kept), ())


def test_without_flags_nothing_is_known_of_them(tmp_path: Path) -> None:
    found = read(tmp_path, TEN).production
    assert (found.flags, found.flag_source) == ((), None)


def test_flags_may_be_kept_somewhere_that_no_release_moves(tmp_path: Path) -> None:
    found = production(tmp_path, IN_FILE)
    assert found.flags == ()
    assert found.flag_source == FlagFile(str(tmp_path / "flags" / "production.json"))


def test_production_is_called_production_there_and_all_others_development(tmp_path: Path) -> None:
    file = read(tmp_path, f"{TEN}flags: {{{SERVER}}}\n")
    assert [one.flag_source for one in file.environments] == [
        Unleash("https://flags.example", name, "env:UNLEASH") for name in ("development", "production")
    ]


def test_an_environment_may_be_called_otherwise_there(tmp_path: Path) -> None:
    text = f"{TEN}flags: {{{SERVER}}}\n".replace(
        "{port: 8001}", "{port: 8001, flags: {unleash: {environment: 'try-{environment}', token: env:OTHER}}}"
    )
    staging, live = (one.flag_source for one in read(tmp_path, text).environments)
    assert staging == Unleash("https://flags.example", "try-staging", "env:OTHER")
    assert live == Unleash("https://flags.example", "production", "env:UNLEASH")


def test_an_environment_that_keeps_its_flags_elsewhere_still_releases_the_same_ones(tmp_path: Path) -> None:
    text = f"{TEN}flags: {{{SERVER}, release: [new_feature]}}\n".replace(
        "{port: 8001}", "{port: 8001, flags: {file: staging.json}}"
    )
    (use,) = read(tmp_path, text).staging[0].flags
    assert use.flag == Flag("new_feature", FlagFile(str(tmp_path / "staging.json")))


def test_where_nobody_is_judged_each_percentage_is_looked_at_for_a_moment(tmp_path: Path) -> None:
    text = (
        f"{TEN}strategy: {{canary: {{weights: [25%, 100%]}}}}\n"
        f"flags: {{{IN_FILE}, release: [{{name: f, during: {{25%: 5%}}, after: [50%, 100%], bake: 1h}}]}}\n"
    )
    (staging,) = read(tmp_path, text).staging[0].flags
    assert (staging.ramp, staging.during) == ((50, 100), ())
    assert (staging.bake, staging.recovered_for) == (timedelta(seconds=5), timedelta(seconds=5))
    (live,) = read(tmp_path, text).production.flags
    assert live.bake == timedelta(hours=1) and live.during


def test_what_an_environment_says_itself_holds_there_as_it_stands(tmp_path: Path) -> None:
    text = f"{TEN}flags: {{{IN_FILE}, release: [f]}}\n".replace(
        "{port: 8001}", "{port: 8001, flags: {release: [{name: g, after: [100%], bake: 20s}]}}"
    )
    (use,) = read(tmp_path, text).staging[0].flags
    assert (use.flag.name, use.ramp, use.bake) == ("g", (100,), timedelta(seconds=20))


def test_an_environment_may_leave_flags_alone(tmp_path: Path) -> None:
    text = f"{TEN}flags: {{{IN_FILE}, release: [f]}}\n".replace("{port: 8001}", "{port: 8001, flags: {release: []}}")
    assert read(tmp_path, text).staging[0].flags == ()


def test_with_weights_that_the_plan_chooses_a_flag_may_begin_at_one_of_those_it_chooses_from(tmp_path: Path) -> None:
    (use,) = production(tmp_path, f"{IN_FILE}, release: [{{name: f, during: {{10%: 5%}}, after: [100%]}}]").flags
    assert use.during == ((Weight(1000), 5),)


def test_a_token_is_a_reference_until_it_is_sealed(tmp_path: Path) -> None:
    text = f"{TEN}flags: {{unleash: {{url: 'http://u', token: 'file:t'}}, release: [f]}}\n"
    (use,) = read(tmp_path, text).production.flags
    assert references([use.flag.source]) == (f"file:{tmp_path / 't'}",)
    sealed = sealed_use(use, {f"file:{tmp_path / 't'}": "f1"})
    assert references([sealed.flag.source]) == ("f1",)
    assert restore(FlagUse, plain(sealed)) == sealed
    assert sealed.flag.place == use.flag.place


@pytest.mark.parametrize(
    ("flags", "where", "what"),
    [
        ("release: [f]", ":7:18: flags.release", "expected unleash or file beside release"),
        (f"{SERVER}, {IN_FILE}", ":7:", "expected one of unleash, file, found both"),
        ("unleash: {token: env:A}", ":7:", "expected the key url"),
        ("file: {refresh: 2s}", ":7:", "expected the key path"),
        ("unleash: {url: 'ftp://x'}", ":7:24: flags.unleash.url", "expected"),
        ("unleash: {url: 'http://x', token: secret}", ":7:", "not repeated here"),
        (f"{IN_FILE}, release: [f, f]", ":7:", "each flag under release once, found f twice"),
        (f"{IN_FILE}, release: ['a b']", ":7:", "expected the name of a flag"),
        (f"{IN_FILE}, release: [-f]", ":7:", 'found "-f"'),
        (f"{IN_FILE}, release: [{{name: f, after: 5%}}]", "flags.release[0].after", "expected a list such as"),
        (f"{IN_FILE}, release: [{{name: f, after: [5]}}]", "after[0]", 'found 5 without "%"; did you mean "5%"?'),
        (f"{IN_FILE}, release: [{{name: f, after: [0%]}}]", "after[0]", 'from 1% to 100% such as "5%", found "0%"'),
        (f"{IN_FILE}, release: [{{name: f, after: [101%]}}]", "after[0]", "found"),
        (f"{IN_FILE}, release: [{{name: f, after: [2.5%]}}]", "after[0]", "expected a whole percentage"),
        (f"{IN_FILE}, release: [{{name: f, after: [25%, 5%]}}]", "after[1]", "percentages must rise"),
        (
            f"{IN_FILE}, release: [{{name: f, during: {{25%: 5%}}, after: [5%]}}]",
            "flags.release[0]",
            "more under after",
        ),
        (
            f"{IN_FILE}, release: [{{name: f, during: [5%]}}]",
            "release[0].during",
            "expected a mapping such as {25%: 5%}",
        ),
        (f"{IN_FILE}, release: [{{name: f, during: {{25: 5%}}}}]", "during.25", 'such as "5%", found "25"'),
        (f"{IN_FILE}, release: [{{name: f, during: {{100%: 5%}}}}]", "during.100%", "a weight below 100 %"),
        (f"{IN_FILE}, release: [{{name: f, during: {{5%: 2%, 1%: 3%}}}}]", "during.1%", "weights must rise"),
        (f"{IN_FILE}, release: [{{name: f, during: {{5%: 2%, 10%: 2%}}}}]", "during.10%", "percentages must rise"),
        (f"{IN_FILE}, release: [{{name: f, during: {{7%: 2%}}}}]", "release[0].during", "one of the canary's weights"),
        (f"{IN_FILE}, release: [{{name: f, before: enable}}]", "before", "expected disable or keep"),
        (f"{IN_FILE}, release: [{{name: f, bakes: 5m}}]", "flags.release[0]", 'did you mean "bake"?'),
        (
            "file: one.json",
            ":7:",
            "expected flags of its own for staging, found those of production: put {environment}",
        ),
        (f"{SERVER[:-1]}, environment: live}}", ":7:", "name another one (unleash.environment)"),
    ],
)
def test_what_cannot_be_meant_is_an_error_with_its_place(tmp_path: Path, flags: str, where: str, what: str) -> None:
    (found,) = errors(tmp_path, f"{TEN}flags: {{{flags}}}\n")
    assert where in found and what in found


def test_a_step_inside_of_a_canary_needs_one(tmp_path: Path) -> None:
    text = f"{TEN}strategy: rolling\nflags: {{{IN_FILE}, release: [{{name: f, during: {{25%: 5%}}}}]}}\n"
    text = text.replace("during: {25%: 5%}", "during: {25%: 1%}")
    (found,) = errors(tmp_path, text)
    assert "expected during only with the strategy canary, found it in production, which has none" in found


def test_what_is_wrong_in_one_environment_only_is_told_there(tmp_path: Path) -> None:
    text = TEN.replace("{port: 8001}", "{port: 8001, flags: {release: [f]}}")
    (found,) = errors(tmp_path, text)
    assert "environments.staging.flags.release: expected unleash or file" in found


def test_the_path_begins_at_the_file() -> None:
    path = Path("/project/interlock.yaml")
    found = understand(parse(f"{TEN}flags: {{file: '/etc/flags/{{environment}}.json'}}\n", path.name), path)
    assert found.production.flag_source == FlagFile("/etc/flags/production.json")


def test_what_the_manual_shows_is_understood(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "flags.md").read_text()
    examples = re.findall(r"```yaml\n(flags:.*?)```", text, flags=re.DOTALL)
    assert len(examples) >= 3
    for example in examples:
        assert read(tmp_path, f"{TEN}{example}").production.flags
