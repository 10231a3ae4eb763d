from __future__ import annotations

from pathlib import Path

from interlock.adapters.secrets import kept


def test_every_value_is_known_but_for_the_key_and_what_is_being_written(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff the key itself")
    (tmp_path / ".f3.1234").write_text("half a val")
    (tmp_path / "f1").write_text("sesame")
    (tmp_path / "f2").write_bytes(b"not \xff text")
    assert kept(tmp_path) == ("sesame", "not \udcff text")
    assert kept(tmp_path / "none") == ()
