"""A host shell whose channels can be terminals, so that the launcher on a terminal is tried in milliseconds."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

from sandboxkit.model import STDOUT, Capability, Chunk, Command, TerminalSize
from sandboxkit.provider import Exchange, World
from sandboxkit.terminals import LaunchedTerminal, launch_terminal
from tests.support.hostshell import HostShell

_LEADER = """\
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])"""


class TtyChannel:
    """The user's side of a terminal. As in Docker, the terminal outlives the channel."""

    def __init__(self, world: World, master: int) -> None:
        self.world = world
        self.master = master
        self.closed = False
        os.set_blocking(master, False)

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        await self.world.breathe()
        while True:
            sent, closed = 0, False
            chunks: tuple[Chunk, ...] = ()
            with contextlib.suppress(BlockingIOError):
                sent = os.write(self.master, outgoing) if outgoing else 0
            try:
                data = os.read(self.master, 65536) if receive else b""
                chunks = (Chunk(STDOUT, data),) if data else ()
            except OSError as exc:
                closed = not isinstance(exc, BlockingIOError)
            if sent or chunks or closed:
                return Exchange(sent, chunks, closed)
            found = await self.world.ready(
                read=[self.master] if receive else [], write=[self.master] if outgoing else [], until=until
            )
            if not any(found):
                return Exchange()

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", size.rows, size.columns, 0, 0))

    async def close(self) -> None:
        self.closed = True


class HostTerminal(HostShell):
    """See :class:`~tests.support.hostshell.HostShell`; this one declares ``pty``."""

    def __init__(self, world: World, shell: tuple[str, ...] = ("/bin/sh",), path: str | None = None) -> None:
        super().__init__(world, shell, path)
        self.masters: list[int] = []
        self.channels: list[TtyChannel] = []

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return {**super().capabilities, "pty": Capability(True)}

    async def open_terminal(self, argv: tuple[str, ...]) -> TtyChannel:
        master, slave = os.openpty()
        self.masters.append(master)
        process = subprocess.Popen(  # noqa: ASYNC220 - a fork of this host, done in a moment
            [sys.executable, "-I", "-S", "-c", _LEADER, *self.shell, *argv[1:]],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={"PATH": self.path},
        )
        os.close(slave)
        self.processes.append(process)
        self.channels.append(TtyChannel(self.world, master))
        return self.channels[-1]

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> LaunchedTerminal:
        return await launch_terminal(self, self.open_terminal, sandbox_id, command, size, until=until)

    async def close(self) -> None:
        await super().close()
        for master in self.masters:
            os.close(master)
