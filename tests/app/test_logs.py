from __future__ import annotations

from pathlib import Path

from interlock.app.logs import tail
from interlock.app.state import StateDirectory


async def test_what_our_own_programs_wrote_is_shown_without_secrets_too(tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    state.secrets.mkdir()
    (state.secrets / "f1").write_text("sesame and more")
    state.keeper_log.write_text("started\nsomebody said sesame and more\n")
    assert await tail(state, "keeper", 9) == ("started", "somebody said [secret]")
