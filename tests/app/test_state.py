from pathlib import Path

import pytest

from interlock.app.state import StateDirectory, StateError


def test_the_directory_given_comes_first_then_the_variable_then_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert StateDirectory.of("shop").path == tmp_path / "xdg" / "interlock" / "shop"
    monkeypatch.setenv("INTERLOCK_STATE", str(tmp_path / "variable"))
    assert StateDirectory.of("shop").path == tmp_path / "variable"
    assert StateDirectory.of("shop", str(tmp_path / "given")).path == tmp_path / "given"


def test_sockets_lie_in_a_short_directory_however_long_the_state_directory_is(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / ("long" * 40))
    assert len(str(state.socket)) < 108


def test_the_runtime_directory_chosen_first_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = StateDirectory(tmp_path / "state")
    state.make()
    chosen = state.runtime
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert state.runtime == chosen


def test_two_state_directories_share_no_name(tmp_path: Path) -> None:
    assert StateDirectory(tmp_path / "one").label != StateDirectory(tmp_path / "two").label


def test_both_directories_are_this_users_only(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path / "state")
    state.make()
    assert state.path.stat().st_mode & 0o777 == 0o700
    assert state.runtime.stat().st_mode & 0o777 == 0o700


def test_a_directory_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="--state or INTERLOCK_STATE"):
        StateDirectory(tmp_path / "file" / "state").make()
