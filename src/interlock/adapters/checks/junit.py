"""Does a report in JUnit's XML say that all tests have passed?"""

from __future__ import annotations

import asyncio
import glob
import stat
import time
from datetime import timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, iterparse

from interlock.core.checks import JUnit
from interlock.core.gates import Answer
from interlock.core.release import Release
from interlock.core.steps import spell

_LARGEST = 64 * 1024 * 1024
_NAMED = 3


class JUnitReports:
    """Reads reports from files."""

    async def passed(self, source: JUnit, release: Release, within: timedelta) -> Answer:
        """Say whether every test in all of the reports has passed, at least one."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                return await asyncio.to_thread(_read, source)
        except TimeoutError:
            return Answer(False, f"{source.path} could not be read within {spell(within)}")


def _read(source: JUnit) -> Answer:
    paths = sorted(Path(one) for one in glob.glob(source.path, recursive=True))  # noqa: PTH207  an absolute pattern
    if not paths:
        return Answer(False, f"there is no test report {source.path}")
    ran, bad = 0, list[str]()
    for path in paths:
        try:
            if why := _unfit(path, source.newer_than):
                return Answer(False, why)
            tests, failed = _count(path)
        except (OSError, ParseError, ValueError, LookupError) as error:  # the last: no such encoding
            return Answer(False, f"{path} is no test report: {getattr(error, 'strerror', '') or error}")
        ran, bad = ran + tests, bad + failed
    return _verdict(source.path, ran, bad)


def _verdict(where: str, ran: int, bad: list[str]) -> Answer:
    if bad:
        more = f" and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        return Answer(False, f"{where}: {len(bad)} of {ran} tests failed: {', '.join(bad[:_NAMED])}{more}")
    return Answer(True, f"{where}: {ran} tests passed") if ran else Answer(False, f"{where}: no test was run")


def _unfit(path: Path, newer_than: timedelta | None) -> str:
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):  # what is read from a pipe may never end
        return f"{path} is no file"
    if found.st_size > _LARGEST:
        return f"{path} is longer than {_LARGEST} bytes"
    age = timedelta(seconds=round(max(0.0, time.time() - found.st_mtime)))
    if newer_than is not None and age > newer_than:
        return f"{path} is {spell(age)} old, and counts for {spell(newer_than)}"
    return ""


def _count(path: Path) -> tuple[int, list[str]]:
    """Return how many tests ran, and the names of those that failed; skipped ones did not run.

    Entities are not expanded beyond what expat allows itself, so that a report cannot eat the memory.
    """
    ran, bad = 0, []
    for _, element in iterparse(path):
        if element.tag == "testcase":
            failed = element.find("failure") is not None or element.find("error") is not None
            if failed or element.find("skipped") is None:
                ran += 1
            if failed:
                bad.append(f"{element.get('classname', '')}.{element.get('name', '?')}".lstrip("."))
            element.clear()
        elif element.tag in ("testsuite", "testsuites") and (told := _told(element, known=bool(bad))):
            bad.append(f"the suite {element.get('name', '?')} ({told})")
    return ran, bad


def _told(suite: Element, *, known: bool) -> str:
    """Return what a suite itself says of failures, though no test is `known` to have any: part of it may be missing."""
    if suite.find("error") is not None:
        return "an error"
    if known:
        return ""
    says = {word: suite.get(word, "0") for word in ("failures", "errors")}
    return ", ".join(f"{number} {word}" for word, number in says.items() if number.strip() not in ("", "0"))
