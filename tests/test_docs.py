"""Do the pages lead where they say, and are the commands that they show the ones that there are?"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from interlock.surfaces.cli.parser import everything

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for room in ("docs", "examples", "bench") for page in (ROOT / room).rglob("*.md"))]
)
INDEX = ROOT / "docs" / "README.md"

FENCE = re.compile(r"^ *(```+|~~~+)(\w*)[^\n]*\n(.*?)^ *\1 *$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(<?([^)\s>]+)>?\)")
HEADING = re.compile(r"^#{1,6} +(.*?) *#* *$", re.MULTILINE)
SHELLS = frozenset({"", "sh", "bash", "console"})
COMMAND = re.compile(r"(?:^|[|;&(] *|\bif |\$ )interlock +([^\n#|;&)>]*)", re.MULTILINE)
QUOTED = re.compile(r"`interlock ([^`]+)`")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def prose(page: Path) -> str:
    """Return the page without its blocks of code."""
    return FENCE.sub("", page.read_text())


@cache
def anchors(page: Path) -> frozenset[str]:
    """Return the anchors of a page's headings, as GitHub makes them: a second one of a name gets a number."""
    found: dict[str, None] = {}
    for heading in HEADING.findall(prose(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 1
        while (one := name if number == 1 else f"{name}-{number - 1}") in found:
            number += 1
        found[one] = None
    return frozenset(found)


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the file and the anchor of every link of a page that stays in the repository."""
    for target in LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page))):
        if not re.match(r"[a-z]+:", target):
            place, _, anchor = target.partition("#")
            yield (page.parent / place).resolve() if place else page, anchor


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    lost = [
        f"{place}#{anchor}"
        for place, anchor in links(page)
        if not place.exists() or (anchor and anchor not in anchors(place))
    ]
    assert lost == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name != "bench"], ids=named)
def test_every_command_that_a_page_shows_is_there_with_its_options(page: Path) -> None:
    assert [trouble for words in commands(page) if (trouble := wrong(words))] == []


def test_every_page_and_every_example_is_in_its_index() -> None:
    linked = {place for place, _ in links(INDEX)}
    assert {page for page in PAGES if page.parent == INDEX.parent} - linked == {INDEX}
    examples = {place for place, _ in links(ROOT / "examples" / "README.md")}
    assert set((ROOT / "examples").glob("*/README.md")) - examples == set()


def test_examples_are_numbered_without_a_gap() -> None:
    numbers = sorted(int(place.name.partition("-")[0]) for place in (ROOT / "examples").iterdir() if place.is_dir())
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_link_that_leads_nowhere_and_a_command_that_is_not_there_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A page\n\n[lost](other.md), [there](#a-page), [not](#there)\n\n```sh\ninterlock deplyo v1\n```\n"
    )
    assert [(place.name, anchor) for place, anchor in links(page)] == [
        ("other.md", ""),
        ("page.md", "a-page"),
        ("page.md", "there"),
    ]
    assert anchors(page) == {"a-page"}
    assert [wrong(words) for words in commands(page)] == ["deplyo v1: there is no deplyo"]
    assert wrong(["get", "--wacht"]) == "get --wacht: there is no --wacht"
    assert wrong(["flag", "sett"]) == "flag sett: there is no sett"
    assert wrong(["flag", "set", "NAME", "-e", "production", "--off"]) == ""


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words behind `interlock` of each command, in blocks that a shell would take and in the text."""
    text = page.read_text()
    for _, language, block in FENCE.findall(text):
        if language in SHELLS:
            yield from (line.split() for line in COMMAND.findall(_typed(block.replace("\\\n", " "))))
    yield from (quoted.split() for quoted in QUOTED.findall(prose(page).replace("\n", " ")))


def _typed(block: str) -> str:
    """Return what a person types of a block that also shows what is answered: there `$` stands before it."""
    lines = block.splitlines()
    return "\n".join(line for line in lines if line.startswith("$ ") or not any(one.startswith("$ ") for one in lines))


def wrong(words: list[str]) -> str:
    """Say what in a command is not there: the command, the one below it, or an option; nothing where all is."""
    parser = everything()
    for word in words:
        below = _below(parser)
        if word.startswith(("-", "[-")):
            options = [one for one in re.split(r"[\[\]|=,]", word) if one.startswith("-")]
            for option in options:
                if option != "-" and option not in parser._option_string_actions:
                    return f"{' '.join(words)}: there is no {option}"
        elif below and re.fullmatch(r"[a-z][a-z-]*", word):
            if word not in below:
                return f"{' '.join(words)}: there is no {word}"
            parser = below[word]
    return ""


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
