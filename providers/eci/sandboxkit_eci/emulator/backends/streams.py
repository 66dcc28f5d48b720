"""A process of a sandbox as a :class:`~sandboxkit_eci.emulator.backend.Stream`."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import attrs

from sandboxkit.errors import SandboxError
from sandboxkit.log import logger
from sandboxkit.model import TerminalSize
from sandboxkit.provider import ProcessChannel, TerminalChannel, World

KILL_LIMIT = 5.0
"""Seconds that ending a process's tree may take."""


@attrs.define(eq=False)
class ProcessStream:
    """See :class:`~sandboxkit_eci.emulator.backend.Stream`.

    Nothing is set aside: the process writes as fast as its output is iterated over.
    """

    _channel: ProcessChannel
    _world: World
    _forget: Callable[[ProcessStream], None]
    """Called when nothing is left to be closed."""
    _terminal: TerminalChannel | None = None
    """The same channel, if it is a terminal's."""
    _ready: deque[tuple[int, bytes]] = attrs.field(factory=deque, init=False)
    _ended: bool = attrs.field(default=False, init=False)
    _draining: asyncio.Task[None] | None = attrs.field(default=None, init=False)

    @property
    def exit_code(self) -> int | None:
        report = self._channel.report
        return None if report is None else report.exit_code

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            await self._receive()
        return self._ready.popleft()

    async def _receive(self) -> None:
        try:
            turn = await self._channel.exchange()
        except SandboxError as exc:
            # The sandbox was removed, or its process 1 was killed: its processes are gone as well.
            logger.debug("a process of the emulator's can be followed no further: %s", exc)
            await self._end()
            return
        self._ready.extend((chunk.stream, chunk.data) for chunk in turn.chunks)
        if turn.closed or self._channel.report is not None:
            await self._end()

    async def _end(self) -> None:
        if not self._ended:
            self._ended = True
            self._forget(self)
            await self._channel.close()

    async def write(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and not self._ended:
            try:
                turn = await self._channel.exchange(rest, receive=False)
            except SandboxError:
                return
            if turn.closed:
                return
            rest = rest[turn.sent :]

    async def resize(self, rows: int, columns: int) -> None:
        if self._terminal is not None and not self._ended:
            with suppress(SandboxError):
                await self._terminal.resize(TerminalSize(rows, columns))

    async def kill(self) -> None:
        if not self._ended:
            await self._channel.kill(until=self._world.now() + KILL_LIMIT)

    async def close(self, *, end_input: bool = True) -> None:
        if self._ended:
            return
        if end_input:
            await self.abandon()
        elif self._draining is None:
            # Only the provider's own end of the channel keeps the process's input open.
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        async for _ in self:
            pass

    async def abandon(self) -> None:
        """Let go of the channel, whatever becomes of the process."""
        if self._draining is not None:
            self._draining.cancel()
            await asyncio.gather(self._draining, return_exceptions=True)
        await self._end()
