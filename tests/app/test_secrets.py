from pathlib import Path

import pytest

from interlock.app.secrets import SecretError, keep


def test_a_secret_is_named_by_a_fingerprint_and_kept_for_this_user_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hunter2")
    names = keep(tmp_path / "secrets", ["env:TOKEN"])
    kept = tmp_path / "secrets" / names["env:TOKEN"]
    assert kept.read_text() == "hunter2"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert "hunter2" not in str(names)


def test_the_same_value_has_the_same_name_here_and_another_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hunter2\n")
    reference = f"file:{tmp_path / 'file'}"
    here = keep(tmp_path / "one", [reference])
    assert keep(tmp_path / "one", [reference]) == here
    assert keep(tmp_path / "two", [reference]) != here


def test_an_old_value_stays_when_a_new_one_comes_so_that_going_back_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "old")
    old = keep(tmp_path, ["env:TOKEN"])["env:TOKEN"]
    monkeypatch.setenv("TOKEN", "new")
    new = keep(tmp_path, ["env:TOKEN"])["env:TOKEN"]
    assert ((tmp_path / old).read_text(), (tmp_path / new).read_text()) == ("old", "new")


@pytest.mark.parametrize("reference", ["env:NOT_THERE", "file:/not/there"])
def test_a_secret_that_is_not_there_is_named_in_the_error(tmp_path: Path, reference: str) -> None:
    with pytest.raises(SecretError, match=reference):
        keep(tmp_path, [reference])


def test_without_secrets_nothing_is_written(tmp_path: Path) -> None:
    assert keep(tmp_path / "secrets", []) == {}
    assert not (tmp_path / "secrets").exists()
