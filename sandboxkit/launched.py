"""A command run by the launcher over a byte channel, as a :class:`~sandboxkit.provider.ProcessChannel`."""

from __future__ import annotations

import errno
import threading
from typing import TYPE_CHECKING

import attrs

from sandboxkit.errors import DeadlineExceeded, ProviderError, SandboxError
from sandboxkit.launcher import (
    BOOTSTRAP,
    Place,
    Ticket,
    command_script,
    frame,
    kill_script,
    signal_script,
)
from sandboxkit.model import STDERR, STDOUT, Chunk, Command, Stream
from sandboxkit.provider import ByteChannel, Exchange, Report
from sandboxkit.records import Record, RecordScanner
from sandboxkit.retry import retrying

if TYPE_CHECKING:
    from sandboxkit.provider import ProviderBase

FRAME = 1 << 18
"""Bytes of stdin in one frame: each costs the sandbox a process."""

ABANDON_LIMIT = 3.0
"""Seconds that undoing an interrupted start may take."""

GONE, LEFT = 3, 4
"""Codes that a kill script ends with: nothing of the tree is left, or something could not be ended."""

KILLS = 3
"""Times that a kill is tried whose answer does not come."""

CLOSE_PATIENCE = 0.05
"""Seconds that closing stdin waits for room in the channel."""

LOOK = 0.25
"""Seconds after which who only receives looks again whether the end of stdin is left to send."""

PAUSE = 0.01
"""Seconds between looks whether someone else has finished sending."""

_BIG_ARGUMENTS = 100_000
"""Below this the kernel never refuses a command for the size of its arguments and environment."""


@attrs.define(eq=False)
class LaunchedProcess:
    """See :class:`~sandboxkit.provider.ProcessChannel`."""

    provider: ProviderBase
    sandbox_id: str
    command: Command = attrs.field(repr=False)
    channel: ByteChannel
    ticket: Ticket = attrs.field(factory=Ticket, repr=False)
    _report: Report | None = attrs.field(default=None, init=False)
    _ahead: memoryview = attrs.field(init=False, repr=False)
    _script_left: int = attrs.field(init=False)
    _place: Place | None = attrs.field(default=None, init=False)
    _scanners: dict[Stream, RecordScanner] = attrs.field(init=False, repr=False)
    _failure: Report | None = attrs.field(default=None, init=False)
    _end: tuple[bytes, ...] | None = attrs.field(default=None, init=False)
    _frame_left: int = attrs.field(default=0, init=False)
    _stdin_open: bool = attrs.field(default=True, init=False)
    _close_due: bool = attrs.field(default=False, init=False)
    _sending: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _interrupted: bool = attrs.field(default=False, init=False)
    _complaint: bytes = attrs.field(default=b"", init=False, repr=False)
    _early: Exchange | None = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._set_up(frame(command_script(self.command, self.ticket)), (STDOUT, STDERR))

    def _set_up(self, script: bytes, streams: tuple[Stream, ...]) -> None:
        # What is the launcher's own and goes out before the command's bytes: its script, a frame's length, the end.
        self._ahead = memoryview(script)
        self._script_left = len(self._ahead)
        self._scanners = {stream: RecordScanner(self.ticket.token) for stream in streams}

    @property
    def started(self) -> bool | None:
        if self._place is not None:
            return True
        # Cut short the script is a syntax error, and what the bootstrap reports of a failed start ran nothing.
        if self._failure is not None or (self._script_left and not self._interrupted):
            return False
        return None

    @property
    def is_sent(self) -> bool:
        """Whether all of its script went: the least that it takes to run."""
        return not self._script_left

    @property
    def report(self) -> Report | None:
        # Not before what came with it was given: who sees a report asks for no more output.
        return None if self._early is not None else self._report

    async def send_script(self, *, until: float | None) -> None:
        """Send the whole script.

        The turn that sends its last bytes may already bring what a fast command wrote, and its end: that is kept for
        the first exchange.
        """
        while self._script_left and not await self._turn_early(until):
            pass

    async def _turn_early(self, until: float | None) -> bool:
        """Exchange once and keep what came; ``True`` when no other will bring more."""
        # Not exchange(), which goes on until the command has something to give.
        turn = await self._turn(b"", True, until)
        if turn.chunks or turn.closed or self._report is not None:
            early = self._early or Exchange()
            self._early = Exchange(chunks=early.chunks + turn.chunks, closed=turn.closed)
        return turn.closed or (until is not None and self.provider.world.now() >= until)

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        if receive and self._early is not None:
            early, self._early = self._early, None
            return early
        started = self.started
        while True:
            turn = await self._turn(outgoing, receive, until)
            if turn.sent or turn.chunks or turn.closed or self.report is not None:
                return turn
            if started is not self.started:
                # Nothing of the command's, but what a kill or a signal waits for.
                return turn
            if until is not None and self.provider.world.now() >= until:
                return turn

    async def _turn(self, outgoing: bytes | memoryview, receive: bool, until: float | None) -> Exchange:
        """Exchange once; sooner than at ``until`` if there may be something to send by then."""
        world = self.provider.world
        due = bool(outgoing or self._ahead or self._close_due)
        # One sender at a time: what is ahead would go out twice, and shift every frame that follows.
        sending = due and self._sending.acquire(blocking=False)
        if due and not sending and not receive:
            await world.sleep(PAUSE if until is None else max(0.0, min(PAUSE, until - world.now())))
            return Exchange()
        if not sending and (self._stdin_open or self._close_due) and self.command.stdin.kind == "stream":
            # Whoever closes stdin and finds no room leaves it to whoever is here.
            until = world.now() + LOOK if until is None else min(until, world.now() + LOOK)
        try:
            data = self._next_bytes(outgoing) if sending else b""
            turn = await self.channel.exchange(data, receive=receive, until=until)
            sent = self._account(turn.sent) if sending else 0
        except BaseException:
            # Some of it may have gone, all of it even, and nobody will say how much.
            self._interrupted = self._interrupted or sending
            raise
        finally:
            if sending:
                self._sending.release()
        chunks = self._scan(turn.chunks)
        if turn.closed:
            chunks += [Chunk(stream, rest) for stream, scanner in self._scanners.items() if (rest := scanner.flush())]
        return Exchange(sent, tuple(chunks), turn.closed)

    def _next_bytes(self, outgoing: bytes | memoryview) -> bytes | memoryview:
        if self.command.stdin.kind == "stream":
            if outgoing and not self._frame_left and not self._script_left:
                self._frame_left = min(len(outgoing), FRAME)
                self._ahead = memoryview(bytes(self._ahead) + b"%d\n" % self._frame_left)
            outgoing = outgoing[: self._frame_left]
            if self._close_due and not outgoing and not self._frame_left:
                self._close_due = False
                self._ahead = memoryview(bytes(self._ahead) + b"0\n")
        if not self._ahead:
            return outgoing
        if self._script_left or not outgoing:
            return self._ahead
        return bytes(self._ahead) + bytes(outgoing)

    def _account(self, sent: int) -> int:
        """Note what went out; give how much of it was the command's own."""
        ahead = min(sent, len(self._ahead))
        self._ahead = self._ahead[ahead:]
        self._script_left = max(0, self._script_left - ahead)
        if self.command.stdin.kind == "stream":
            self._frame_left -= sent - ahead
        return sent - ahead

    def _scan(self, chunks: tuple[Chunk, ...]) -> list[Chunk]:
        out: list[Chunk] = []
        for chunk in chunks:
            output, records = self._scanners[chunk.stream].feed(chunk.data)
            out += [Chunk(chunk.stream, data) for data in output]
            if output and (chunk.stream == STDERR or STDERR not in self._scanners):
                self._complaint = (self._complaint + output[-1][-200:])[-200:]
            for record in records:
                self._note(record)
        if self._end is not None and self._report is None and all(s.ended for s in self._scanners.values()):
            self._report = self._make_report(self._end)
        return out

    def _note(self, record: Record) -> None:
        if record.kind == b"P" and len(record.fields) == 3:
            self._place = Place(*record.fields)
        elif record.kind == b"W":
            self._failure = Report(failure="cwd", errno=int(record.fields[0]))
        elif record.kind == b"E":
            self._end = record.fields

    def _make_report(self, fields: tuple[bytes, ...]) -> Report:
        if self._failure is not None:
            return self._failure
        code, watchdog = (int(field) for field in fields[:2])
        if code == 126 and self._arguments_refused():
            return Report(failure="arguments", errno=errno.E2BIG)
        fired = watchdog in (3, 4)
        return Report(exit_code=code, timed_out=fired, killed=watchdog == 3 if fired else None)

    def _arguments_refused(self) -> bool:
        # The shell says so in words only; no command with small arguments is ever refused for their size.
        size = sum(len(word) + 9 for word in self.command.argv or ())
        size += sum(len(name) + len(value) + 10 for name, value in self.command.env.items())
        return size > _BIG_ARGUMENTS and b"rgument list too long" in self._complaint

    async def close_stdin(self, *, until: float | None = None) -> None:
        if not self._stdin_open or self.command.stdin.kind != "stream":
            return
        self._stdin_open = False
        self._close_due = True
        # What does not go out at once goes with another exchange, which can take output aside meanwhile.
        await self._turn(b"", False, self.provider.world.now() + CLOSE_PATIENCE)

    async def signal(self, number: int, *, until: float | None = None) -> None:
        if self.report is None and self._place is not None:
            report = Ticket()
            script = signal_script(self.ticket, self._place, number, report)
            await self._aside(script, report, until=until)

    async def kill(self, *, until: float) -> bool | None:
        if self.started is False or (self.report is not None and self.report.killed is not False):
            return True
        world, code = self.provider.world, None
        try:
            # What ends a tree may be done again, so a channel that breaks on the way is no reason to give up.
            for _ in range(KILLS):
                code = await self._kill_once(until)
                if code is not None or world.now() >= until:
                    break
        except SandboxError:
            return None
        gone = {GONE: True, LEFT: False}.get(code or 0)
        # A launcher that never said where it is may not have marked itself when the scan looked for it.
        return None if self._place is None else gone

    async def _kill_once(self, until: float) -> int | None:
        report = Ticket()
        script = kill_script(self.ticket, self._place, everything=self._place is None, report=report)
        try:
            return await self._aside(script, report, until=until)
        except ProviderError as exc:
            if isinstance(exc, DeadlineExceeded):
                raise
            return None

    async def _aside(self, script: bytes, report: Ticket, *, until: float | None) -> int | None:
        """Run a script of the launcher's over a channel of its own; give its code, ``None`` if none came."""
        # As the command's own user: in a sandbox whose user is not root, root may have no right to signal others.
        user = self.command.user
        channel = await retrying(
            self.provider.world,
            lambda: self.provider.open_channel(self.sandbox_id, BOOTSTRAP, user=user, urgent=True, until=until),
            until=until,
        )
        scanner = RecordScanner(report.token)
        rest = memoryview(frame(script))
        try:
            while True:
                turn = await channel.exchange(rest, until=until)
                rest = rest[turn.sent :]
                for chunk in turn.chunks:
                    if chunk.stream != STDOUT:
                        continue
                    for record in scanner.feed(chunk.data)[1]:
                        return int(record.fields[0])
                if turn.closed or (until is not None and self.provider.world.now() >= until):
                    return None
        finally:
            await channel.close()

    async def abandon(self) -> None:
        """End what was started of it, and let go."""
        try:
            await self.kill(until=self.provider.world.now() + ABANDON_LIMIT)
        finally:
            await self.close()

    async def close(self) -> None:
        await self.channel.close()


async def launch(
    provider: ProviderBase, sandbox_id: str, command: Command, *, until: float | None
) -> LaunchedProcess:
    """Open a channel and send the command's script."""
    world = provider.world
    # Opening may be repeated: the bootstrap does nothing without its script.
    channel = await retrying(
        world,
        lambda: provider.open_channel(sandbox_id, BOOTSTRAP, user=command.user, urgent=False, until=until),
        until=until,
    )
    process = LaunchedProcess(provider, sandbox_id, command, channel)
    try:
        await process.send_script(until=until)
    except BaseException:
        await world.protect(process.abandon(), until=world.now() + ABANDON_LIMIT)
        raise
    return process
