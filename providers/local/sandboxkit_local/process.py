"""A command in a local sandbox: real pipes to it, and PID 1's word for how it ended."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import secrets
import signal
import termios
import threading
from typing import Literal, TypeVar, cast

import attrs

from sandboxkit.errors import NoCapacity, SandboxError
from sandboxkit.model import STDERR, STDOUT, Chunk, Command, Stream, TerminalSize
from sandboxkit.provider import Exchange, Report, World
from sandboxkit_local.connection import Connection, connect
from sandboxkit_local.marks import mark_of
from sandboxkit_local.request import make_request
from sandboxkit_local.state import State
from sandboxkit_local.wire import MAX_FRAME, frame

P = TypeVar("P", bound="LocalProcess")

PIECE = 1 << 16
"""Bytes that one turn reads or writes of a stream: what a pipe holds; asking for more costs memory for nothing."""

UNACKNOWLEDGED_PAUSE = 0.01

TIDY_LIMIT = 0.3
"""Seconds that a command whose start was interrupted has to end by itself."""

KILL_LIMIT = 3.4
"""Seconds that ending it for certain may take."""


@attrs.define(eq=False)
class LocalProcess:
    """See :class:`~sandboxkit.provider.ProcessChannel`.

    One connection to PID 1 lasts as long as the client follows the command; kills and signals travel over others,
    and name the command by its mark, so they work whatever has become of this one.
    """

    _world: World
    _state: State
    sandbox_id: str
    _stdin: Literal["none", "known", "stream", "raw"]
    _stdin_left: int
    mark: int = attrs.field(init=False, repr=False)
    started: bool | None = attrs.field(default=False, init=False)
    report: Report | None = attrs.field(default=None, init=False)
    _connection: Connection | None = attrs.field(default=None, init=False, repr=False)
    _outputs: dict[Stream, int] = attrs.field(factory=dict, init=False, repr=False)
    _left: dict[Stream, int] | None = attrs.field(default=None, init=False, repr=False)
    _ends: tuple[int, ...] = attrs.field(default=(), init=False, repr=False)
    _input: int = attrs.field(default=-1, init=False, repr=False)
    _end: Report | None = attrs.field(default=None, init=False, repr=False)
    _said_closed: bool = attrs.field(default=False, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    _waiting: int = attrs.field(default=0, init=False)
    _closing: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self.mark = mark_of(self.sandbox_id, secrets.randbits(32))

    # -- its start ------------------------------------------------------------------------------------------------

    async def start(self, request: bytes, text: int | None, *, until: float | None) -> None:
        """Send the request and wait for PID 1 to have started it."""
        self._connection = await connect(self._world, self._state, self.sandbox_id, until=until)
        try:
            self.started = None
            sent = await self._connection.send(request, descriptors=() if text is None else (text,), until=until)
            if not sent:
                self.started = False  # PID 1 does nothing before it has the whole of a request
                self._connection.close()
                return
            await self._acknowledge(until)
        except BaseException:
            # It may run already, and nobody else will know of it.
            await self._world.protect(self._abandon(), until=self._world.now() + TIDY_LIMIT + KILL_LIMIT + 0.5)
            raise

    async def _abandon(self) -> None:
        """End what nobody will follow: asked first, since it may have something to tidy up, then for certain."""
        soon = self._world.now() + TIDY_LIMIT
        with contextlib.suppress(SandboxError):
            await self._ask((b"signal", b"%d" % self.mark, b"%d" % signal.SIGTERM), soon)
            while self._end is None and self._connection is not None and self._world.now() < soon:
                answer = await self._connection.answer(until=soon)
                if answer is None:
                    break
                self._note(answer)
        await self.kill(until=self._world.now() + KILL_LIMIT)
        await self.close()

    async def _acknowledge(self, until: float | None) -> None:
        assert self._connection is not None
        answer = await self._connection.answer(until=until)
        if answer is not None:
            self._note(answer)

    def _note(self, answer: list[bytes]) -> None:
        assert self._connection is not None
        word = answer[0]
        if word == b"started":
            self.started = True
            if len(self._connection.descriptors) != self._expected():
                # The kernel drops what the receiver has no room for.
                raise NoCapacity("this process has no file descriptor left for the command's streams")
            self._take_ends(tuple(self._connection.descriptors))
            self._connection.descriptors.clear()
        elif word == b"failed":
            self.started = False
            failure = cast("Literal['cwd', 'arguments', 'other']", answer[1].decode())
            self._end = Report(failure=failure, errno=int(answer[2]), message=answer[3].decode("utf-8", "replace"))
        elif word == b"exit":
            self._end = Report(exit_code=int(answer[1]))
        elif word == b"timeout":
            self._end = Report(timed_out=True, killed=answer[2] == b"1")
        if self._end is not None:
            self._count_left()

    def _expected(self) -> int:
        """Give how many descriptors come with the start."""
        return 2 if self._stdin == "none" else 3

    def _take_ends(self, ends: tuple[int, ...]) -> None:
        self._ends = ends[:2]
        self._outputs = {STDOUT: ends[0], STDERR: ends[1]}
        if len(ends) > 2:
            self._input = ends[2]
            if self._stdin == "known" and self._stdin_left == 0:
                self._close_input()

    def _count_left(self) -> None:
        self._left = {stream: _waiting(fd) for stream, fd in self._outputs.items()}

    # -- its streams ----------------------------------------------------------------------------------------------

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        await self._world.breathe()
        while True:
            turn = self._turn(outgoing, receive)
            if turn is not None:
                return turn
            if not await self._wait(bool(outgoing), receive, until):
                return Exchange()

    async def _wait(self, outgoing: bool, receive: bool, until: float | None) -> bool:
        """Wait until another turn may bring something; ``False`` at ``until``."""
        write = (self._input,) if outgoing and self._input >= 0 else ()
        read = []
        if receive and self._connection is not None:
            read = list(self._outputs.values())
            if not self._connection.ended:
                read.append(self._connection.fd)
        if read or write:
            with self._lock:
                self._waiting += 1
            try:
                readable, writable = await self._world.ready(read=read, write=write, until=until)
            finally:
                with self._lock:
                    self._waiting -= 1
                    self._release()
            return bool(readable or writable)
        if until is not None and self._world.now() >= until:
            return False
        await self._world.sleep(UNACKNOWLEDGED_PAUSE)
        return True

    def _turn(self, outgoing: bytes | memoryview, receive: bool) -> Exchange | None:
        """Do what can be done without waiting; ``None`` if that is nothing."""
        sent = self._send(outgoing) if outgoing else 0
        if not receive:
            return Exchange(sent) if sent else None
        self._take_answer()
        chunks = self._read()
        closed = self._is_over() and not self._said_closed
        if closed:
            self._said_closed = True
            self.report = self._end
        if self._said_closed and not closed:
            return Exchange(sent, chunks, closed=True)
        return Exchange(sent, chunks, closed) if sent or chunks or closed else None

    def _take_answer(self) -> None:
        if self._connection is None or self._end is not None:
            return
        answer = self._connection.receive()
        if answer is not None:
            self._note(answer)

    def _read(self) -> tuple[Chunk, ...]:
        chunks = []
        for stream, fd in list(self._outputs.items()):
            size = PIECE if self._left is None else min(PIECE, self._left[stream])
            try:
                data = os.read(fd, size) if size else b""
            except BlockingIOError:
                if self._left is None:
                    continue
                data = b""
            if data:
                chunks.append(Chunk(stream, data))
                if self._left is not None:
                    self._left[stream] -= len(data)
            if not data or (self._left is not None and not self._left[stream]):
                # At its end, or all that the command wrote was taken; closed only with the channel.
                del self._outputs[stream]
        return tuple(chunks)

    def _is_over(self) -> bool:
        if self._outputs or self._connection is None:
            return self._connection is None
        return self._end is not None or self._connection.ended

    def _send(self, outgoing: bytes | memoryview) -> int:
        if self._input < 0:
            # Before the start there is nowhere to write; after its end nobody reads.
            return len(outgoing) if self.started is not None else 0
        try:
            sent = os.write(self._input, memoryview(outgoing)[:PIECE])
        except BlockingIOError:
            return 0
        except OSError:
            sent = len(outgoing)  # it closed its stdin, as it may: what it does not want is dropped
            self._close_input()
        if self._stdin == "known":
            self._stdin_left -= sent
            if self._stdin_left <= 0:
                self._close_input()
        return sent

    def _close_input(self) -> None:
        fd, self._input = self._input, -1
        if fd >= 0:
            os.close(fd)

    async def close_stdin(self, *, until: float | None = None) -> None:
        if self._stdin == "stream":
            self._close_input()

    # -- its end --------------------------------------------------------------------------------------------------

    async def signal(self, number: int, *, until: float | None = None) -> None:
        if self.report is None and self.started:
            await self._ask((b"signal", b"%d" % self.mark, b"%d" % number), until)

    async def kill(self, *, until: float) -> bool | None:
        if self.started is False:
            return True
        seconds = max(0.05, until - self._world.now() - 0.1)
        try:
            answer = await self._ask((b"kill", b"%d" % self.mark, b"%.3f" % seconds), until)
        except LookupError:
            return True  # the sandbox is gone, and everything in it
        except SandboxError as exc:
            return True if getattr(exc, "status", "") in ("stopped", "failed") else None
        if answer is None:
            return None
        return answer[1] == b"1"

    async def _ask(self, words: tuple[bytes, ...], until: float | None) -> list[bytes] | None:
        connection = await connect(self._world, self._state, self.sandbox_id, until=until)
        try:
            if not await connection.send(frame(*words), until=until):
                return None
            return await connection.answer(until=until)
        finally:
            connection.close()

    async def close(self) -> None:
        with self._lock:
            self._closing = True
            if self._connection is not None:
                self._connection.hang_up()  # wakes whoever still waits
            self._release()

    def _release(self) -> None:
        """Close the descriptors once nobody waits on them: a number that is free may be another's at once."""
        connection = self._connection
        if not self._closing or self._waiting or connection is None:
            return
        self._connection = None
        self._close_input()
        for fd in (*self._ends, *connection.descriptors):
            with contextlib.suppress(OSError):
                os.close(fd)
        self._outputs = {}
        connection.close()


def _waiting(fd: int) -> int:
    """Give the number of bytes in a pipe: at a command's end, everything that it wrote."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]


async def start(
    kind: type[P],
    world: World,
    state: State,
    sandbox_id: str,
    command: Command,
    size: TerminalSize | None = None,
    *,
    until: float | None,
) -> P:
    """Start a command, on a terminal if that has a size, and give its channel, which is of that kind."""
    process = kind(world, state, sandbox_id, command.stdin.kind, command.stdin.length)
    request, text = make_request(process.mark, command, size)
    try:
        if len(request) > MAX_FRAME:
            process.report = process._end = Report(failure="arguments", errno=7)
            return process
        await process.start(request, text, until=until)
    finally:
        if text is not None:
            os.close(text)
    return process
