"""Do reports in JUnit's XML say whether the tests have passed, and is whatever is no such report a no?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.adapters.checks.junit import JUnitReports
from interlock.core.checks import JUnit
from interlock.core.gates import Answer
from interlock.core.release import Artefact, Configuration, Release

RELEASE = Release("shop", "v1", Artefact("sha256:ab", "here"), Configuration(("serve",)), "common")
WITHIN = timedelta(seconds=30)
BOMB = """<?xml version="1.0"?>
<!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">
{}]>
<testsuite><testcase name="&z9;"/></testsuite>
""".format("\n".join(f'<!ENTITY z{n} "{(f"&z{n - 1};" if n else "&a;") * 30}">' for n in range(10)))
OUTSIDE = """<!DOCTYPE x [<!ENTITY secret SYSTEM "file:///etc/hostname">]>
<testsuite><testcase name="&secret;"><failure/></testcase></testsuite>"""


async def passed(path: Path | str, newer_than: timedelta | None = None) -> Answer:
    return await JUnitReports().passed(JUnit(str(path), newer_than), RELEASE, WITHIN)


def by_pytest(place: Path, *tests: str) -> Path:
    """Have pytest itself write a report of such tests."""
    place.mkdir(exist_ok=True)
    (place / "test_it.py").write_text("import pytest\n" + "\n".join(tests) + "\n")
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--rootdir", str(place)]
    subprocess.run(
        [*argv, "test_it.py", "--junitxml", "report.xml"], cwd=place, capture_output=True, check=False, timeout=50
    )
    return place / "report.xml"


async def test_a_report_of_pytest_without_a_failure_is_a_yes(tmp_path: Path) -> None:
    skipped = "@pytest.mark.skip\ndef test_c(): assert False"
    answer = await passed(by_pytest(tmp_path, "def test_a(): pass", "def test_b(): pass", skipped))
    assert answer.open and answer.reason.endswith("2 tests passed"), answer.reason


async def test_a_report_of_pytest_with_failures_and_errors_names_them(tmp_path: Path) -> None:
    broken = "@pytest.fixture\ndef lost(): raise OSError\ndef test_c(lost): pass"
    answer = await passed(by_pytest(tmp_path, "def test_a(): pass", "def test_b(): assert False", broken))
    assert not answer.open and "2 of 3 tests failed: test_it.test_b, test_it.test_c" in answer.reason


async def test_a_module_that_cannot_be_collected_is_a_no(tmp_path: Path) -> None:
    assert not (await passed(by_pytest(tmp_path, "import nothing_of_that_name", "def test_a(): pass"))).open


async def test_a_report_of_no_tests_or_of_skipped_ones_alone_is_no_success(tmp_path: Path) -> None:
    none, skipped = by_pytest(tmp_path / "a"), by_pytest(tmp_path / "b", "@pytest.mark.skip\ndef test_c(): pass")
    for report in (none, skipped):
        answer = await passed(report)
        assert not answer.open and "no test was run" in answer.reason


async def test_several_reports_by_a_pattern_count_together(tmp_path: Path) -> None:
    by_pytest(tmp_path / "a", "def test_a(): pass")
    by_pytest(tmp_path / "b", "def test_b(): pass")
    assert "2 tests passed" in (await passed(tmp_path / "*" / "report.xml")).reason
    by_pytest(tmp_path / "c", "def test_c(): assert False")
    answer = await passed(tmp_path / "**" / "report.xml")
    assert not answer.open and "1 of 3 tests failed" in answer.reason


async def test_one_report_of_several_that_is_none_is_a_no(tmp_path: Path) -> None:
    by_pytest(tmp_path / "a", "def test_a(): pass")
    (tmp_path / "b.xml").write_text("<testsuite><testcase")
    (tmp_path / "a" / "report.xml").rename(tmp_path / "a.xml")
    assert not (await passed(tmp_path / "*.xml")).open


async def test_a_report_that_is_not_there_is_a_no(tmp_path: Path) -> None:
    for path in (tmp_path / "none.xml", tmp_path / "*.xml"):
        assert (await passed(path)).reason == f"there is no test report {path}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "<html><p>not well</html>",
        "<testsuite><testcase name='a'/>",
        '<?xml version="1.0" encoding="no-such-thing"?><testsuite><testcase/></testsuite>',
        BOMB,
        OUTSIDE,
    ],
    ids=["empty", "text", "broken", "cut", "unknown encoding", "entity bomb", "entity from outside"],
)
async def test_what_is_no_report_is_a_no_in_words(tmp_path: Path, text: str) -> None:
    (tmp_path / "report.xml").write_text(text)
    began = time.monotonic()
    answer = await passed(tmp_path / "report.xml")
    assert not answer.open and "is no test report" in answer.reason
    assert time.monotonic() - began < 10


async def test_other_xml_holds_no_tests(tmp_path: Path) -> None:
    (tmp_path / "pom.xml").write_text("<project><name>shop</name></project>")
    assert "no test was run" in (await passed(tmp_path / "pom.xml")).reason


async def test_a_report_that_is_too_old_does_not_count(tmp_path: Path) -> None:
    report = by_pytest(tmp_path, "def test_a(): pass")
    assert (await passed(report, timedelta(hours=1))).open
    before = time.time() - 7200
    os.utime(report, (before, before))
    answer = await passed(report, timedelta(hours=1))
    assert not answer.open and "is 2 h old, and counts for 1 h" in answer.reason
    assert (await passed(report)).open


async def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.xml")
    (tmp_path / "directory.xml").mkdir()
    for name in ("pipe.xml", "directory.xml"):
        answer = await passed(tmp_path / name)
        assert not answer.open and answer.reason.endswith("is no file")


async def test_a_report_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "report.xml").open("wb") as report:
        report.truncate(65 << 20)
    assert "is longer than" in (await passed(tmp_path / "report.xml")).reason


async def test_a_suite_that_broke_is_a_no_although_its_tests_passed(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(
        '<testsuite name="db"><testcase name="a"/><error message="could not tear down"/></testsuite>'
    )
    answer = await passed(tmp_path / "report.xml")
    assert not answer.open and "the suite db" in answer.reason


@pytest.mark.parametrize("says", ['failures="1"', 'errors="2"', 'failures="?"'])
@pytest.mark.parametrize("suite", ["testsuite", "testsuites"])
async def test_a_suite_that_counts_failures_is_a_no_although_none_is_in_it(
    tmp_path: Path, suite: str, says: str
) -> None:
    (tmp_path / "report.xml").write_text(f'<{suite} name="db" {says} tests="2"><testcase name="a"/></{suite}>')
    answer = await passed(tmp_path / "report.xml")
    assert not answer.open and "the suite db" in answer.reason
    (tmp_path / "report.xml").write_text(f'<{suite} failures="0" errors="" tests="1"><testcase name="a"/></{suite}>')
    assert (await passed(tmp_path / "report.xml")).open
