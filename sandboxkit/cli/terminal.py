"""This terminal for a process's: keys go there as they are, its output comes here, and sizes stay the same."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

from sandboxkit.cli.descriptors import STDIN, STDOUT
from sandboxkit.cli.interruption import Interruption
from sandboxkit.cli.streaming import put, read_input
from sandboxkit.errors import SandboxError
from sandboxkit.model import TerminalSize
from sandboxkit.process import AsyncProcess

_UNDO = b"\x1b[?1047l\x1b[?1l\x1b>\x1b[?25h\x1b[?1000;1002;1003;1006l\x1b[?2004l\x1b[m\r\n"
"""What a full-screen program that could not tidy up left on: the second screen, keys, mouse, pasting, colours."""


def has_terminal() -> bool:
    """Tell whether stdin and stdout are a terminal."""
    return os.isatty(STDIN) and os.isatty(STDOUT)


def terminal_size() -> TerminalSize:
    """Give this terminal's size; the usual one where it does not say."""
    try:
        size = os.get_terminal_size(STDIN)
    except OSError:
        return TerminalSize()
    return TerminalSize(size.lines or 24, size.columns or 80)


async def interact(process: AsyncProcess, interruption: Interruption) -> int:
    """Be the terminal of a process until it ends; give its exit code.

    Ctrl-C and the like are the process's. The terminal is as it was before when this returns or raises, whatever
    ended it: an error, a signal, a lost connection.
    """
    with raw():
        try:
            return await _pass_on(process, interruption)
        except BaseException:
            with contextlib.suppress(OSError):
                os.write(STDOUT, _UNDO)
            raise


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Have this terminal pass every key on as it is, and put it back as it was."""
    import termios
    import tty

    before = termios.tcgetattr(STDIN)
    try:
        tty.setraw(STDIN, termios.TCSADRAIN)
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


async def _pass_on(process: AsyncProcess, interruption: Interruption) -> int:
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()
    changed.set()  # it may have changed since the process was started
    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    beside = [asyncio.create_task(_type(process)), asyncio.create_task(_resize(process, changed))]
    try:
        async for chunk in process:
            await put(interruption, STDOUT, chunk.data)
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
    assert process.exit_code is not None  # iteration ends with a code or an error
    return process.exit_code


async def _type(process: AsyncProcess) -> None:
    """Pass keys on; where no more can come, the process is ended as by a hang-up."""
    with contextlib.suppress(BrokenPipeError, SandboxError):  # it has ended: iteration tells how
        with contextlib.suppress(OSError):  # EIO: this terminal is gone
            async for data in read_input():
                await process.write(data)
        await process.signal(signal.SIGHUP)


async def _resize(process: AsyncProcess, changed: asyncio.Event) -> None:
    while True:
        await changed.wait()
        changed.clear()
        size = terminal_size()
        with contextlib.suppress(SandboxError):  # a size that does not arrive ends nothing
            await process.resize(size.rows, size.columns)
