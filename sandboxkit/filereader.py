"""Reading a file as a stream, in bounded memory."""

from __future__ import annotations

from collections import deque
from io import BytesIO
from typing import Self

import attrs

from sandboxkit.errors import InvalidRequest
from sandboxkit.fileprograms import READ
from sandboxkit.paths import tool_argument
from sandboxkit.programs import PATIENCE, Program, failure, start_program
from sandboxkit.provider import SandboxProvider


@attrs.define(eq=False)
class ShellReader:
    """See :class:`~sandboxkit.provider.FileReader`. The sandbox sends only as fast as it is read."""

    provider: SandboxProvider = attrs.field(repr=False)
    sandbox_id: str
    path: bytes
    offset: int = 0
    length: int | None = None
    limit: int | None = None
    patience: float = PATIENCE
    _program: Program | None = attrs.field(default=None, init=False, repr=False)
    _opened: bool = attrs.field(default=False, init=False)
    _waiting: deque[bytes] = attrs.field(factory=deque, init=False, repr=False)

    async def __aenter__(self) -> Self:
        """Open the file: what is wrong with the path shows here."""
        if self._program is not None:
            raise InvalidRequest("a reader is entered once; open_read gives another")
        numbers = (self.offset, self.length, self.limit)
        args = (tool_argument(self.path), *(b"" if n is None else b"%d" % n for n in numbers))
        self._program = await start_program(
            self.provider, self.sandbox_id, "read", READ, args, patience=self.patience
        )
        try:
            while not self._opened and await self._more():
                pass
        except BaseException:
            await self._program.close()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._waiting.clear()
        if self._program is not None:
            await self._program.close()

    def _take(self, data: bytes) -> None:
        if not self._opened:
            # The first byte says that the file is open, before there is anything to read in it.
            self._opened, data = True, data[1:]
        if data:
            self._waiting.append(data)

    async def _more(self) -> bool:
        """Receive some; ``False`` at the end of the file."""
        program = self._program
        if program is None or program.closed:
            raise InvalidRequest("the reader is not open; use it in its 'async with' (or 'with') block")
        if not program.ended:
            await program.turn(sink=self._take)
            return True
        error = failure(program, self.path, self.limit)
        if error is not None:
            raise error
        return False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give the next piece, of any size but empty, as it arrived."""
        while not self._waiting:
            if not await self._more():
                raise StopAsyncIteration
        return self._waiting.popleft()

    async def read(self, size: int = -1) -> bytes:
        """Give exactly ``size`` bytes, fewer only at the end of the file; all that is left for -1."""
        content = BytesIO()
        left = size
        while left and (self._waiting or await self._more()):
            if not self._waiting:
                continue
            piece = self._waiting.popleft()
            if 0 <= left < len(piece):
                self._waiting.appendleft(piece[left:])
                piece = piece[:left]
            content.write(piece)
            left -= len(piece) if size >= 0 else 0
        return content.getvalue()
