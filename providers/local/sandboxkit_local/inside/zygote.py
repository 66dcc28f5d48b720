"""PID 1 of a sandbox: starts commands, reports their ends, reaps, kills trees and keeps the deadline.

One thread, one loop, and nothing in it waits for a client. Whatever goes wrong here ends PID 1 and the sandbox
with it: it never lives on without its deadline.
"""

from __future__ import annotations

import os
import resource
import time
from contextlib import suppress

from sandboxkit_local.inside.clients import Clients
from sandboxkit_local.inside.killer import Killer
from sandboxkit_local.inside.loop import Loop
from sandboxkit_local.inside.running import Running
from sandboxkit_local.inside.spawn import NotStarted, Refused, Request, Spawner
from sandboxkit_local.inside.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    import signal
    from collections.abc import Callable
    from typing import NoReturn

    from sandboxkit_local.inside.clients import Connection
    from sandboxkit_local.inside.streams import Action
else:
    import _signal as signal  # as with _socket: the whole module costs many imports

KILL_LIMIT = 4.0
"""Seconds that ending the tree of a command whose time is up may take."""

DEADLINE_SIZE = 21
"""Bytes that the deadline takes at the start of the lock file."""

_READ = 1 << 18
_DRAIN_TURNS = 16
_REAPED_AT_ONCE = 64
_REMEMBERED = 1024


class Zygote:
    """The loop. ``expires_at`` is in seconds since the epoch; ``deadline_fd`` is where an extension is noted."""

    def __init__(
        self, listener: _socket.socket, spawner: Spawner, *, expires_at: float, deadline_fd: int, isolated: bool
    ) -> None:
        self._spawner = spawner
        self._deadline_fd = deadline_fd
        self._isolated = isolated
        self._killer = Killer(may_freeze=isolated and os.getpid() == 1, reap=self._reap)
        self._loop = Loop()
        self._by_pid: dict[int, Running] = {}
        self._by_mark: dict[int, Running] = {}
        self._timed: set[Running] = set()
        self._ended: dict[int, None] = {}
        self._more_to_reap = False
        self.on_end: Callable[[], object] | None = None
        self._set_deadline(expires_at)
        self._watch_signals()
        self._clients = Clients(listener, self._loop, self._handle, self._let_go)

    # -- the deadline ---------------------------------------------------------------------------------------------

    def _set_deadline(self, expires_at: float) -> None:
        left = max(0.0, expires_at - time.time())
        self.expires_at = expires_at
        # Whichever clock gets there first: setting the host's clock back prolongs nothing.
        self._end = time.monotonic() + left
        if self._isolated:
            # The kernel's own timer as well, in case the loop itself is ever held up.
            signal.signal(signal.SIGALRM, self._alarm)
            signal.setitimer(signal.ITIMER_REAL, left + 0.5, 1.0)
        os.pwrite(self._deadline_fd, b"%020.6f\n" % expires_at, 0)  # DEADLINE_SIZE bytes

    def _alarm(self, number: int, stack: object) -> None:
        # Anyone inside may send this signal too; only the time ends us.
        if time.monotonic() >= self._end:
            os._exit(0)

    def _check_deadline(self, now: float) -> None:
        if now >= self._end or time.time() >= self.expires_at:
            self.end()

    def end(self) -> NoReturn:
        """End the sandbox; as PID 1 of its namespace, everything in it ends with us."""
        if self.on_end is not None:
            self.on_end()
        os._exit(0)

    # -- the loop -------------------------------------------------------------------------------------------------

    def _watch_signals(self) -> None:
        self._wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, stack: None)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        self._loop.watch(self._wake_read, self._woken)

    def run(self) -> NoReturn:
        """Serve until the deadline."""
        self._reap()
        while True:
            self._loop.turn(self._patience())
            if self._more_to_reap:
                self._reap()
            now = time.monotonic()
            self._check_deadline(now)
            self._check_times(now)
            self._clients.check(now)
            if self._killer.kills:
                self._killer.scan()

    def _patience(self) -> float:
        if self._more_to_reap:
            return 0
        if self._killer.kills:
            # What was just killed needs a moment to be gone; what looks empty is looked at again at once.
            return 0.001 if any(kill.found for kill in self._killer.kills) else 0
        now = time.monotonic()
        ends = [self._end, now + 60.0, *self._clients.due()]
        ends += [running.deadline for running in self._timed if running.deadline is not None]
        # epoll rounds down to milliseconds; a wait that ends early would spin.
        return max(0.0, min(ends) - now) + 0.001

    def _check_times(self, now: float) -> None:
        for running in [r for r in self._timed if r.deadline is not None and r.deadline <= now]:
            self._timed.discard(running)
            if running.exit_code is None:
                self._time_out(running, now)

    def _woken(self) -> None:
        try:
            os.read(self._wake_read, 4096)
        except BlockingIOError:
            pass
        self._reap()

    def _reap(self) -> bool:
        """Reap some; ``True`` if there may be more."""
        # Orphans may come faster than they are reaped; the others, and the deadline, have their turn in between.
        self._more_to_reap = False
        for _ in range(_REAPED_AT_ONCE):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return False
            running = self._by_pid.pop(pid, None)
            if running is not None:
                code = os.waitstatus_to_exitcode(status)
                running.end(code if code >= 0 else 128 - code)
                self._settle(running)
        self._more_to_reap = True
        return True

    # -- the output that nobody reads ------------------------------------------------------------------------------

    def _let_go(self, connection: Connection) -> None:
        running = connection.command
        if running is not None:
            # Nobody reads its output any more; without its pipes being emptied it would stand still.
            connection.command = None
            running.connection = None
            for fd in running.outputs:
                self._loop.watch(fd, lambda r=running, f=fd: self._drain(r, f))  # type: ignore[misc]
            self._forget(running)

    def _drain(self, running: Running, fd: int) -> None:
        for _ in range(_DRAIN_TURNS):
            try:
                if os.read(fd, _READ):
                    continue
            except BlockingIOError:
                return
            except OSError:
                pass
            self._loop.unwatch(fd)
            os.close(fd)
            running.outputs.remove(fd)
            self._forget(running)
            return

    def _forget(self, running: Running) -> None:
        idle = running.over and not running.outputs and running.connection is None
        if idle and self._by_mark.get(running.mark) is running:
            del self._by_mark[running.mark]

    # -- requests -------------------------------------------------------------------------------------------------

    def _handle(self, connection: Connection, items: list[bytes]) -> None:
        word = items[0]
        if word == b"run":
            self._run(connection, items)
        elif word == b"kill":
            self._kill(connection, int(items[1]), float(items[2]))
        elif word == b"signal":
            running = self._by_mark.get(int(items[1]))
            if running is not None and running.exit_code is None and running.pid:
                # Whatever a client sends, the first process of a sandbox goes on.
                with suppress(OSError, OverflowError):
                    os.kill(running.pid, int(items[2]))
            self._clients.send(connection, b"ok")
        elif word == b"extend":
            self._set_deadline(float(items[1]))
            self._clients.send(connection, b"ok")
        elif word == b"end":
            self.end()
        else:
            self._clients.drop(connection)

    def _run(self, connection: Connection, items: list[bytes]) -> None:
        mark = int(items[1])
        timeout = float(items[2]) if items[2] else None
        streams = items[3].split()
        has_text = items[5] == b"text"
        count = int(items[6])
        argv = items[7 : 7 + count]
        rest = items[7 + count :]
        request = Request(argv, dict(zip(rest[::2], rest[1::2], strict=True)), items[4], mark)
        if mark in self._ended:
            self._clients.send(connection, b"failed", b"other", b"0", b"it was ended before it began")
            return
        text = connection.descriptors[0] if has_text and connection.descriptors else None
        try:
            self._start(connection, request, timeout, streams, text)
        except OSError as exc:
            self._clients.send(
                connection, b"failed", b"other", b"%d" % (exc.errno or 0), os.fsencode(exc.strerror or "")
            )
        finally:
            connection.close_descriptors()

    def _start(
        self, connection: Connection, request: Request, timeout: float | None, wanted: list[bytes], text: int | None
    ) -> None:
        streams = Streams()
        try:
            if wanted[:1] == [b"terminal"]:
                streams.open_terminal(int(wanted[1]), int(wanted[2]))
            else:
                streams.open_pipes(stdin=wanted == [b"pipe"])
            running = self._spawn(connection, request, streams, text)
            if running is None:
                return
            self._follow(connection, running, timeout)
            self._clients.send(connection, b"started", fds=streams.given)
        finally:
            streams.close()
        if running.over:
            self._settle(running)

    def _spawn(self, connection: Connection, request: Request, streams: Streams, text: int | None) -> Running | None:
        """Start it; ``None`` if it was refused, which its client is told."""
        try:
            pid = self._spawner.start(request, streams.actions, text)
        except Refused as exc:
            self._clients.send(
                connection, b"failed", exc.failure, b"%d" % exc.code, exc.message.encode("utf-8", "replace")
            )
            return None
        except NotStarted as exc:
            streams.complain(exc.message)
            running = Running(request.mark, 0, streams.leave(streams.kept), [])
            running.end(exc.exit_code)
            return running
        return Running(request.mark, pid, streams.leave(streams.kept), streams.leave(streams.held))

    def _follow(self, connection: Connection, running: Running, timeout: float | None) -> None:
        running.connection = connection
        connection.command = running
        self._by_mark[running.mark] = running
        if running.exit_code is None:
            self._by_pid[running.pid] = running
            if timeout is not None:
                running.deadline = time.monotonic() + timeout
                self._timed.add(running)

    def run_beside(self, argv: list[bytes], mark: int) -> None:
        """Start the sandbox's own command, its output going nowhere; raises what :class:`Spawner` raises."""
        nowhere: list[Action] = [(os.POSIX_SPAWN_DUP2, 0, fd) for fd in range(3)]
        self._spawner.start(Request(argv, {}, b"", mark), nowhere, None)

    def _settle(self, running: Running) -> None:
        """Tell the client of the end, once all that belongs to it is known."""
        self._timed.discard(running)
        if not running.over:
            return
        if running.connection is not None and not running.told:
            running.told = True
            killed = {True: b"1", False: b"0", None: b""}[running.killed]
            word = b"timeout" if running.timed_out else b"exit"
            self._clients.send(running.connection, word, b"%d" % (running.exit_code or 0), killed)
        self._forget(running)

    def _time_out(self, running: Running, now: float) -> None:
        running.timed_out = True

        def done(gone: bool) -> None:
            running.killed = gone
            self._settle(running)

        self._killer.start(running.mark, running.session(), now + KILL_LIMIT, done)

    def _kill(self, connection: Connection, mark: int, seconds: float) -> None:
        running = self._by_mark.get(mark)
        # A request that has not been read yet must not start what its client believes dead.
        self._ended[mark] = None
        while len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]
        session = running.session() if running is not None and running.pid else 0

        def done(gone: bool) -> None:
            if connection.fd in self._loop:
                self._clients.send(connection, b"killed", b"1" if gone else b"0")

        self._killer.start(mark, session or -2, time.monotonic() + seconds, done)


def raise_open_files() -> int:
    """Let PID 1 hold as many files as it may; gives the limit that its commands are to have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft
