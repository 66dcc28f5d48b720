"""Ending the whole tree of a command, from PID 1, without a fork and a slice at a time.

A command's processes are known by their mark, a random number as soft RLIMIT_LOCKS (which Linux has not enforced
since 2.4, and which fork, setsid, exec and an emptied environment keep), and by their session. Processes that
hop (fork, and the parent exits) can slip past a scan, so one that finds nothing is not believed: ten in a row are.
"""

from __future__ import annotations

import os
import resource
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RLIMIT_LOCKS = 10
EMPTY_SCANS = 10
FREEZE_AFTER = 0.05
"""Seconds of killing in vain after which every process of the sandbox is stopped for a moment."""

STARVED = 0.03
"""Seconds that one scan may take before it counts as one in vain: so many processes run that PID 1 hardly does."""

FREEZE_LIMIT = 2.0
"""Seconds that such a moment lasts at most: what was killed must be given the time to end."""

_KILL, _CONTINUE, _STOP = 9, 18, 19


class Kill:
    """One tree that is being ended; ``done(gone)`` is called once."""

    def __init__(self, mark: int, session: int, limit: float, done: Callable[[bool], None]) -> None:
        self.mark = mark
        self.session = session
        self.limit = limit
        self.done = done
        self.began = time.monotonic()
        self.empty = 0
        self.found = False
        self.freeze_at = self.began + FREEZE_AFTER


class Killer:
    """The trees that are being ended now; call :meth:`scan` once a turn while there are any."""

    def __init__(self, *, may_freeze: bool, reap: Callable[[], bool]) -> None:
        self.kills: list[Kill] = []
        self._own = os.getpid()
        self._may_freeze = may_freeze
        self._reap = reap

    def start(self, mark: int, session: int, limit: float, done: Callable[[bool], None]) -> None:
        """End what carries the mark or belongs to the session (0 for none) until ``limit`` (monotonic)."""
        self.kills.append(Kill(mark, session, limit, done))

    def scan(self) -> None:
        """Look through all processes once for all trees, and settle those that are gone or out of time."""
        for kill in self.kills:
            kill.found = False
        starved = not self._look_through(time.monotonic() + STARVED if self._may_freeze else None)
        now = time.monotonic()
        for kill in self.kills:
            kill.empty = 0 if kill.found else kill.empty + 1
        if self._may_freeze and any(k.found and (starved or now > k.freeze_at) for k in self.kills):
            self._freeze()
        over = [k for k in self.kills if k.empty >= EMPTY_SCANS or now >= k.limit]
        if over:
            self.kills = [k for k in self.kills if k not in over]
            for kill in over:
                kill.done(kill.empty >= EMPTY_SCANS)

    def _look_through(self, until: float | None = None) -> bool:
        """Look at every process once; ``False`` if that was given up because it took too long."""
        newest = last_pid()
        for pid in _pids():
            # One by one: with tens of thousands of zombies listing them alone takes a starved PID 1 seconds.
            self._look(pid)
            if until is not None and time.monotonic() > until and any(kill.found for kill in self.kills):
                return False
        # What was started while we looked, and while we looked at that.
        for _ in range(20):
            upto = last_pid()
            for pid in range(newest + 1, min(upto, newest + 200) + 1):
                self._look(pid)
            if upto <= newest:
                break
            newest = upto
        return True

    def _look(self, pid: int) -> None:
        kill = self._belongs(pid)
        if kill is None or pid == self._own or is_dead(pid):
            return
        try:
            os.kill(pid, _KILL)
        except ProcessLookupError:
            return
        except OSError:
            pass  # it lives and may not be ended: found all the same
        kill.found = True

    def _belongs(self, pid: int) -> Kill | None:
        try:
            mark = resource.prlimit(pid, RLIMIT_LOCKS)[0]
        except OSError:
            mark = -1
        try:
            session = os.getsid(pid)
        except OSError:
            session = -1
        for kill in self.kills:
            if kill.mark == mark or kill.session == session:
                return kill
        return None

    def _freeze(self) -> None:
        """Stop everything at once, so that nothing can fork away, and let the others go on.

        ``kill(-1)`` from PID 1 reaches every process of the sandbox in one step, forks under way included.
        """
        try:
            os.kill(-1, _STOP)
        except OSError:
            return
        try:
            until = min(time.monotonic() + FREEZE_LIMIT, *(kill.limit for kill in self.kills))
            found = True
            while self._reap():
                pass  # thousands of zombies would only be in the way, and now no more come
            while found and time.monotonic() < until:
                before = [kill.found for kill in self.kills]
                for kill in self.kills:
                    kill.found = False
                self._look_through()
                found = any(kill.found for kill in self.kills)
                for kill, was in zip(self.kills, before, strict=True):
                    kill.found = kill.found or was
                self._reap()
                time.sleep(0.001)
        finally:
            for kill in self.kills:
                kill.freeze_at = time.monotonic() + 4 * FREEZE_AFTER
            for pid in list(_pids()):
                if pid != self._own and not _was_stopped(pid):
                    try:
                        os.kill(pid, _CONTINUE)
                    except OSError:
                        continue


def _pids() -> Iterator[int]:
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit():
                yield int(entry.name)


def _was_stopped(pid: int) -> bool:
    """Whether a process that everybody's SIGSTOP reached stood still before: it has not taken that signal.

    To look before, while they all run, would cost a starved PID 1 the time that the stop is to give it.
    """
    status = read_small(f"/proc/{pid}/status")
    pending = int(status.partition(b"\nShdPnd:\t")[2][:16] or b"0", 16)
    return b"\nState:\tT" in status and bool(pending >> (_STOP - 1) & 1)


def read_small(path: str) -> bytes:
    """Read the start of a file of /proc; empty when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)


def _status(pid: int) -> bytes:
    """Give what follows the name in a process's ``stat``: its state first; empty for one that is gone."""
    return read_small(f"/proc/{pid}/stat").rpartition(b") ")[2]


def is_dead(pid: int) -> bool:
    """Whether nothing of a process runs any more: it is gone, or a zombie without live threads."""
    words = _status(pid).split(maxsplit=18)
    # A first thread that ended is shown as a zombie while the others run on.
    return not words or (words[0] in (b"Z", b"X", b"x") and int(words[17]) < 2)


def last_pid() -> int:
    """Give the pid that was given out last in this pid namespace."""
    words = read_small("/proc/loadavg").split()
    return int(words[4]) if len(words) > 4 else 0
