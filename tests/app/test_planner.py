import pytest

from interlock.app.planner import called
from interlock.core.release import Artefact

ARTEFACT = Artefact("sha256:" + "0123456789abcdef" * 4, "memory")


@pytest.mark.parametrize(
    ("version", "name"),
    [
        ("v1", "v1"),
        ("1f3c2a9", "1f3c2a9"),
        ("./v1", "v1"),
        ("builds/v2/", "v2"),
        (".", "0123456789ab"),
        ("..", "0123456789ab"),
        ("./..", "0123456789ab"),
    ],
)
def test_a_version_is_called_by_its_own_name_and_not_by_the_way_to_it(version: str, name: str) -> None:
    assert called(version, ARTEFACT) == name
