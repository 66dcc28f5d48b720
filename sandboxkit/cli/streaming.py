"""A command's streams, as they come: its output to ours, our input to its."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from sandboxkit.cli.descriptors import STDIN
from sandboxkit.cli.entry import PIPE_CLOSED
from sandboxkit.cli.interruption import Interruption
from sandboxkit.errors import SandboxError
from sandboxkit.process import AsyncProcess

PIECE = 1 << 16


def has_input() -> bool:
    """Tell whether stdin is anything to pass on: not a terminal, not /dev/null, which stands for a closed one too."""
    mine = os.fstat(STDIN)
    return not (stat.S_ISCHR(mine.st_mode) and (os.isatty(STDIN) or mine.st_rdev == Path(os.devnull).stat().st_rdev))


async def follow(process: AsyncProcess, interruption: Interruption, *, stdin: bool) -> int:
    """Pass everything on until the command ends; give its exit code, 141 when nobody reads its output any more."""
    feeding = asyncio.create_task(_feed(process)) if stdin else None
    try:
        async for chunk in process:
            await put(interruption, chunk.stream, chunk.data)
    except BrokenPipeError:
        return PIPE_CLOSED
    finally:
        if feeding is not None:
            feeding.cancel()
            await asyncio.wait({feeding})
    assert process.exit_code is not None  # iteration ends with a code or an error
    return process.exit_code


async def put(interruption: Interruption, fd: int, data: bytes) -> None:
    """Write all of it, however long that takes."""
    rest = memoryview(data)
    while rest:
        try:
            written = interruption.write(fd, rest)
            rest = rest[written:]
            if not written:
                await asyncio.sleep(0)  # where the cancellation arrives
        except BlockingIOError:  # whoever shares the descriptor has set it so
            await _wait(asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer, fd)


async def _feed(process: AsyncProcess) -> None:
    try:
        async for data in read_input():
            await process.write(data)
        await process.close_stdin()
    except (BrokenPipeError, SandboxError):
        return  # it reads no more, or has ended; iteration tells which


async def read_input() -> AsyncIterator[bytes]:
    """Give what comes on stdin, as it comes."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(PermissionError):  # epoll knows no regular files: they can always be read
            await _wait(loop.add_reader, loop.remove_reader, STDIN)
        try:
            data = os.read(STDIN, PIECE)
        except BlockingIOError:
            continue
        if not data:
            return
        yield data


async def _wait(add: Callable[..., object], remove: Callable[[int], object], fd: int) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)
