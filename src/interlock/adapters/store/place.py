"""May a state directory lie here, or would a network file system lose its locks?"""

from __future__ import annotations

import re
from pathlib import Path

from interlock.ports.store import StoreError

# SQLite's WAL is memory shared between the processes of one machine, and ownership is an flock: neither holds across
# a network (https://www.sqlite.org/wal.html, "All processes using a database must be on the same host computer").
# Cluster file systems and the folders that virtual machines share with their host have the same flaw.
NETWORK = frozenset(
    "9p acfs afs beegfs ceph cifs coda davfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs prl_fs pvfs2 "
    "smb2 smb3 smbfs vboxsf vmhgfs".split()
)
# Of what runs in user space the part behind "fuse." says which it is.
NETWORK_FUSE = frozenset(
    "ceph ceph-fuse cephfs curlftpfs davfs davfs2 gcsfuse glusterfs goofys grpcfuse hdfs httpfs juicefs "
    "moosefs mount-s3 osxfs rclone s3fs sshfs vmhgfs-fuse".split()
)
_MOUNTS = Path("/proc/self/mounts")
_ESCAPED = re.compile(r"\\([0-7]{3})")


def refuse_network_file_system(path: Path, mounts: Path = _MOUNTS) -> None:
    """Raise StoreError when `path`, which need not exist yet, lies on a network file system."""
    point, kind = file_system(path, mounts)
    if _network(kind):
        raise StoreError(
            f"{path} lies on a network file system ({kind} at {point}), where locks and shared memory do not hold: "
            "two machines could move the same traffic. Name a directory on a disk of this machine with --state or "
            "INTERLOCK_STATE"
        )


def file_system(path: Path, mounts: Path = _MOUNTS) -> tuple[str, str]:
    """Return the mount point that `path` lies under and its type (proc(5)); both empty when none can be read."""
    try:
        lines = mounts.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return "", ""  # without /proc nothing can be said, and most disks are local
    place = path.resolve()
    found = ("", "")
    for line in lines:
        point, kind = _plain(line.split()[1]), line.split()[2]
        # The later of two mounts on one point hides the earlier.
        if place.is_relative_to(point) and len(point) >= len(found[0]):
            found = (point, kind)
    return found


def _network(kind: str) -> bool:
    return kind in NETWORK or kind.removeprefix("fuse.") in NETWORK_FUSE


def _plain(point: str) -> str:
    """Undo the octal escapes of blanks in a mount point."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), point)
