"""A command on a terminal in a local sandbox: its user's side is in this process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import termios

import attrs

from sandboxkit.model import STDOUT, Chunk, TerminalSize
from sandboxkit_local.process import PIECE, LocalProcess


@attrs.define(eq=False)
class LocalTerminal(LocalProcess):
    """See :class:`~sandboxkit.provider.TerminalChannel`. The kernel hangs up when this process lets go of it."""

    def _expected(self) -> int:
        return 2

    def _take_ends(self, ends: tuple[int, ...]) -> None:
        self._ends = ends[:1]
        self._outputs = {STDOUT: ends[0]}
        self._input = ends[1]

    def _count_left(self) -> None:
        """Leave it: how much is on its way a terminal cannot say, but nothing comes after the command's end."""

    def _read(self) -> tuple[Chunk, ...]:
        if STDOUT not in self._outputs:
            return ()
        ended = self._end is not None
        data = b""
        try:
            # A terminal gives 4 KiB at most.
            while len(data) < PIECE:
                data += os.read(self._outputs[STDOUT], PIECE)
        except BlockingIOError:
            pass  # the kernel has looked for what was written before it says so
        except OSError:
            ended = True  # EIO: nobody has the other side
        if ended and len(data) < PIECE:
            del self._outputs[STDOUT]
        return (Chunk(STDOUT, data),) if data else ()

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        with self._lock:
            if self._ends and not self._closing:
                with contextlib.suppress(OSError):
                    fcntl.ioctl(self._ends[0], termios.TIOCSWINSZ, struct.pack("4H", size.rows, size.columns, 0, 0))
