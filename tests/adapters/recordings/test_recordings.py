"""Do recordings keep what was added, whatever happens to the process and the disk?"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from interlock.adapters.recordings.files import RecordingFiles
from interlock.adapters.recordings.memory import MemoryRecordings
from interlock.ports.recordings import Recordings, RecordingsError

Make = Callable[[], Recordings]


@pytest.fixture(params=["files", "memory"])
def recordings(request: pytest.FixtureRequest, tmp_path: Path) -> Recordings:
    return RecordingFiles(tmp_path / "recordings") if request.param == "files" else MemoryRecordings()


def test_lines_come_back_in_the_order_in_which_they_were_added(recordings: Recordings) -> None:
    assert not recordings.begun("shop-1") and recordings.names() == ()
    recordings.add("shop-1", ("one", "two"))
    recordings.add("shop-1", ("three",))
    assert recordings.begun("shop-1")
    assert recordings.read("shop-1") == "one\ntwo\nthree\n"


def test_one_that_is_not_there_is_an_error_that_names_it(recordings: Recordings) -> None:
    with pytest.raises(RecordingsError, match="shop-9"):
        recordings.read("shop-9")


def test_the_newest_stay(recordings: Recordings) -> None:
    for number in range(5):
        recordings.add(f"shop-{number}", ("line",))
    recordings.prune(2)
    assert recordings.names() == ("shop-4", "shop-3")
    recordings.prune(0)
    assert recordings.names() == ()


def test_a_line_that_a_crash_has_torn_is_replaced_by_the_next_one(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path)
    files.add("shop-1", ("one",))
    with files.path("shop-1").open("a") as file:
        file.write('{"torn')
    assert files.begun("shop-1")
    RecordingFiles(tmp_path).add("shop-1", ("two",))
    assert files.read("shop-1") == "one\ntwo\n"


def test_a_first_line_that_was_torn_is_no_beginning(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path)
    files.path("shop-1").write_text('{"kind":"Beg')
    assert not files.begun("shop-1")
    files.add("shop-1", ("one",))
    assert files.read("shop-1") == "one\n"


def test_what_a_full_disk_took_half_of_is_taken_away_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, write = RecordingFiles(tmp_path), os.pwrite
    files.add("shop-1", ("one",))

    def half(file: int, content: bytes, at: int) -> int:
        if len(content) > 4:
            return write(file, content[:4], at)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(RecordingsError, match="No space left on device; the rollout goes on"):
        files.add("shop-1", ("a long line",))
    monkeypatch.undo()
    assert files.read("shop-1") == "one\n"
    files.add("shop-1", ("a long line",))
    assert files.read("shop-1") == "one\na long line\n"


def test_a_directory_that_cannot_be_made_is_an_error_and_no_crash(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingsError, match="cannot be written"):
        RecordingFiles(tmp_path / "file" / "recordings").add("shop-1", ("one",))


def test_recordings_are_this_users_alone(tmp_path: Path) -> None:
    files = RecordingFiles(tmp_path / "recordings")
    files.add("shop-1", ("one",))
    assert (tmp_path / "recordings").stat().st_mode & 0o777 == 0o700
    assert files.path("shop-1").stat().st_mode & 0o777 == 0o600
