"""Does the starter, which is the manual too, show every setting, and is all that it shows true?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from interlock.config import File, schema, starter
from interlock.config.document import parse
from interlock.config.explain import blocks, fields
from interlock.config.load import understand, validate
from interlock.config.model import FileBlock
from interlock.config.reference import renewed, settings
from interlock.core.plan import StrategyName

PAGE = Path(__file__).parents[2] / "docs" / "file.md"
OPTION = re.compile(r"(\s*)#(?! \S|$)(.*)")
PROSE = re.compile(r"\s*# \S")


def split() -> tuple[list[str], list[int], list[int]]:
    """Return the starter's lines, the options among them, and the options that stand for others ("Or …")."""
    lines, instead = starter().splitlines(), False
    options: list[int] = []
    alternatives: list[int] = []
    for number, line in enumerate(lines):
        if PROSE.match(line) or not line.strip():
            instead = line.lstrip().startswith("# Or")
        elif OPTION.fullmatch(line):
            (alternatives if instead else options).append(number)
    return lines, options, alternatives


def with_options(chosen: list[int]) -> str:
    lines = split()[0]
    return "\n".join(OPTION.sub(r"\1\2", line) if n in chosen else line for n, line in enumerate(lines)) + "\n"


VARIANTS = [[], split()[1], *([number] for number in split()[2])]


def understood(text: str) -> File:
    return understand(parse(text, "interlock.yaml"), Path("/project/interlock.yaml"))


@pytest.mark.parametrize("chosen", VARIANTS, ids=lambda chosen: f"{len(chosen)} options from {chosen[:1]}")
def test_the_starter_loads_as_it_stands_with_all_options_and_with_each_alternative(chosen: list[int]) -> None:
    assert understood(with_options(chosen)).service == "shop"


def test_the_starter_shows_every_setting() -> None:
    shown = {pair for chosen in VARIANTS for pair in written(validate(parse(with_options(chosen), "x")))}
    known = {(block, name) for loc, block in blocks(FileBlock) for name in fields(block, loc)}
    assert {f"{block.__name__}.{name}" for block, name in known - shown} == set()


def written(value: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield (block, field) for all that a file says."""
    match value:
        case BaseModel():
            for name in value.model_fields_set:
                yield type(value), name
                yield from written(getattr(value, name))
        case dict():
            for item in value.values():
                yield from written(item)
        case tuple():
            for item in value:
                yield from written(item)


def test_an_option_that_is_not_an_example_shows_the_default() -> None:
    plain, full = understood(with_options([])).production, understood(with_options(split()[1])).production
    assert full.approve and not plain.approve, "the one example in the pace that is not the default"
    assert full.pace == replace(plain.pace, approve=True)
    assert full.criteria is not None and plain.criteria is not None
    shown = {n: getattr(full.criteria, n) for n in type(full.criteria).__dataclass_fields__ if n != "latency_p99"}
    assert shown == {n: getattr(plain.criteria, n) for n in shown}
    assert full.configuration.drain_within == plain.configuration.drain_within


def test_the_starter_takes_the_name_of_the_service() -> None:
    assert understood(starter("till")).service == "till"


def test_the_manual_has_the_table_of_today() -> None:
    text = PAGE.read_text()
    assert text == renewed(text), "run: python -m interlock.config.reference docs/file.md"


def test_every_setting_is_documented_with_its_meaning() -> None:
    text = PAGE.read_text()
    assert [name for name, _, meaning in settings() if not meaning or f"| `{name}` |" not in text] == []


def test_the_examples_of_the_manual_load() -> None:
    examples = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert examples and all(understood(example) for example in examples)


def test_the_schema_knows_every_setting_and_the_short_forms() -> None:
    text = repr(schema())
    assert [name for name, _, _ in settings() if f"'{name.split('.')[-1]}'" not in text] == []
    strategy = schema()["$defs"]["StrategyBlock"]["anyOf"]
    assert {"enum": ["canary", "blue-green", "rolling"]} in strategy


def test_what_the_starter_says_of_unjudged_environments_is_so() -> None:
    staging = understood(starter()).staging[0]
    assert (staging.strategy, staging.pace.keep) == (StrategyName.BLUE_GREEN, timedelta(seconds=5))
