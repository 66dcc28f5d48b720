"""SIGINT, SIGTERM and SIGHUP: the first one cancels what runs, so that it cleans up; more of them change nothing."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from types import FrameType
from typing import Any

import attrs

from sandboxkit.cli.entry import say

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")


@attrs.define(eq=False)
class Interruption:
    """What a signal does to the one task of this process."""

    number: int | None = attrs.field(default=None, init=False)
    """The first signal that came."""
    _task: asyncio.Task[int] | None = attrs.field(default=None, init=False)
    _told: bool = attrs.field(default=False, init=False)
    _writing: bool = attrs.field(default=False, init=False)

    def run(self, work: Callable[[Interruption], Coroutine[Any, Any, int]]) -> int:
        """Run ``work`` to its end under asyncio; give its exit code, or 128+n for the signal that cancelled it.

        A cancellation arrives only where the work awaits, never between a sandbox's creation and the note of it:
        that is why this is no KeyboardInterrupt. The handlers stay until the process ends.
        """
        for name in _SIGNALS:
            number = getattr(signal, name, None)
            # Ignored by whoever started this (nohup, a shell's background job): so it stays.
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._handle)
        try:
            return asyncio.run(self._run(work))
        except asyncio.CancelledError:
            if self.number is None:
                raise
            return 128 + self.number

    async def _run(self, work: Callable[[Interruption], Coroutine[Any, Any, int]]) -> int:
        self._task = asyncio.current_task()
        return await work(self)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is not None:
            if not self._told:
                self._told = True
                say("cleaning up; this ends by itself")
            return
        self.number = number
        if self._task is None:
            raise SystemExit(128 + number)  # nothing was made yet
        if self._writing:
            # Python goes on with an interrupted write: only an exception from here ends one that nobody reads.
            raise asyncio.CancelledError
        self._task.get_loop().call_soon_threadsafe(self._task.cancel)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Write to a descriptor, for as long as it takes, unless a signal comes; 0 if one came before."""
        self._writing = True
        try:
            return os.write(fd, data) if self.number is None else 0
        finally:
            self._writing = False
