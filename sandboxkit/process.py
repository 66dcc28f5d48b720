"""A running command: following it, and ending it within its time."""

from __future__ import annotations

import signal as _signal
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import attrs

from sandboxkit.commands import check_data, check_size, check_wait
from sandboxkit.errors import (
    ArgumentsTooLong,
    CommandError,
    CommandLost,
    CommandTimeout,
    InvalidCommand,
    ProviderError,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
    StatusUnreported,
    WorkingDirectoryError,
)
from sandboxkit.model import Chunk, Command, Status, TerminalSize
from sandboxkit.paths import display
from sandboxkit.provider import ProcessChannel, Report, SandboxProvider, TerminalChannel

PATIENCE = 0.8
"""Seconds past its timeout in which the watchdog in the sandbox is left to end a command and report."""

START_GRACE = 0.6
"""Seconds that a kill waits for a command that was sent but has not said that it started."""

KILL_LIMIT = 2.8
"""Seconds that ending a tree from outside may take; the limits up to here and ``DRAIN_LIMIT`` stay below 5."""

DRAIN_LIMIT = 0.3
"""Seconds in which what a killed command left in the backend's pipes is still taken."""

LOOK_LIMIT = 2.0
"""Seconds for asking the provider whether a sandbox whose channel dropped still exists."""

RESIZE_LIMIT = 10.0
"""Seconds that giving a terminal another size may take."""

_MOST_SIGNAL = 64

SLICE = 0.25
"""Seconds after which a writer looks again whether it must take output aside itself."""


@attrs.define(eq=False)
class AsyncProcess:
    """A running command; iterate over it for its output, leave its block to end it.

    Output arrives in order within each stream and only as fast as it is asked for. Everything that is asked of the
    process while output is waiting (``write``, ``wait``, ``kill``) takes that output aside, up to ``max_output``
    bytes in all (``dropped`` counts the rest), and iteration gives it later. One task or thread may iterate while
    another writes.
    """

    _provider: SandboxProvider = attrs.field(repr=False)
    sandbox_id: str
    _command: Command = attrs.field(repr=False)
    _channel: ProcessChannel = attrs.field(repr=False)
    _limit: float | None = attrs.field(repr=False)
    _max_output: int | None = attrs.field(repr=False)
    _terminal: TerminalChannel | None = attrs.field(default=None, repr=False)
    """The same channel, where the command has a terminal."""
    _waiting: deque[Chunk] = attrs.field(factory=deque, init=False, repr=False)
    _waiting_size: int = attrs.field(default=0, init=False, repr=False)
    _receiving: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    ended: bool = attrs.field(default=False, init=False)
    """Whether the command is over, or can be followed no further."""
    error: SandboxError | None = attrs.field(default=None, init=False, repr=False)
    """Why it did not end by itself; raised after all of its output was given."""
    dropped: int = attrs.field(default=0, init=False)
    """Bytes of output that were set aside beyond ``max_output`` and are lost."""

    @property
    def exit_code(self) -> int | None:
        """The exit code once the command has ended and all of its output was received, else ``None``."""
        report = self._channel.report
        return None if report is None else report.exit_code

    @property
    def _now(self) -> float:
        return self._provider.world.now()

    # -- following ------------------------------------------------------------------------------------------------

    async def advance(self, outgoing: bytes | memoryview = b"", until: float | None = None) -> int:
        """Exchange once within ``until`` and the command's own time; give how much of ``outgoing`` went.

        What arrived is set aside for :meth:`take`. Whatever ends the command, or what can be known of it, is noted
        in ``ended`` and ``error``; nothing is raised.
        """
        patience = None if self._limit is None else self._limit + PATIENCE
        ends = min((t for t in (until, patience) if t is not None), default=None)
        sent = closed = 0
        try:
            sent, closed = await self._exchange(outgoing, ends)
        except ProviderError as exc:
            await self._lost(exc)
            return 0
        except SandboxError as exc:
            # The backend says what became of the sandbox, which is all there is to know.
            self.ended, self.error = True, exc
            await self._channel.close()
            return 0
        if self.ended:
            return sent
        if self._channel.report is not None:
            await self._settle(self._channel.report)
        elif closed:
            await self._lost(None)
        elif patience is not None and self._now >= patience:
            await self._time_out()
        return sent

    async def _exchange(self, outgoing: bytes | memoryview, until: float | None) -> tuple[int, bool]:
        receive = self._receiving.acquire(blocking=False)
        if not receive:
            # Someone else is receiving: only send, and look again soon whether that is still so.
            soon = self._now + SLICE
            until = soon if until is None else min(until, soon)
            if not outgoing:
                await self._provider.world.sleep(min(0.01, max(0.0, until - self._now)))
                return 0, False
        try:
            turn = await self._channel.exchange(outgoing, receive=receive, until=until)
            for chunk in turn.chunks:
                self._waiting.append(chunk)
                self._waiting_size += len(chunk.data)
        finally:
            if receive:
                self._receiving.release()
        return turn.sent, turn.closed

    def take(self) -> Chunk | None:
        """Give the next piece that was set aside."""
        if not self._waiting:
            return None
        chunk = self._waiting.popleft()
        self._waiting_size -= len(chunk.data)
        return chunk

    def _trim(self) -> None:
        while self._max_output is not None and self._waiting_size > self._max_output and self._waiting:
            gone = self._waiting.pop()
            self._waiting_size -= len(gone.data)
            self.dropped += len(gone.data)

    # -- its end --------------------------------------------------------------------------------------------------

    async def _settle(self, report: Report) -> None:
        self.ended = True
        if report.failure is not None:
            self.error = _failure(report, self._command)
        elif report.timed_out:
            # The watchdog runs as the command's user; from outside there may be more power.
            killed = report.killed or await self._kill_tree()
            self.error = self._timeout(killed)
        await self._channel.close()

    def _timeout(self, killed: bool | None) -> CommandTimeout:
        state = {True: "it was ended", False: "some of it still runs", None: "its end could not be confirmed"}
        return CommandTimeout(
            f"the command in sandbox {self.sandbox_id} took longer than {self._command.timeout:g} s; {state[killed]}",
            dispatched=self._channel.started,
            killed=killed,
        )

    async def _time_out(self) -> None:
        """End a command whose watchdog did not report in time."""
        killed = await self._kill_tree()
        await self._follow(DRAIN_LIMIT, lambda: True)
        report = self._channel.report
        if killed is None and report is not None and report.timed_out:
            killed = report.killed  # a watchdog that was late knows it all the same
        self.ended = True
        self.error = self._timeout(killed)
        await self._channel.close()

    async def _kill_tree(self) -> bool | None:
        # A kill that comes before the command is marked finds nothing, and then the command starts.
        await self._follow(START_GRACE, lambda: self._channel.started is None)
        return await self._channel.kill(until=self._now + KILL_LIMIT)

    async def _follow(self, seconds: float, while_: Callable[[], bool]) -> None:
        """Take what arrives for a while, whatever it is."""
        until = self._now + seconds
        while while_() and self._channel.report is None and not self.ended and self._now < until:
            try:
                if (await self._exchange(b"", until))[1]:
                    return
            except SandboxError:
                return

    async def _lost(self, cause: ProviderError | None) -> None:
        """The status will never come: say what is known, and end what may still run."""
        self.ended = True
        started = self._channel.started
        await self._kill_tree()
        await self._channel.close()
        if cause is None and started:
            self.error = StatusUnreported(
                f"the command in sandbox {self.sandbox_id} ended without a status: it killed what was to report it, "
                f"or the sandbox stopped",
                dispatched=True,
            )
            return
        words = {True: "it had started", False: "it did not run", None: "whether it ran is unknown"}
        self.error = CommandLost(
            f"the channel to the command in sandbox {self.sandbox_id} dropped; {words[started]}"
            + (f": {cause}" if cause else ""),
            dispatched=started,
        )
        self.error.__cause__ = cause

    async def check(self) -> None:
        """Raise what is wrong with a command that has ended."""
        if isinstance(self.error, CommandLost):
            # The sandbox may be gone, which says more than a dropped channel.
            try:
                info = await self._provider.get(self.sandbox_id, until=self._now + LOOK_LIMIT)
            except ProviderError:
                raise self.error from self.error.__cause__
            except SandboxNotFound:
                # Of a command that ran, the output so far says more; of another, that nothing was there to run it.
                if self.error.dispatched:
                    raise self.error from None
                raise
            if info.status not in (Status.RUNNING, Status.CREATING) and not self.error.dispatched:
                raise SandboxNotRunning(
                    f"sandbox {self.sandbox_id} is {info.status}", status=info.status
                ) from self.error
        if self.error is not None:
            raise self.error

    # -- what users do --------------------------------------------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        """Give the next piece of output; the error that ended the command comes after all of it."""
        while True:
            chunk = self.take()
            if chunk is not None:
                return chunk
            if self.ended:
                await self.check()
                raise StopAsyncIteration
            await self.advance()

    async def write(self, data: bytes | bytearray | memoryview | str) -> None:
        """Send all of ``data`` (text as for ``exec(input=)``) to its stdin; ``BrokenPipeError`` once it has ended.

        Raises ``InvalidCommand`` for one that was spawned without ``stdin=True`` or ``terminal``.
        """
        if self._terminal is None and self._command.stdin.kind != "stream":
            raise InvalidCommand("the command's input is not open; spawn it with stdin=True")
        rest = memoryview(check_data(data, "what is written"))
        while rest:
            if self.ended:
                await self.check()
                raise BrokenPipeError("the command has ended; nothing reads its input")
            rest = rest[await self.advance(rest) :]
            self._trim()

    async def close_stdin(self) -> None:
        """Let it see the end of its input; safe to repeat. ``InvalidCommand`` for one on a terminal."""
        if self._terminal is not None:
            raise InvalidCommand("a terminal's input has no end; write b'\\x04' (Ctrl-D), or close the process")
        if not self.ended:
            await self._channel.close_stdin()

    async def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size; nothing happens once it has ended.

        Raises ``InvalidCommand`` for one that was spawned without ``terminal``.
        """
        size = check_size(TerminalSize(rows, columns))
        if self._terminal is None:
            raise InvalidCommand("the command has no terminal; spawn it with terminal=(rows, columns)")
        if not self.ended:
            await self._terminal.resize(size, until=self._now + RESIZE_LIMIT)

    async def signal(self, number: int | _signal.Signals) -> None:
        """Send a signal, 1 to 64, to the command's own process; nothing happens once it has ended."""
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST_SIGNAL:
            raise InvalidCommand(f"a signal is a number from 1 to {_MOST_SIGNAL} or a signal.Signals, not {number!r}")
        until = self._now + KILL_LIMIT
        # One that has not said where it runs cannot be signalled yet.
        await self._follow(KILL_LIMIT, lambda: self._channel.started is None)
        if not self.ended:
            await self._channel.signal(int(number), until=until)

    async def kill(self) -> bool | None:
        """End the whole tree: ``True`` it is gone, ``False`` some of it lives, ``None`` not confirmed."""
        if self.ended:
            return True
        killed = await self._kill_tree()
        await self._follow(DRAIN_LIMIT, lambda: True)
        self._trim()
        return killed

    async def wait(self, timeout: float | None = None) -> int | None:
        """Wait until it ends and give its exit code, or ``None`` after ``timeout`` seconds; it then runs on.

        With 0 it only looks. Raises what iteration raises at its end: ``CommandTimeout`` at the command's own
        timeout, ``CommandLost``.
        """
        limit = check_wait(timeout)
        until = None if limit is None else self._now + limit
        while not self.ended:
            if self._channel.report is not None:
                await self._settle(self._channel.report)
            elif until is not None and self._now >= until:
                return None
            else:
                await self.advance(until=until)
                self._trim()
        await self.check()
        return self.exit_code

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End it if it still runs, and let go of the channel."""
        if self.ended:
            await self._channel.close()
            return
        await self._provider.world.protect(self._close(), until=self._now + KILL_LIMIT + 1.0)

    async def _close(self) -> None:
        try:
            await self._kill_tree()
        finally:
            self.ended = True
            await self._channel.close()


def _failure(report: Report, command: Command) -> CommandError | ArgumentsTooLong:
    if report.failure == "arguments":
        return ArgumentsTooLong(
            "the sandbox's kernel refused the total size of arguments and environment; send it on stdin or in a file"
        )
    if report.failure == "cwd":
        words = {2: "does not exist", 20: "is not a directory", 13: "may not be entered"}
        name = "" if command.cwd is None else f"{display(command.cwd)} "
        return WorkingDirectoryError(
            f"the command's working directory {name}{words.get(report.errno, 'cannot be entered')}; nothing ran",
            errno=report.errno,
        )
    return CommandError(f"the sandbox could not start the command: {report.message}", dispatched=False)
