"""Does the file become the values it means, and does everything else become an error with its place?"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.config import Environment, File, FileError, find, load
from interlock.core.criteria import Criteria
from interlock.core.health import Identify, Probe, ProbeKind, SmokeTest
from interlock.core.load import Recipe
from interlock.core.plan import StrategyName
from interlock.core.release import Artefact, Protocol, Sticky, StickyBy
from interlock.core.strategy import Pace
from interlock.core.weight import Weight

ARTEFACT = Artefact("sha256:" + "a" * 64, "directory .")
TEN = """\
service: shop
artefact: {directory: .}
command: [python, app.py]
environments:
  staging: {port: 8001}
  production: {port: 8000}
"""


def read(tmp_path: Path, text: str) -> File:
    path = tmp_path / "interlock.yaml"
    path.write_text(text)
    return load(path)


def errors(tmp_path: Path, text: str) -> list[str]:
    with pytest.raises(FileError) as raised:
        read(tmp_path, text)
    return [str(error) for error in raised.value.errors]


def one(tmp_path: Path, text: str) -> str:
    found = errors(tmp_path, text)
    assert len(found) == 1, found
    return found[0]


@pytest.fixture
def ten(tmp_path: Path) -> File:
    return read(tmp_path, TEN)


def test_ten_lines_make_a_safe_canary(ten: File) -> None:
    production = ten.production
    assert (ten.service, production.name, production.entrance.port) == ("shop", "production", 8000)
    assert (production.strategy, production.weights) == (StrategyName.CANARY, None)
    assert production.criteria == Criteria()
    assert production.pace == Pace()
    assert production.configuration.readiness == Probe()
    assert ten.proof_valid_for == timedelta(days=7)


def test_staging_switches_at_once_and_looks_at_health_only(ten: File) -> None:
    staging = ten.staging[0]
    assert (staging.strategy, staging.criteria) == (StrategyName.BLUE_GREEN, None)
    assert staging.pace.keep == staging.pace.recovered_for == timedelta(seconds=5)
    assert not staging.pace.judged and not staging.pace.staged


def test_every_environment_after_the_first_needs_proof(tmp_path: Path) -> None:
    file = read(tmp_path, TEN.replace("  production", "  qa: {port: 8002}\n  production"))
    assert [e.pace.staged for e in file.environments] == [False, True, True]
    assert [e.name for e in file.staging] == ["staging", "qa"]


def test_the_file_is_found_from_a_directory_below(tmp_path: Path, ten: File) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert find(below) == tmp_path / "interlock.yaml" == ten.path


def test_a_missing_file_is_one_sentence_that_says_what_to_do(tmp_path: Path) -> None:
    for attempt in (lambda: load(tmp_path / "interlock.yaml"), lambda: find(tmp_path)):
        with pytest.raises(FileError, match="run `interlock init`"):
            attempt()


# Settings


def test_an_environment_overrides_key_by_key_and_replaces_lists(tmp_path: Path) -> None:
    text = TEN.replace("  production: {port: 8000}", "") + (
        "  production:\n"
        "    port: 8000\n"
        "    instances: 3\n"
        "    env: {B: '2'}\n"
        "    health: {unhealthy_after: 5}\n"
        "    smoke_tests: [{path: /b}]\n"
        "instances: 2\n"
        "env: {A: 1, B: x}\n"
        "health: {readiness: {http: /ready, fields: {db: ok}}, memory_max: 512MiB}\n"
        "smoke_tests: [{path: /a}, {command: [true]}]\n"
    ).replace("[true]", "['true']")
    file = read(tmp_path, text)
    production, staging = file.production.configuration, file.staging[0].configuration
    assert (staging.instances, production.instances) == (2, 3)
    assert production.environment == (("A", "1"), ("B", "2"))
    assert production.readiness == Probe(ProbeKind.HTTP, "/ready", (("db", "ok"),))
    assert (production.unhealthy_after, staging.unhealthy_after) == (5, 3)
    assert production.memory_max == 512 * 2**20
    assert [test.name for test in production.smoke_tests] == ["GET /b"]
    assert [test.name for test in staging.smoke_tests] == ["GET /a", "true"]


def test_a_block_of_another_kind_replaces_the_whole_block(tmp_path: Path) -> None:
    text = TEN.replace("8001}", "8001, health: {readiness: tcp}, sticky: nothing}") + (
        "health: {readiness: {http: /ready, fields: {db: ok}, timeout: 7s}}\nsticky: {cookie: session}\n"
    )
    file = read(tmp_path, text)
    assert file.staging[0].configuration.readiness == Probe(ProbeKind.TCP, "")
    assert file.staging[0].entrance.sticky == Sticky()
    assert file.production.entrance.sticky == Sticky(StickyBy.COOKIE, "session")


def test_what_does_not_go_together_after_the_merge_is_an_error(tmp_path: Path) -> None:
    text = TEN.replace("8001}", "8001, health: {readiness: {fields: {db: ok}}}") + "health: {readiness: tcp}\n"
    text = text.replace("{db: ok}}}", "{db: ok}}}}")
    assert one(tmp_path, text).endswith("expected fields together with http, found them with tcp")


def test_variables_are_taken_as_they_are_written(tmp_path: Path) -> None:
    text = TEN + "env: {A: 010, B: yes, C: true, D: 1_000, E: $HOME, F: '', G: 2024-01-01}\n"
    environment = dict(read(tmp_path, text).production.configuration.environment)
    written = {"A": "010", "B": "yes", "C": "true", "D": "1_000", "E": "$HOME", "F": "", "G": "2024-01-01"}
    assert environment == written


def test_secrets_are_references_and_become_fingerprints(tmp_path: Path) -> None:
    text = TEN + "secrets: {B: env:SHOP_B, A: file:secrets/a}\n"
    production = read(tmp_path, text).production
    references = (("A", f"file:{tmp_path}/secrets/a"), ("B", "env:SHOP_B"))
    assert production.secret_references() == references
    release = production.release("v1", ARTEFACT, {reference: f"key-{v}" for v, reference in references})
    assert release.configuration.secrets == (("A", "key-A"), ("B", "key-B"))
    with pytest.raises(KeyError):
        production.release("v1", ARTEFACT, {})


def test_what_is_plain_in_one_environment_may_be_a_secret_in_another(tmp_path: Path) -> None:
    text = TEN.replace("8000}", "8000, secrets: {KEY: env:KEY}}") + "env: {KEY: for-tests}\n"
    file = read(tmp_path, text)
    assert file.production.configuration.environment == ()
    assert file.production.references == (("KEY", "env:KEY"),)
    assert file.staging[0].configuration.environment == (("KEY", "for-tests"),)


@pytest.mark.parametrize(
    ("written", "strategy", "weights", "bake"),
    [
        ("canary", "canary", None, 5),
        ("{canary: {weights: auto, bake: 1m}}", "canary", None, 1),
        ("{canary: {weights: [5%, 25%, 50%, 100%]}}", "canary", (500, 2500, 5000, 10000), 5),
        ("{canary: {weights: [0.25%, 100%]}}", "canary", (25, 10000), 5),
        ("rolling", "rolling", None, 5),
        ("{rolling: {bake: 2m}}", "rolling", None, 2),
        ("blue-green", "blue-green", None, 5),
    ],
)
def test_a_strategy_is_written_short_or_long(
    tmp_path: Path, written: str, strategy: str, weights: tuple[int, ...] | None, bake: int
) -> None:
    production = read(tmp_path, f"{TEN}strategy: {written}\n").production
    assert production.strategy is StrategyName(strategy)
    assert production.weights == (None if weights is None else tuple(map(Weight, weights)))
    assert production.pace.bake == timedelta(minutes=bake)
    if weights:
        assert production.pace.weights == production.weights


def test_the_top_levels_strategy_and_criteria_hold_where_releases_are_judged(tmp_path: Path) -> None:
    text = TEN.replace("8001}", "8001}\n  load: {port: 8002, criteria: {alpha: 5%}}")
    text += "strategy: {rolling: {bake: 1m}}\ncriteria: {error_rate: 2%}\n"
    staging, load_, production = read(tmp_path, text).environments
    assert (staging.strategy, staging.criteria) == (StrategyName.BLUE_GREEN, None)
    assert load_.strategy is production.strategy is StrategyName.ROLLING
    assert load_.criteria == Criteria(error_rate=0.02, alpha=0.05)
    assert production.criteria == Criteria(error_rate=0.02)
    assert production.pace.judged and load_.pace.judged


def test_a_canary_that_is_not_judged_takes_fixed_weights(tmp_path: Path) -> None:
    staging = read(tmp_path, TEN.replace("8001}", "8001, strategy: canary}")).staging[0]
    assert staging.weights == Pace().weights
    assert staging.pace.first_bake == timedelta(seconds=5)


def test_the_hold_of_the_strategy_is_the_hold_of_the_criteria(tmp_path: Path) -> None:
    production = read(tmp_path, TEN + "strategy: {canary: {hold_at_most: 1h}}\n").production
    assert production.criteria is not None
    assert production.criteria.hold_at_most == production.pace.hold_at_most == timedelta(hours=1)


def test_approval_identification_and_limits_reach_the_core(tmp_path: Path) -> None:
    text = TEN.replace("8000}", "8000, approve: true, address: 0.0.0.0, request_timeout: 5s}")
    text += "identify: {field: build.version, path: /version}\ndrain: 1h30m\nstart: 500ms\n"
    production = read(tmp_path, text).production
    assert production.approve
    assert (production.entrance.address, production.entrance.request_timeout) == ("0.0.0.0", timedelta(seconds=5))
    assert production.configuration.identify == Identify(None, "build.version", "/version")
    assert production.configuration.drain_within == timedelta(hours=1, minutes=30)
    assert production.configuration.start_within == timedelta(milliseconds=500)


def test_a_service_speaks_http1_unless_it_says_otherwise_or_is_asked_by_grpc(tmp_path: Path) -> None:
    for written, protocol in {
        "": Protocol.HTTP1,
        "protocol: h2c\n": Protocol.H2C,
        "health: {readiness: {grpc: ''}}\n": Protocol.GRPC,
        "protocol: h2c\nhealth: {readiness: {grpc: ''}}\n": Protocol.H2C,
        "health: {liveness: {grpc: ''}}\n": Protocol.HTTP1,
    }.items():
        assert read(tmp_path, TEN + written).production.configuration.protocol is protocol
    file = read(tmp_path, TEN.replace("8000}", "8000, protocol: grpc}"))
    assert [e.configuration.protocol for e in file.environments] == [Protocol.HTTP1, Protocol.GRPC]
    assert file.unproven == ("protocol",)


def test_what_a_protocol_does_not_go_with_is_said_after_the_merge(tmp_path: Path) -> None:
    (error, _) = errors(tmp_path, TEN + "protocol: http1\nhealth: {readiness: {grpc: ''}}\n")
    assert "staging.protocol: expected protocol: grpc (or h2c) where readiness is asked by grpc, found http1" in error
    (error, _) = errors(tmp_path, TEN + "protocol: grpc\nidentify: {field: version}\n")
    assert "staging.identify: expected a header that a gRPC service sends with its answers" in error


def test_a_smoke_test_may_be_a_grpc_health_check(tmp_path: Path) -> None:
    tests = read(tmp_path, TEN + "smoke_tests: [{grpc: ''}, {grpc: shop.Cart, timeout: 1s}]\n").production
    assert tests.configuration.smoke_tests == (
        SmokeTest("health of the server", grpc=""),
        SmokeTest("health of shop.Cart", grpc="shop.Cart", timeout=timedelta(seconds=1)),
    )


def test_synthetic_load_calls_a_grpc_service_unless_it_says_how_else(tmp_path: Path) -> None:
    for written, recipe in {
        "{}": Recipe(paths=("/grpc.health.v1.Health/Check",), method="GRPC"),
        "{paths: [/shop.Cart/Get]}": Recipe(paths=("/shop.Cart/Get",), method="GRPC"),
        "{method: GET}": Recipe(),
    }.items():
        text = f"{TEN}protocol: grpc\nstrategy: {{canary: {{load: {written}}}}}\n"
        assert read(tmp_path, text).production.pace.load == recipe


def test_every_check_is_readable_in_its_forms(tmp_path: Path) -> None:
    forms = {
        "/ready": Probe(ProbeKind.HTTP, "/ready"),
        "tcp": Probe(ProbeKind.TCP, ""),
        "{grpc: shop.v1.Shop}": Probe(ProbeKind.GRPC, "shop.v1.Shop"),
        "{command: [./check, --fast], timeout: 1s}": Probe(
            ProbeKind.COMMAND, "", command=("./check", "--fast"), timeout=timedelta(seconds=1)
        ),
        "{timeout: 9s}": Probe(timeout=timedelta(seconds=9)),
    }
    for written, probe in forms.items():
        file = read(tmp_path, f"{TEN}health: {{readiness: {written}, liveness: {written}}}\n")
        assert file.production.configuration.readiness == file.production.configuration.liveness == probe


# What staging proves


def common(file: File) -> set[str]:
    return {e.release("v1", ARTEFACT, {r: r for _, r in e.references}).common for e in file.environments}


def test_all_environments_share_the_name_of_what_staging_proves(tmp_path: Path) -> None:
    own = "8000, instances: 9, env: {A: b}, secrets: {S: env:S}, drain: 9s, health: {memory_max: 1GiB}}"
    plain, different = common(read(tmp_path, TEN)), common(read(tmp_path, TEN.replace("8000}", own)))
    assert len(plain) == 1
    assert plain == different, "instances, variables, secrets, ports and limits are each environment's own"


@pytest.mark.parametrize(
    "change",
    [
        "health: {readiness: /ready}",
        "health: {liveness: /alive}",
        "smoke_tests: [{path: /}]",
        "identify: {header: X-Version}",
        "artefact: {build: [make]}",
        "artefact: {exclude: ['*.md']}",
    ],
)
def test_a_change_of_what_all_share_must_be_proven_again(tmp_path: Path, change: str) -> None:
    base = TEN.replace("artefact: {directory: .}\n", "")
    assert common(read(tmp_path, base)) != common(read(tmp_path, f"{base}{change}\n"))


def test_what_speaks_http1_keeps_the_name_it_had_before_there_were_protocols(tmp_path: Path, ten: File) -> None:
    release = ten.production.release("v1", ARTEFACT, {})
    assert (release.identity, release.common) == ("0f6d235c0464f188", "456d591e775df787")
    grpc = read(tmp_path, TEN + "protocol: grpc\n").production.release("v1", ARTEFACT, {})
    assert grpc.identity != release.identity and grpc.common != release.common


def test_what_staging_cannot_prove_is_named(tmp_path: Path, ten: File) -> None:
    assert ten.unproven == ()
    file = read(tmp_path, TEN.replace("8000}", "8000, command: [python, other.py]}"))
    assert file.unproven == ("command",)
    assert len(common(file)) == 1


def test_the_identity_of_a_release_does_not_depend_on_where_the_project_lies(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    made = []
    for place in (here, there):
        place.mkdir()
        made.append(read(place, TEN + "secrets: {S: file:s}\n").production)
    releases = [e.release("v1", ARTEFACT, {r: "fingerprint" for _, r in e.references}) for e in made]
    assert releases[0] == releases[1]


def test_reading_twice_gives_equal_values(tmp_path: Path) -> None:
    assert read(tmp_path, TEN) == read(tmp_path, TEN)
    environment: Environment = read(tmp_path, TEN).production
    assert replace(environment) == environment and hash(environment)


def recipes(tmp_path: Path, strategy: str) -> list[Recipe | None]:
    return [environment.pace.load for environment in read(tmp_path, f"{TEN}strategy: {strategy}\n").environments]


def test_synthetic_load_is_sent_where_releases_are_judged_and_only_if_asked_for(tmp_path: Path) -> None:
    assert recipes(tmp_path, "canary") == [None, None]
    assert recipes(tmp_path, "{canary: {load: auto}}") == [None, Recipe(always=False)]
    own = "{rolling: {load: {rate: 20/s, requests: 3000, paths: [/, /cart], method: HEAD}}}"
    assert recipes(tmp_path, own)[1] == Recipe(20.0, 3000, ("/", "/cart"), "HEAD")


# Errors


def test_an_error_has_line_column_setting_expectation_and_the_nearest_key(tmp_path: Path) -> None:
    text = TEN + "strategy:\n  canary:\n    wieghts: [5%, 100%]\n"
    assert one(tmp_path, text) == (
        "interlock.yaml:9:5: strategy.canary: expected one of keep, hold_at_most, recovered_for, first_bake, bake, "
        'load, weights, found "wieghts"; did you mean "weights"?'
    )


def test_all_errors_are_reported_together_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        TEN.replace("shop", "Shop").replace("8001", "'8001'")
        + "drain: 30\nenv: {A: 1, A: 2}\ncriteria: {error_rate: 0.01}\nbake: 5m\n"
    )
    found = errors(tmp_path, text)
    assert [error.split(":")[1] for error in found] == ["1", "5", "7", "8", "9", "10"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (
            "drain: 30",
            '7:8: drain: expected a duration such as "90s", "15m" or "1h30m", found 30 without a unit; '
            'did you mean "30s"?',
        ),
        ("drain: soon", '7:8: drain: expected a duration such as "90s", "15m" or "1h30m", found "soon"'),
        ("drain: 0s", '7:8: drain: expected a duration above zero, found "0s"'),
        ("drain: 9000d", '7:8: drain: expected a duration of at most "366d", found "9000d"'),
        (
            "criteria: {error_rate: 0.01}",
            "7:24: criteria.error_rate: expected a percentage between 0% and 100% such as "
            '"1%", found 0.01 without "%"; did you mean "1%"?',
        ),
        (
            "criteria: {error_rate: 100%}",
            '7:24: criteria.error_rate: expected a percentage between 0% and 100% such as "1%", found "100%"',
        ),
        ("criteria: {margin: 1x}", '7:20: criteria.margin: expected a factor above 1 such as "2x", found "1x"'),
        (
            "criteria: {without_proof: advance}",
            "7:27: criteria.without_proof: expected hold, advance-unproven or "
            'rollback, found "advance"; did you mean "advance-unproven"?',
        ),
        ("criteria:", "7:1: criteria: expected a mapping (key: value), found nothing"),
        (
            "health: {memory_max: 512}",
            '7:22: health.memory_max: expected a size such as "512MiB" or "2GiB", found 512 '
            'without a unit; did you mean "512MiB"?',
        ),
        (
            "strategy: {canary: {load: {rate: 20}}}",
            '7:34: strategy.canary.load.rate: expected requests per second, above 0 and at most 200, such as "20/s", '
            'found 20 without a unit; did you mean "20/s"?',
        ),
        (
            "strategy: {canary: {load: {rate: 1000/s}}}",
            '7:34: strategy.canary.load.rate: expected requests per second, above 0 and at most 200, such as "20/s", '
            'found "1000/s"',
        ),
        (
            "strategy: {canary: {load: sometimes}}",
            '7:27: strategy.canary.load: expected auto or a mapping, found "sometimes"',
        ),
        (
            "strategy: {canary: {weights: [5%, 4%, 100%]}}",
            "7:35: strategy.canary.weights[1]: expected more than the 5 % before it, found 4 %: weights must rise",
        ),
        (
            "strategy: {canary: {weights: [5%, 120%]}}",
            '7:35: strategy.canary.weights[1]: expected a percentage from 0% to 100% such as "5%", found "120%"',
        ),
        (
            "strategy: {canary: {weights: [5, 100%]}}",
            "7:31: strategy.canary.weights[0]: expected a percentage such as "
            '"5%", found 5 without "%"; did you mean "5%"?',
        ),
        (
            "strategy: {canary: {weights: [5%, 50%]}}",
            "7:35: strategy.canary.weights[1]: expected 100 % as the last weight, found 50 %; add 100%",
        ),
        (
            "strategy: {canary: {weights: [0%, 100%]}}",
            '7:31: strategy.canary.weights[0]: expected a weight above 0%, found "0%"',
        ),
        (
            "strategy: {canary: {weights: []}}",
            "7:30: strategy.canary.weights: expected auto, or a list such as [5%, 25%, 100%], found an empty list",
        ),
        (
            "strategy: {canary: {}, rolling: {}}",
            "7:11: strategy: expected one of canary, blue-green, rolling, found canary and rolling",
        ),
        (
            "strategy: cannary",
            '7:11: strategy: expected canary, blue-green, rolling or a mapping, found "cannary"; '
            'did you mean "canary"?',
        ),
        (
            "strategy: {rolling: {weights: [100%]}}",
            "7:22: strategy.rolling: expected one of keep, hold_at_most, "
            'recovered_for, first_bake, bake, load, found "weights"; "weights" belongs under strategy.canary',
        ),
        ("readiness: /ready", '7:1: expected a known key, found "readiness"; "readiness" belongs under health'),
        ("instances: 0", "7:12: instances: expected at least 1, found 0"),
        ("instances: two", '7:12: instances: expected a whole number, found "two"'),
        (
            "env: {PORT: 1}",
            "7:7: env.PORT: expected a variable of your own, found PORT, which Interlock sets for each instance",
        ),
        ("env: {A: }", "7:9: env.A: expected text, found nothing"),
        ("env: [A=1]", "7:6: env: expected a mapping (key: value), found a list"),
        ("identify: {path: /v}", "7:11: identify: expected one of header, field, found none of them"),
        (
            "smoke_tests: [{matches: '('}]",
            '7:25: smoke_tests[0].matches: expected a regular expression, found "(": '
            "missing ), unterminated subpattern at position 0",
        ),
        (
            "smoke_tests: [{grpc: x, command: [y]}]",
            "7:15: smoke_tests[0]: expected command or grpc, found both; make two tests of it",
        ),
        (
            "smoke_tests: [{command: [x], path: /}]",
            "7:15: smoke_tests[0]: expected command or path, found both; make two tests of it",
        ),
        (
            "health: {readiness: ready}",
            '7:21: health.readiness: expected a path such as "/ready", "tcp", or a mapping, found "ready"',
        ),
        (
            "address: localhost",
            '7:10: address: expected an IP address such as "127.0.0.1" or "0.0.0.0", found "localhost"',
        ),
        ("x: !python/name:os.system 1", "7:4: x: expected plain YAML, found the tag !python/name:os.system"),
        ("drain: 1s\ndrain: 2s", "8:1: drain: expected each key once, found it again: see line 7"),
        ("env: {A: 1}\nsecrets: {A: env:A}", "8:11: secrets.A: expected A once, found it in env too"),
    ],
)
def test_each_mistake_has_its_place_and_says_what_to_do(tmp_path: Path, line: str, error: str) -> None:
    assert f"interlock.yaml:{error}" in errors(tmp_path, f"{TEN}{line}\n")


def test_a_secret_that_stands_in_the_file_is_not_repeated(tmp_path: Path) -> None:
    for value in ("hunter2", "12345678", "[hunter2]", "file:", "env:hunter-2"):
        text = one(tmp_path, f"{TEN}secrets: {{KEY: {value}}}\n")
        assert "hunter" not in text and "1234" not in text
        assert text.startswith("interlock.yaml:7:16: secrets.KEY: expected a reference, env:NAME or file:PATH")


@pytest.mark.parametrize(
    ("environments", "error"),
    [
        ("{production: {port: 1}}", "add staging: {port: …} before it"),
        ("{staging: {port: 1}}", "add production: {port: …} after it"),
        ("{}", "expected staging and production, found none"),
        ("{production: {port: 1}, staging: {port: 2}}", "expected production as the last environment"),
        (
            "{staging: {port: 1}, production: {port: 1}}",
            "expected a port of its own, found 1, which staging has already",
        ),
        ("{staging: {port: 1}, production: {port: 1, address: 0.0.0.0}}", "which staging has already"),
        ("{staging: {}, production: {port: 1}}", "expected the key port (the port on which users come in)"),
        ("{Staging: {port: 2}, production: {port: 1}}", "expected a name of lower-case letters"),
        ("{staging: , production: {port: 1}}", "expected a mapping (key: value), found nothing"),
        ("{staging: {port: 70000}, production: {port: 1}}", "expected at most 65535, found 70000"),
    ],
)
def test_environments_that_could_not_work_are_refused(tmp_path: Path, environments: str, error: str) -> None:
    text = TEN[: TEN.index("environments:")] + f"environments: {environments}\n"
    assert error in one(tmp_path, text)


def test_one_port_on_two_addresses_is_no_clash(tmp_path: Path) -> None:
    assert read(tmp_path, TEN.replace("8001}", "8000, address: 127.0.0.2}"))


def test_a_missing_command_is_one_error_or_one_for_each_environment_without(tmp_path: Path) -> None:
    text = TEN.replace("command: [python, app.py]\n", "")
    assert one(tmp_path, text).startswith("interlock.yaml:1:1: expected the key command")
    text = text.replace("8001}", "8001, command: [a]}")
    assert "environments.production: expected the key command" in one(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "expected a service, found nothing"),
        ("# only a comment\n", "expected a service, found nothing"),
        ("- a\n", "1:1: expected a mapping (key: value), found a list"),
        ("service: a: b\n", "1:11: expected YAML: mapping values are not allowed here"),
        ("service:\n\tport: 1\n", "2:1: expected YAML: "),
        ("service: *nothing\n", "expected YAML: found undefined alias"),
        ("a: 1\n---\nb: 2\n", "expected YAML: expected a single document"),
        ("a: &a [*a]\n", "does an alias contain itself?"),
        ("a: \x01\n", "expected YAML"),
    ],
)
def test_what_is_no_file_of_ours_is_one_error_with_its_place(tmp_path: Path, text: str, error: str) -> None:
    assert error in errors(tmp_path, text)[0]


def test_a_bomb_of_aliases_ends_soon(tmp_path: Path) -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))
    assert "found more" in one(tmp_path, bomb)


def test_a_file_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "interlock.yaml").mkdir()
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        load(tmp_path / "interlock.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"service: caf\xe9\n")
    with pytest.raises(FileError, match="expected UTF-8"):
        load(tmp_path / "latin.yaml")
