"""Is a file of flags changed where it must be and nowhere else, and found whole by whoever reads it at any moment?"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.adapters.flags.flagd_file import FlagFiles
from interlock.adapters.flags.flagd_file.text import adjusted, find, load, same
from interlock.core.flag import Flag, FlagFile
from interlock.ports.flags import FlagsError, Unmovable

PATIENCE = timedelta(seconds=20)
FILE = """\
{
  "$schema": "https://flagd.dev/schema/v0/flags.json",
  "flags": {
\t"dark":  { "state":"DISABLED", "variants":{"on":true,"off":false}, "defaultVariant":"off" },
    "shared": {
      "state": "ENABLED",
      "variants": { "on": true, "off": false },
      "targeting": {
        "fractional": [
          { "cat": [{ "var": "$flagd.flagKey" }, { "var": "email" }] },
          ["off", 90], ["on", 10]
        ]
      },
      "defaultVariant": "off", "metadata": {"owner": "Zoë", "ticket": 1.0}
    },
    "layout": {
      "variants": {"new": "grid", "old": "list", "debug": "tree"}, "state": "ENABLED", "defaultVariant": "old",
      "targeting": {"fractional": [["new", 1], ["old", 3]]}
    },
    "open": {"state": "ENABLED", "variants": {"no": false, "yes": true}, "defaultVariant": "yes"},
    "rule": {"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "off",
      "targeting": {"if": [{"$ref": "staff"}, "on", "off"]}}
  },
  "$evaluators": {"staff": {"ends_with": [{"var": "email"}, "@example.org"]}},
  "x-ours" : [ 1, 2.50, null ]
}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "flags.json"
    found.write_text(FILE)
    return found


def flag(place: Path, name: str) -> Flag:
    return Flag(name, FlagFile(str(place)))


def defined(place: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(place.read_text())["flags"][name]
    return found


@pytest.mark.parametrize("ending", ["\n", "\r\n"], ids=["LF", "CRLF"])
@pytest.mark.parametrize("name", ["dark", "shared", "layout", "open"])
async def test_what_was_moved_and_put_back_leaves_the_file_byte_for_byte_as_it_was(
    place: Path, name: str, ending: str
) -> None:
    place.write_bytes(FILE.replace("\n", ending).encode())
    written, flags = place.read_bytes(), FlagFiles(PATIENCE)
    before = await flags.check(flag(place, name))
    for percentage in (5, 25, 100):
        assert (await flags.turn_on(flag(place, name), percentage)).exposure == percentage
    await flags.turn_off(flag(place, name))
    assert place.read_bytes() != written
    assert await flags.restore(flag(place, name), before) == before
    assert place.read_bytes() == written


async def test_a_step_is_a_few_characters_of_the_files_history(place: Path) -> None:
    flags = FlagFiles(PATIENCE)
    await flags.turn_on(flag(place, "shared"), 25)
    assert place.read_text() == FILE.replace('["off", 90], ["on", 10]', '["off", 75], ["on", 25]')
    await flags.turn_off(flag(place, "shared"))
    assert place.read_text().count("DISABLED") == 2
    await flags.turn_on(flag(place, "dark"), 5)
    assert place.read_text().splitlines()[3] == (
        '\t"dark":  { "state":"ENABLED", "variants":{"on":true,"off":false}, "defaultVariant":"off", '
        '"targeting":{"fractional":[["on",5],["off",95]]} },'
    )


async def test_the_share_goes_to_the_feature_whatever_its_variants_are_called(place: Path) -> None:
    flags = FlagFiles(PATIENCE)
    assert (await flags.look(flag(place, "layout"))).percentage == 25
    await flags.turn_on(flag(place, "layout"), 50)
    assert defined(place, "layout")["targeting"] == {"fractional": [["new", 50], ["old", 50]]}
    assert (await flags.look(flag(place, "shared"))).stickiness == '{"cat":[{"var":"$flagd.flagKey"},{"var":"email"}]}'


async def test_whoever_has_no_key_gets_the_old_behaviour_while_not_everybody_gets_the_new(place: Path) -> None:
    flags = FlagFiles(PATIENCE)
    before = await flags.look(flag(place, "open"))
    assert (before.percentage, before.exposure) == (100, 100)
    await flags.turn_on(flag(place, "open"), 5)
    assert defined(place, "open")["defaultVariant"] == "no"
    content = json.loads(FILE)
    content["flags"]["shared"]["defaultVariant"] = "on"
    place.write_text(json.dumps(content))
    assert (await flags.look(flag(place, "shared"))).exposure == 100, "nobody knows how many have none"
    assert (await flags.turn_on(flag(place, "shared"), 10)).exposure == 10
    assert defined(place, "shared")["defaultVariant"] == "off"


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"targeting": {"if": [True, "on", "off"]}}, "something else than one fractional of two variants: write"),
        ({"targeting": {"fractional": [["on", 1], ["off", 1], ["third", 1]]}}, "does not share between two"),
        ({"targeting": {"fractional": [["on", 1], ["on", 1]]}}, "does not share between two"),
        ({"targeting": {"fractional": [["on", 1], ["nobody", 1]]}}, "does not share between two"),
        ({"targeting": {"fractional": [["on", 0], ["off", 0]]}}, "does not share between two"),
        ({"targeting": {"fractional": [["on", True], ["off", 1]]}}, "by whole numbers"),
        ({"targeting": {"fractional": [["on", 0.5], ["off", 0.5]]}}, "by whole numbers"),
        ({"targeting": {"fractional": [["on", 1], {"var": "x"}]}}, "does not share between two"),
        ({"targeting": {"fractional": {"var": "x"}}}, "does not share between two"),
        ({"variants": {"on": "a", "off": "b"}}, "which of its variants is the feature: write"),
        (
            {
                "variants": {"on": 1, "off": 2, "x": 3},
                "defaultVariant": "x",
                "targeting": {"fractional": [["on"], ["off"]]},
            },
            "make that its defaultVariant",
        ),
    ],
)
async def test_what_cannot_be_moved_safely_is_refused_with_what_to_do_and_can_be_turned_off_and_back(
    place: Path, change: dict[str, Any], what: str
) -> None:
    whole = {"state": "ENABLED", "variants": {"on": True, "off": False, "third": False}, "defaultVariant": "off"}
    place.write_text(json.dumps({"flags": {"x": {**whole, **change}}}))
    written, flags = place.read_text(), FlagFiles(PATIENCE)
    before = await flags.look(flag(place, "x"))
    assert before.exposure == 100
    for asked in (flags.check(flag(place, "x")), flags.turn_on(flag(place, "x"), 5)):
        with pytest.raises(Unmovable, match=f"cannot be moved safely: .*{what}"):
            await asked
    assert place.read_text() == written
    assert (await flags.turn_off(flag(place, "x"))).exposure == 0
    assert await flags.restore(flag(place, "x"), before) == before
    assert place.read_text() == written


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "expected JSON in flagd's format"),
        (b'{"flags": {"x": {}}', "expected JSON.*line 1 column"),
        (b'{"flags": {"x": {"state": NaN}}}', "NaN is no JSON"),
        (b'{"flags": {"x": 1, "x": 2}}', '"x" stands twice'),
        (b"[" * 100_000, "nested too deeply|expected JSON"),
        (b"\xff{}", "expected UTF-8, found byte 0"),
        (b"\xef\xbb\xbf{}", "expected JSON.*BOM"),
        (b"[]", 'expected {"flags"'),
        (b'{"flags": [{"key": "x"}]}', 'expected {"flags"'),
        (b'{"flags": {"x": 3}}', "not defined as flagd has it: expected an object"),
        (b'{"flags": {"x": {"state": "on", "variants": {"a": 1}}}}', 'expected "state" to be "ENABLED" or "DISABLED"'),
        (b'{"flags": {"x": {"state": "ENABLED"}}}', 'expected "variants" to be an object'),
    ],
)
async def test_what_is_no_file_of_flags_is_said_and_not_written(place: Path, content: bytes, what: str) -> None:
    place.write_bytes(content)
    flags = FlagFiles(PATIENCE)
    for asked in (flags.look(flag(place, "x")), flags.turn_off(flag(place, "x")), flags.every(FlagFile(str(place)))):
        with pytest.raises(FlagsError, match=f"{place}.*{what}"):
            await asked
    assert place.read_bytes() == content


async def test_a_flag_beside_it_for_which_clients_would_refuse_the_whole_file_is_named(place: Path) -> None:
    content = json.loads(FILE)
    content["flags"]["layout"]["state"] = "on"
    place.write_text(json.dumps(content))
    flags = FlagFiles(PATIENCE)
    with pytest.raises(Unmovable, match="clients take nothing of the file while flag layout"):
        await flags.check(flag(place, "shared"))
    with pytest.raises(FlagsError, match="was written, but clients take nothing of the file while flag layout"):
        await flags.turn_off(flag(place, "shared"))
    assert defined(place, "shared")["state"] == "DISABLED", "for when they do"


async def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    flags = FlagFiles(PATIENCE)
    for missing in (tmp_path / "flags.json", tmp_path / "no" / "flags.json"):
        for asked in (flags.look(flag(missing, "x")), flags.turn_off(flag(missing, "x"))):
            with pytest.raises(FlagsError, match=r"cannot be (read|opened): No such file or directory"):
                await asked


async def test_the_file_keeps_its_mode_and_its_link_and_has_a_later_time(place: Path, tmp_path: Path) -> None:
    place.chmod(0o640)
    ahead = time.time() + 3600
    os.utime(place, (ahead, ahead))
    link = tmp_path / "elsewhere"
    link.mkdir()
    (link / "flags.json").symlink_to(place)
    await FlagFiles(PATIENCE).turn_on(flag(link / "flags.json", "dark"), 5)
    assert (link / "flags.json").is_symlink()
    assert place.stat().st_mode & 0o777 == 0o640
    assert place.stat().st_mtime > ahead, "readers look for a later time"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["elsewhere", "flags.json"]
    assert defined(place, "dark")["state"] == "ENABLED"


async def test_many_writers_lose_nothing_and_readers_find_the_file_whole(place: Path) -> None:
    whole = {"state": "DISABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}
    place.write_text(json.dumps({"flags": {f"flag-{n}": whole for n in range(12)}}, indent=1))
    over, broken = threading.Event(), list[str]()

    def read() -> None:
        while not over.is_set():
            try:
                assert len(json.loads(place.read_text())["flags"]) == 12
            except (ValueError, OSError, AssertionError) as error:
                broken.append(repr(error))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for percentage in (5, 50):
            await asyncio.gather(
                *(FlagFiles(PATIENCE).turn_on(flag(place, f"flag-{number}"), percentage) for number in range(12))
            )
    finally:
        over.set()
        reader.join()
    assert broken == []
    assert all(state.percentage == 50 for _, state in await FlagFiles(PATIENCE).every(FlagFile(str(place))))


async def test_another_program_that_keeps_the_lock_is_not_waited_for_forever(place: Path) -> None:
    descriptor = os.open(place.parent, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        assert (await FlagFiles(PATIENCE).look(flag(place, "shared"))).percentage == 10, "reading takes no lock"
        with pytest.raises(FlagsError, match=r"another program has had .* locked for 2 s"):
            await FlagFiles(PATIENCE).turn_off(flag(place, "shared"))
        with pytest.raises(FlagsError, match=r"no answer within 0\.1 s"):
            await FlagFiles(timedelta(seconds=0.1)).turn_off(flag(place, "shared"))
    finally:
        os.close(descriptor)
    assert place.read_text() == FILE


async def test_what_an_editor_saves_at_the_same_moment_is_not_overwritten(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync, theirs = os.fsync, FILE.replace('["on", 10]', '["on", 11]')

    def save(descriptor: int) -> None:
        fsync(descriptor)
        place.write_text(theirs)

    monkeypatch.setattr(os, "fsync", save)
    with pytest.raises(FlagsError, match="was not changed: somebody else changed it at this moment"):
        await FlagFiles(PATIENCE).turn_off(flag(place, "shared"))
    assert place.read_text() == theirs
    assert [one.name for one in place.parent.iterdir()] == [place.name]


async def test_a_full_disk_leaves_the_file_as_it_is(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FlagsError, match="cannot be written: No space left on device"):
        await FlagFiles(PATIENCE).turn_off(flag(place, "shared"))
    assert place.read_text() == FILE
    assert [one.name for one in place.parent.iterdir()] == [place.name]


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(("", "on", 'a"\\', "ü")) | st.just(1.0)
KEYS = st.sampled_from(("a", "b", "c", 'd"'))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))


@given(VALUES, VALUES, st.sampled_from((None, 0, 2, "\t")))
def test_any_value_is_rewritten_into_any_other(before: Any, after: Any, indent: int | str | None) -> None:
    text = json.dumps(before, indent=indent)
    assert same(load(adjusted(text, after)), after)
    assert adjusted(text, before) == text


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.sampled_from((None, 0, 2, "\t")), st.data())
def test_a_member_that_is_added_and_taken_away_leaves_every_character(
    value: dict[str, Any], indent: int | str | None, data: st.DataObject
) -> None:
    text = json.dumps(value, indent=indent)
    more = adjusted(text, {**value, "new": data.draw(VALUES)})
    assert adjusted(more, value) == text
    start, end = find(f' {{"x":{more} }}', "x", "new")
    assert same(load(f' {{"x":{more} }}'[start:end]), load(more)["new"])
