"""Are network file systems refused, and disks of this machine not?"""

from __future__ import annotations

from pathlib import Path

import pytest

from interlock.adapters.store.place import file_system, refuse_network_file_system
from interlock.ports.store import StoreError

# Recorded lines of /proc/mounts: a test cannot mount these file systems.
RECORDED = """\
/dev/vda / ext4 rw,relatime 0 0
tmpfs /tmp tmpfs rw 0 0
server:/export /net/home nfs4 rw,vers=4.2 0 0
server:/export /net/old nfs rw 0 0
/dev/vdb /net/home/local xfs rw 0 0
//server/share /net/my\\040share cifs rw 0 0
ada@host:/ /net/far fuse.sshfs rw 0 0
hostshare /net/host 9p rw,trans=virtio 0 0
/dev/fuse /net/phone fuse.some-local-thing rw 0 0
/dev/vdc /net/twice ext4 rw 0 0
server:/b /net/twice ceph rw 0 0
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    path = tmp_path / "mounts"
    path.write_text(RECORDED)
    return path


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/net/home/ada/state", "nfs4"),
        ("/net/old", "nfs"),
        ("/net/my share/state", "cifs"),
        ("/net/far/x", "fuse.sshfs"),
        ("/net/host/x", "9p"),
        ("/net/twice/x", "ceph"),
    ],
)
def test_a_network_file_system_is_refused_by_name(mounts: Path, place: str, kind: str) -> None:
    with pytest.raises(StoreError, match=rf"{place} lies on a network file system \({kind} at .*--state"):
        refuse_network_file_system(Path(place), mounts)


@pytest.mark.parametrize("place", ["/", "/tmp/x", "/net/home/local/x", "/net/phone/x", "/net/homely", "/srv/none/yet"])
def test_a_disk_of_this_machine_is_welcome(mounts: Path, place: str) -> None:
    refuse_network_file_system(Path(place), mounts)


def test_the_directory_of_a_test_is_welcome(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path / "not" / "made" / "yet")
    assert file_system(tmp_path)[1]


def test_where_mounts_cannot_be_read_nothing_is_refused(tmp_path: Path) -> None:
    refuse_network_file_system(tmp_path, tmp_path / "missing")
