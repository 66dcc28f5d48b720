"""Writing a file as a stream, in bounded memory, and whole or not at all."""

from __future__ import annotations

import secrets
from typing import Self

import attrs

from sandboxkit.errors import FileError, InvalidRequest
from sandboxkit.fileerrors import STOPPED, Complaint, file_error
from sandboxkit.fileprograms import DISCARD, WRITE, WRITE_IN_PLACE
from sandboxkit.paths import display, names_directory, tool_argument
from sandboxkit.programs import CLEANUP_LIMIT, PATIENCE, Program, failure, start_program, try_program
from sandboxkit.provider import SandboxProvider

FRAME = 1 << 19
"""Bytes that a writer gathers into one frame: each costs the sandbox a process."""

SMALL = 2048
"""Bytes that may come along with the program itself."""

JOINED = 1 << 16
"""Up to this many bytes, a frame's head and end are joined to it, for fewer messages of the backend's."""

LARGE_FRAME = 1 << 22
"""Bytes in one frame of what is known whole: few processes, and little to fill up when the write is given up."""

ABORT_LIMIT = 0.8
"""Seconds in which a program that was told to abort may clean up before it is killed."""

KILL_LIMIT = 2.4
"""Seconds that killing it may take, so that some are left to remove what it leaves behind."""

COMMIT = b"0\n"
ABORT = b"x\n"
"""No frame's head. Repeated, it fills up a frame that was begun, and what is too much says the same again."""


def temporary_name() -> bytes:
    """Make the name of a temporary file; nobody can guess it."""
    return b".sandboxkit-" + secrets.token_hex(8).encode()


@attrs.define(eq=False)
class ShellWriter:
    """See :class:`~sandboxkit.provider.FileWriter`.

    Whatever ends the block early leaves the file as it was, unless it is written in place.
    """

    provider: SandboxProvider = attrs.field(repr=False)
    sandbox_id: str
    path: bytes
    mode: int | None = None
    atomic: bool = True
    append: bool = False
    patience: float = PATIENCE
    mtime: int | None = None
    _program: Program | None = attrs.field(default=None, init=False, repr=False)
    _temporary: bytes = attrs.field(factory=temporary_name, init=False, repr=False)
    _opened: bool = attrs.field(default=False, init=False)
    _gathered: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _behind: int = attrs.field(default=0, init=False)
    _owed: int = attrs.field(default=0, init=False)

    @property
    def _doing(self) -> str:
        return "append to" if self.append else "write"

    async def __aenter__(self) -> Self:
        """Open the file: what is wrong with the path shows here."""
        program = await self._start()
        try:
            while not self._opened:
                if program.ended:
                    self._check(program)
                    break
                await program.turn(sink=self._take)
        except BaseException:
            await self._abandon(program)
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        program = self._program
        if program is None or program.closed:
            return
        if exc and exc[0] is not None:
            await self._abandon(program)
            return
        try:
            if self._owed:
                raise InvalidRequest(f"{self._owed} bytes that were announced were not written")
            await self._flush(program, COMMIT)
            await program.finish()
            self._check(program)
        except BaseException:
            await self._abandon(program)
            raise
        await program.close()

    async def announce(self, size: int) -> None:
        """Say how many bytes will come, for one frame: it costs the sandbox one process, however large it is."""
        program = self._program
        if program is None or program.closed or self._owed or self._gathered:
            raise InvalidRequest("a size is announced once, before anything is written, in the writer's block")
        if not size:
            return
        self._owed = self._behind = size
        try:
            await program.send(b"%d\n" % size)
        except BaseException:
            await self._abandon(program)
            raise

    async def _pay(self, program: Program, view: memoryview) -> None:
        """Send a part of what was announced."""
        if len(view) > self._owed:
            raise InvalidRequest("more is written than was announced")
        self._owed -= len(view)
        self._behind = self._owed
        await program.send(view)
        if program.ended:
            self._check(program)

    async def write(self, data: bytes | memoryview) -> None:
        """Send bytes; once an error was raised, or the block was left, nothing more can be written."""
        program = self._program
        if program is None or program.closed:
            raise InvalidRequest("the writer is not open; use it in its 'async with' (or 'with') block")
        view = memoryview(data).cast("B")
        try:
            if self._owed:
                await self._pay(program, view)
                return
            while view:
                if not self._gathered and len(view) >= FRAME:
                    await self._send_frame(program, view[:LARGE_FRAME])
                    view = view[LARGE_FRAME:]
                    continue
                room = FRAME - len(self._gathered)
                piece, view = view[:room], view[room:]
                self._gathered += piece
                if len(self._gathered) == FRAME:
                    await self._flush(program)
        except BaseException:
            await self._abandon(program)
            raise

    async def write_all(self, data: bytes | memoryview) -> None:
        """Write the whole file in one go, without a block, and without waiting for the file to open."""
        view = memoryview(data)
        program = await self._start(bytes(view) if len(view) <= SMALL else None)
        try:
            while len(view) > LARGE_FRAME:
                await self._send_frame(program, view[:LARGE_FRAME])
                view = view[LARGE_FRAME:]
            await self._send_frame(program, view, COMMIT)
            await program.finish()
            self._check(program)
        except BaseException:
            await self._abandon(program)
            raise
        await program.close()

    async def _start(self, content: bytes | None = None) -> Program:
        if self._program is not None:
            raise InvalidRequest("a writer is entered once; open_write gives another")
        if names_directory(self.path):
            raise file_error(self._doing, Complaint.of("EISDIR"), display(self.path))
        path = tool_argument(self.path)
        mode = b"" if self.mode is None else b"%o" % self.mode
        args: tuple[bytes, ...]
        if self.atomic and not self.append:
            mtime = b"" if self.mtime is None else b"%d" % self.mtime
            text, args = WRITE, (path, self._temporary, mode, mtime)
        else:
            text, args = WRITE_IN_PLACE, (path, mode, b"1" if self.append else b"")
        self._program = await start_program(
            self.provider,
            self.sandbox_id,
            self._doing,
            text,
            args,
            stdin="raw",
            content=content,
            patience=self.patience,
        )
        return self._program

    def _take(self, data: bytes) -> None:
        self._opened = self._opened or bool(data)

    def _check(self, program: Program) -> None:
        if program.exit_code == STOPPED:
            raise FileError(
                f"cannot {self._doing} {display(self.path)!r} in the sandbox: the channel lost a part of it",
                path=display(self.path),
            )
        error = failure(program, self.path)
        if error is not None:
            raise error

    async def _flush(self, program: Program, end: bytes = b"") -> None:
        data, self._gathered = self._gathered, bytearray()
        await self._send_frame(program, memoryview(data), end)

    async def _send_frame(self, program: Program, data: bytes | memoryview, end: bytes = b"") -> None:
        head = b"%d\n" % len(data) if len(data) else b""
        parts = [b"".join((head, data, end))] if len(data) <= JOINED else [head, data, end]
        self._behind = sum(map(len, parts))
        for part in parts:
            self._behind -= len(part)
            await program.send(part)
        if program.ended:
            self._check(program)

    async def _abandon(self, program: Program) -> None:
        """Give the write up: nothing is committed, and nothing of it is left."""
        if program.closed:
            return
        until = program.world.now() + CLEANUP_LIMIT
        await program.world.protect(self._undo(program, until), until=until)

    async def _undo(self, program: Program, until: float) -> None:
        # At most this is missing from a frame; a cancellation may have hidden that some of it went.
        missing = program.unsent + self._behind
        temporary = self.atomic and not self.append
        # What fills up a frame grows with it; a large one is not worth its while.
        if not program.ended and (temporary or not missing) and missing <= LARGE_FRAME:
            await program.ask_to_end(ABORT * (missing // len(ABORT) + 2), limit=ABORT_LIMIT)
        killed = not program.ended
        await program.end(until=min(until, program.world.now() + KILL_LIMIT))
        if killed and temporary:
            # A killed program leaves its temporary file.
            args = (tool_argument(self.path), self._temporary)
            await try_program(self.provider, self.sandbox_id, DISCARD, args, limit=until - program.world.now())
