"""How do we start, find, signal and outlive processes, and replace files, on this Linux machine?

What is particular to Linux (pidfds, /proc, boot ids) stands in this file. A pid alone names nothing: a process is its
pid, its start time and the boot it lives in; a signal goes through a pidfd opened before the start time was checked.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import re
import select
import shutil
import socket
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path, PurePath
from signal import Signals, pidfd_send_signal

from interlock.ports.host import Command, HostError, Process

LABEL = "INTERLOCK_LABEL"
_PROC = Path("/proc")
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
_REMEMBERED = 256
_BESIDE = re.compile(r"\..+\.(\d+)-\d+\.tmp")  # as `write` names what it is still writing


@dataclass(frozen=True, slots=True)
class _Stat:
    """What /proc/PID/stat says of a process (proc(5): fields 4, 5, 6 and 22)."""

    parent: int
    group: int
    session: int
    started: int


class LocalHost:
    """This machine. Children live in sessions of their own and survive us; their output goes to files, not pipes."""

    def __init__(self) -> None:
        self.boot = boot_id()
        self._children: set[Process] = set()
        self._exits: dict[Process, int] = {}
        self._handed_out: deque[int] = deque(maxlen=_REMEMBERED)

    async def start(self, command: Command) -> Process:
        """Start the process. It is not given to another thread, so that a cancelled caller leaves no unknown child."""
        log = _open_log(Path(command.log))
        try:
            child = subprocess.Popen(  # noqa: ASYNC220 (a few ms; see above)
                command.argv,
                cwd=command.directory,
                env={**command.environment, LABEL: command.label},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        except (OSError, ValueError, IndexError) as problem:
            raise HostError(_why_not_started(command, problem)) from problem
        finally:
            if log != subprocess.DEVNULL:
                os.close(log)
        child.returncode = 0  # ours to reap, not Popen's, which would warn of a child that outlives it
        stat = _stat(child.pid)
        if stat is None:  # cannot be: nobody but us reaps it
            raise HostError(f"{command.argv[0]}: started, but /proc does not show pid {child.pid}; is /proc mounted?")
        process = Process(child.pid, stat.started, self.boot, command.label)
        self._children.add(process)
        return process

    async def find(self, label: str) -> tuple[Process, ...]:
        """Scan /proc for session leaders of our user with such a label, but for helpers that one of them forked."""
        found = await asyncio.to_thread(_labelled, label)
        leaders = {pid: (own, stat) for pid, own, stat in found if stat.session == pid}
        processes = [
            Process(pid, stat.started, self.boot, own)
            for pid, (own, stat) in leaders.items()
            if not _forked_by_kin(stat.parent, own, leaders)
        ]
        return tuple(sorted(processes, key=lambda p: (p.started, p.pid)))

    async def alive(self, process: Process) -> bool:
        with self._pidfd(process) as fd:
            if fd is not None and not _ended(fd):
                return True
        self._reap(process)
        return False

    async def exit_status(self, process: Process) -> int | None:
        self._reap(process)
        return self._exits.get(process)

    async def signal(self, process: Process, signal: Signals, *, group: bool = False) -> None:
        with self._pidfd(process) as fd, suppress(ProcessLookupError):
            if group and (fd is not None or await asyncio.to_thread(self._left_behind, process)):
                os.killpg(process.pid, signal)
            elif fd is not None:
                pidfd_send_signal(fd, signal)

    async def gone(self, process: Process, within: timedelta) -> bool:
        with self._pidfd(process) as fd:
            if fd is not None and not await _readable(fd, within):
                return False
        self._reap(process)
        return True

    async def memory(self, process: Process) -> int | None:
        try:
            pages = int((_PROC / str(process.pid) / "statm").read_text().split()[1])
        except (OSError, IndexError):
            return None
        return pages * os.sysconf("SC_PAGESIZE") if await self.alive(process) else None

    async def free_port(self) -> int:
        """Prefer ports outside the range from which the kernel takes outgoing connections: none of them takes ours."""
        for port in _candidate_ports():
            if port not in self._handed_out and (bound := _bind(port)) is not None:
                self._handed_out.append(bound)
                return bound
        raise HostError("no free TCP port found on 127.0.0.1; see `ss -ltn` for what listens")

    def write(self, path: PurePath, content: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
        target = Path(path)
        beside = target.with_name(f".{target.name}.{os.getpid()}-{threading.get_native_id()}.tmp")
        with _explained("write", target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                _write_all(beside, content, mode, durable)
                beside.replace(target)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
            if durable:
                _sync_directory(target.parent)

    def read(self, path: PurePath) -> bytes | None:
        with _explained("read", path):
            try:
                return Path(path).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def rename(self, old: PurePath, new: PurePath) -> None:
        with _explained("rename", old):
            Path(old).replace(new)

    def remove(self, path: PurePath) -> None:
        target = Path(path)
        with _explained("remove", target), suppress(FileNotFoundError):
            if target.is_dir() and not target.is_symlink():
                shutil.rmtree(target)
            else:
                target.unlink()

    @contextmanager
    def _pidfd(self, process: Process) -> Iterator[int | None]:
        """Hold a pidfd of exactly this process, None when it is gone. The order matters: open, then compare."""
        try:
            fd = os.pidfd_open(process.pid)
        except OSError as problem:
            if problem.errno not in (errno.ESRCH, errno.EINVAL):
                reason = f"{problem.strerror}; Linux 5.3 or newer is needed"
                raise HostError(f"cannot watch pid {process.pid}: {reason}") from problem
            yield None
            return
        try:
            stat = _stat(process.pid)
            same = stat is not None and stat.started == process.started and process.boot == self.boot
            yield fd if same else None
        finally:
            os.close(fd)

    def _left_behind(self, process: Process) -> bool:
        """Say whether the group of a leader that is gone still has members of ours.

        The kernel gives no pid to a new process while a group of that number has members: as long as no process has the
        leader's pid, a group of that number whose members carry the label is the one we mean.
        """
        if process.boot != self.boot or _stat(process.pid) is not None:
            return False
        return any(own == process.label and stat.group == process.pid for _, own, stat in _labelled(process.label))

    def _reap(self, process: Process) -> None:
        """Take the exit status of a child that has ended; without that it stays a zombie for as long as we live."""
        if process not in self._children:
            return
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:
            self._children.discard(process)
            return
        if pid:
            self._children.discard(process)
            self._exits[process] = os.waitstatus_to_exitcode(status)
            while len(self._exits) > _REMEMBERED:
                del self._exits[next(iter(self._exits))]


def clear_torn(directory: Path) -> None:
    """Remove what `write` left beside its files below the directory, in processes that were killed in the middle of it.

    To be called before anything is written: what bears our own pid was then left by another one of that number.
    """
    for path in directory.rglob(".*.tmp"):
        torn = _BESIDE.fullmatch(path.name)
        if torn and (int(torn[1]) == os.getpid() or not (_PROC / torn[1]).exists()):
            with suppress(OSError):
                path.unlink()


def boot_id() -> str:
    """Return the id that the kernel gave this boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def _stat(pid: int) -> _Stat | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    _, _, rest = text.rpartition(")")  # the second field is the program's name, which may hold spaces and brackets
    after = rest.split()
    return _Stat(int(after[1]), int(after[2]), int(after[3]), int(after[19]))


def _labelled(label: str) -> list[tuple[int, str, _Stat]]:
    """Return pid, label and stat of our user's processes whose label begins so. A zombie has no environment."""
    user, found = os.geteuid(), []
    for entry in os.scandir(_PROC):
        if not entry.name.isdecimal():
            continue
        try:
            own = _label_of(entry.path) if entry.stat().st_uid == user else None
        except OSError:  # it ended while we looked, or it is not ours to look at
            continue
        if own is not None and own.startswith(label) and (stat := _stat(int(entry.name))) is not None:
            found.append((int(entry.name), own, stat))
    return found


def _label_of(entry: str) -> str | None:
    prefix = f"{LABEL}=".encode()
    variables = Path(entry, "environ").read_bytes().split(b"\0")
    return next((v[len(prefix) :].decode(errors="replace") for v in variables if v.startswith(prefix)), None)


def _forked_by_kin(parent: int, label: str, leaders: dict[int, tuple[str, _Stat]]) -> bool:
    """Say whether an ancestor is a leader of the same label: programs such as PostgreSQL give helpers sessions too."""
    while parent > 1:
        if parent in leaders and leaders[parent][0] == label:
            return True
        stat = _stat(parent)
        parent = stat.parent if stat else 0
    return False


def _ended(pidfd: int) -> bool:
    """A pidfd is readable once the process has ended, as a zombie too (pidfd_open(2))."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


async def _readable(pidfd: int, within: timedelta) -> bool:
    if _ended(pidfd):
        return True
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        async with asyncio.timeout(within.total_seconds()):
            await ended.wait()
        return True
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(pidfd)


def _open_log(path: Path) -> int:
    """Open the log to append to. A disk without room must not keep a process from starting: then there is no log."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        if problem.errno in _NO_ROOM:
            return subprocess.DEVNULL
        raise HostError(f"cannot open the log {path}: {problem.strerror}; may this user write there?") from problem


def _why_not_started(command: Command, problem: OSError | ValueError | IndexError) -> str:
    program = command.argv[0] if command.argv else ""
    if isinstance(problem, ValueError | IndexError):
        return f"cannot start {program!r}: {problem}; an argument or a variable holds what a process cannot be given"
    if problem.errno == errno.ENOENT and not Path(command.directory).is_dir():
        return f"cannot start {program!r}: its directory {command.directory} does not exist"
    match problem.errno:
        case errno.ENOENT if "/" in program:
            advice = f"no such file seen from {command.directory}, or the interpreter in its first line is missing"
        case errno.ENOENT:
            advice = f"no such program in PATH ({command.environment.get('PATH', 'not set')})"
        case errno.EACCES:
            advice = "the file may not be executed; chmod +x?"
        case errno.ENOEXEC:
            advice = "the system cannot run such a file; has a script its #! line, is a binary for this machine?"
        case _:
            advice = f"{problem.strerror} (in {command.directory})"
    return f"cannot start {program!r}: {advice}"


def _candidate_ports() -> Iterator[int]:
    low, high = 32768, 60999
    with suppress(OSError, ValueError):
        low, high = map(int, (_PROC / "sys/net/ipv4/ip_local_port_range").read_text().split())
    outside = [*range(15000, min(low, 65536)), *range(high + 1, 65536)]
    yield from random.sample(outside, min(len(outside), 64))
    yield from [0] * 8  # let the kernel choose


def _bind(port: int) -> int | None:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return None
        chosen: int = probe.getsockname()[1]
        return chosen


def _write_all(path: Path, content: bytes, mode: int, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.fchmod(fd, mode)  # whatever the umask: Envoy may run as another user
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _explained(verb: str, path: PurePath) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise HostError(f"cannot {verb} {path}: {problem.strerror or problem}; {_advice(problem)}") from problem


def _advice(problem: OSError) -> str:
    match problem.errno:
        case errno.ENOSPC | errno.EDQUOT:
            return "make room on that disk (`df -h`, `df -i`), then try again"
        case errno.EROFS:
            return "the file system is mounted read-only; remount it, or choose another place with --state"
        case errno.EACCES | errno.EPERM:
            return "this user may not; check owner and mode of the directory"
        case errno.ENOENT:
            return "it does not exist"
        case _:
            return "check the path and its file system"
