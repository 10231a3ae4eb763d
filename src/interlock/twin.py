"""Who starts the keeper again when it dies or freezes, and who starts that one again? Each the other.

The twin does nothing else, so it is small and has few reasons to die: the standard library only, and of that little,
for each module stays resident. Keeper and twin hold a *pulse* each: a locked file in the runtime directory that says
which process it is and when it last was well, written in place, so that a full disk takes nothing away. Each looks at
the other's pulse twice a second: dead, it is started again; silent for five seconds, it is killed first.

Nothing heals when both are killed at one moment: then the next command starts a keeper, which adopts what runs.

`down` raises a generation, kept in a file too. Keeper and twin know theirs; one of an older generation starts nobody,
and does not start itself. So whoever was just being started while both were told to end, ends as well.
"""

# pathlib alone would take more memory than all of this:
# ruff: noqa: PTH100, PTH103, PTH112, PTH116, PTH118, PTH120

from __future__ import annotations

import errno
import fcntl
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:  # the modules `typing` and `collections.abc` are large
    from collections.abc import Mapping, Sequence

SILENT_AFTER = 5.0
"""Seconds of CLOCK_MONOTONIC, which stands still while the machine is suspended."""

LOOK_EVERY = 0.5
_STARTS_WITHIN = 30.0
_SHORT_LIFE = 5.0
_AT_ONCE = 3  # so many short lives in a row are answered at once, then ever later
_LONGEST_PAUSE = 5.0  # for as long nobody watches over a canary
_ENDS_WITHIN = 5.0
_GENERATION = "INTERLOCK_GENERATION"
_LABEL = "INTERLOCK_LABEL"


class Refused(Exception):
    """This process must not go on: another one has its place, or it was told to go down."""


class Watch:
    """The keeper's part: say that it is well, and keep the twin alive.

    `keeper` is the command that starts this keeper again, `label` what all labels begin with, `log` takes what twin and
    keeper write. Call `take` early in the process's life, then `mind` about twice a second from the loop that must not
    freeze. A keeper that ends is started again, except by `down`.
    """

    def __init__(self, runtime: str | os.PathLike[str], keeper: Sequence[str], log: str, label: str) -> None:
        self.runtime = os.fspath(runtime)
        self._pulse = _Pulse(self.runtime, "keeper")
        self._keeper, self._log, self._label = tuple(keeper), log, label
        self._generation = 0
        self._twin: _Other | None = None

    def take(self) -> None:
        """Take the keeper's place in this runtime directory; raise Refused when that may not be."""
        os.makedirs(self.runtime, mode=0o700, exist_ok=True)
        self._pulse.take()
        current = _read_generation(self.runtime)
        self._generation = int(os.environ.pop(_GENERATION, current or 0))
        if current is None:
            _write_generation(self.runtime, self._generation)
        elif self._generation != current:
            self.leave()
            raise Refused("this keeper was started before `down` and must not run any more")
        me = (sys.executable, "-I", "-S", os.path.abspath(__file__))
        argv = (*me, self.runtime, str(self._generation), self._label, self._log, *self._keeper)
        environment = {**os.environ, _LABEL: f"{self._label}/twin"}
        self._twin = _Other(_path(self.runtime, "twin"), argv, environment, self._log)

    def mind(self) -> bool:
        """Beat, and look after the twin; return False once both were told to go down."""
        self.beat()
        if self.told_to_go:
            return False
        if self._twin is not None:
            self._twin.look()
        return True

    def beat(self) -> None:
        """Say that this keeper is well."""
        self._pulse.beat()

    @property
    def told_to_go(self) -> bool:
        """Whether `down` was asked since this keeper started."""
        current = _read_generation(self.runtime)
        if current is None:  # somebody cleaned the directory
            try:
                _write_generation(self.runtime, self._generation)
            except OSError as problem:
                _say(f"cannot write the generation in {self.runtime}: {problem.strerror}")
        return current not in (None, self._generation)

    def twin_alive(self) -> bool:
        """Say whether a twin runs and is well."""
        return well(self.runtime, "twin")

    def leave(self) -> None:
        """Give the keeper's place up."""
        self._pulse.close()


def down(runtime: str | os.PathLike[str], within: float = 30.0) -> None:
    """End both: the twin, then the keeper by SIGTERM, by SIGKILL when it has not ended within so many seconds.

    The generation is raised first, so nobody who is just being started stays. Raises TimeoutError when one does not
    die.
    """
    where = os.fspath(runtime)
    if not os.path.isdir(where):
        return
    _write_generation(where, (_read_generation(where) or 0) + 1)
    _end(_path(where, "twin"), _ENDS_WITHIN)
    _end(_path(where, "keeper"), within)


def well(runtime: str | os.PathLike[str], who: str) -> bool:
    """Say whether the "keeper" or the "twin" of this runtime directory lives and was well just now."""
    process = process_of(runtime, who)
    if process is None:
        return False
    beat, _, _ = _read_pulse(_path(os.fspath(runtime), who)) or (0, 0, 0)
    return time.monotonic_ns() - beat < SILENT_AFTER * 1e9


def process_of(runtime: str | os.PathLike[str], who: str) -> int | None:
    """Return the pid of the living "keeper" or "twin" of this runtime directory, frozen or not."""
    _, pid, started = _read_pulse(_path(os.fspath(runtime), who)) or (0, 0, 0)
    fd = _pidfd(pid, started)
    if fd is None:
        return None
    os.close(fd)
    return pid


class _Pulse:
    """One's own pulse: 8 bytes each of time (ns), pid and start time, in a file that stays locked while one lives."""

    def __init__(self, runtime: str, who: str) -> None:
        self._who, self._path = who, _path(runtime, who)
        self._fd = -1

    def take(self) -> None:
        """Lock the file and write it; raise Refused when another process has it."""
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            _, pid, _ = _read_pulse(self._path) or (0, 0, 0)
            raise Refused(f"another {self._who} runs already (pid {pid})") from None
        self.close()
        self._fd = fd
        started = _started(os.getpid()) or 0
        os.pwrite(fd, _bytes(time.monotonic_ns(), os.getpid(), started), 0)

    def beat(self) -> None:
        """Write the time in place. When somebody removed the file it is made again, or the other would see us dead."""
        try:
            there = os.stat(self._path).st_ino == os.fstat(self._fd).st_ino
        except OSError:
            there = False
        try:
            if there:
                os.pwrite(self._fd, _bytes(time.monotonic_ns()), 0)
            else:
                self.take()
        except OSError as problem:  # nothing helps here; if it lasts, the other one replaces us
            _say(f"cannot write {self._path}: {problem.strerror}")

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1


class _Other:
    """The other of the two, as one sees it: started when it is dead, killed when it is silent. Nothing here waits."""

    def __init__(self, pulse: str, argv: Sequence[str], environment: Mapping[str, str], log: str) -> None:
        self._pulse, self._argv, self._environment, self._log = pulse, argv, environment, log
        self.pidfd: int | None = None
        self._who = (0, 0)
        self._beat = 0.0
        self._since = self._looked = self._awake_since = time.monotonic()
        self._child: int | None = None
        self._child_since = 0.0
        self._short_lives = 0
        self._not_before = 0.0

    def look(self) -> None:
        """Look once, and do what is needed."""
        now = time.monotonic()
        if now - self._looked > SILENT_AFTER / 2:
            self._awake_since = now  # we stood still ourselves, as the other may have: its silence counts from now
        self._looked = now
        self._reap()
        if pulse := _read_pulse(self._pulse):
            beat, *who = pulse
            self._beat = beat / 1e9
            if tuple(who) != self._who:
                self._meet(who[0], who[1], now)
        if self.pidfd is not None and not _ended(self.pidfd):
            if now - max(self._beat, self._since, self._awake_since) > SILENT_AFTER:
                _say(f"pid {self._who[0]} has been silent for more than {SILENT_AFTER:g} s: killed")
                _kill(self.pidfd, signal.SIGKILL)
            return
        if self.pidfd is not None:
            self._bury(now)
        if self._child is not None:
            if now - self._child_since > _STARTS_WITHIN:
                os.kill(self._child, signal.SIGKILL)  # our own child, not reaped yet: the pid is still its
        elif now >= self._not_before:
            self.start()

    def start(self) -> None:
        """Start it in a session of its own. Whoever finds its place taken ends by itself."""
        self._child_since = time.monotonic()
        try:
            self._child = _spawn(self._argv, self._environment, self._log)
        except OSError as problem:
            _say(f"cannot start {self._argv[0]}: {problem.strerror}")
            self._count(0.0, self._child_since)
        else:
            _say(f"started pid {self._child}: {' '.join(self._argv[:6])}")

    def _meet(self, pid: int, started: int, now: float) -> None:
        """Watch the process that now has the pulse; a dead one's pulse says nothing new."""
        fd = _pidfd(pid, started)
        if fd is None:
            return
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd, self._who, self._since = fd, (pid, started), now

    def _bury(self, now: float) -> None:
        _say(f"pid {self._who[0]} has ended")
        if self.pidfd is not None:
            os.close(self.pidfd)
        self.pidfd = None
        if self._child == self._who[0]:
            self._child = None
        self._count(now - self._since, now)

    def _reap(self) -> None:
        """Take the exit status of our child; one that ended before it had a pulse lived a short life."""
        if self._child is None:
            return
        try:
            pid, _ = os.waitpid(self._child, os.WNOHANG)
        except ChildProcessError:
            pid = self._child
        if pid:
            if self._child != self._who[0]:
                self._count(0.0, time.monotonic())
            self._child = None

    def _count(self, lived: float, now: float) -> None:
        """After a short life wait longer each time, so that one that dies at once does not keep the machine busy."""
        self._short_lives = self._short_lives + 1 if lived < _SHORT_LIFE else 0
        late = self._short_lives - _AT_ONCE
        self._not_before = now + (min(LOOK_EVERY * 2 ** min(late, 10), _LONGEST_PAUSE) if late > 0 else 0.0)


def main(arguments: Sequence[str]) -> int:
    """Be the twin: RUNTIME GENERATION LABEL LOG KEEPER…"""
    runtime, generation, label, log, *keeper = arguments
    pulse = _Pulse(runtime, "twin")
    try:
        pulse.take()
        environment = {**os.environ, _LABEL: f"{label}/keeper", _GENERATION: generation}
        other = _Other(_path(runtime, "keeper"), keeper, environment, log)
        while _read_generation(runtime) in (None, int(generation)):
            other.look()
            pulse.beat()
            _wait(other.pidfd, LOOK_EVERY)
    except Refused as reason:
        _say(f"twin: {reason}")
    return 0


def _path(runtime: str, who: str) -> str:
    return os.path.join(runtime, f"{who}.pulse")


def _bytes(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(8, "little") for number in numbers)


def _read_pulse(path: str) -> tuple[int, int, int] | None:
    """Return time, pid and start time; None when there is no pulse."""
    content = _content(path)
    if len(content) != 24:
        return None
    beat, pid, started = (int.from_bytes(content[i : i + 8], "little") for i in (0, 8, 16))
    return beat, pid, started


def _read_generation(runtime: str) -> int | None:
    content = _content(os.path.join(runtime, "generation"))
    return int.from_bytes(content, "little") if len(content) == 8 else None


def _write_generation(runtime: str, generation: int) -> None:
    """Write in place: eight bytes that are there already need no room on a full disk."""
    fd = os.open(os.path.join(runtime, "generation"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(fd, _bytes(generation), 0)
    finally:
        os.close(fd)


def _content(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 64)
    finally:
        os.close(fd)


def _started(pid: int) -> int | None:
    """Return the start time, field 22 of /proc/PID/stat (proc(5)); the second field may hold spaces and brackets."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return int(os.read(fd, 4096).rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None
    finally:
        os.close(fd)


def _pidfd(pid: int, started: int) -> int | None:
    """Return a pidfd of exactly this process while it lives: opened first, then compared."""
    if pid <= 0:
        return None
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return None
    if _started(pid) != started or _ended(fd):
        os.close(fd)
        return None
    return fd


def _ended(pidfd: int) -> bool:
    """A pidfd is readable once its process has ended, as a zombie too."""
    return _wait(pidfd, 0.0)


def _wait(pidfd: int | None, seconds: float) -> bool:
    poll = select.poll()
    if pidfd is not None:
        poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def _kill(pidfd: int, number: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return


def _end(pulse: str, within: float) -> None:
    _, pid, started = _read_pulse(pulse) or (0, 0, 0)
    fd = _pidfd(pid, started)
    if fd is None:
        return
    try:
        _kill(fd, signal.SIGTERM)
        if not _wait(fd, within):
            _kill(fd, signal.SIGKILL)
            if not _wait(fd, _ENDS_WITHIN):
                raise TimeoutError(
                    f"pid {pid} was killed and does not end; `ps -o stat,wchan {pid}` says what holds it"
                )
    finally:
        os.close(fd)


def _spawn(argv: Sequence[str], environment: Mapping[str, str], log: str) -> int:
    """Start a process in a session of its own, without `subprocess`, which is large. No room for a log means no log."""
    try:
        os.close(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.ENOENT):
            raise
        log = os.devnull
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_APPEND, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    plain = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE)  # nohup and the like have them ignored
    return os.posix_spawn(
        argv[0], list(argv), environment, file_actions=actions, setsid=True, setsigmask=(), setsigdef=plain
    )


def _say(line: str) -> None:
    try:
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {line}\n".encode())
    except OSError:
        return  # a full disk


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
