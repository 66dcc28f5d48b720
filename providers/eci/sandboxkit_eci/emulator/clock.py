"""Time: what the service takes its time for is scaled, what a user asked for in seconds is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Protocol


class Timer(Protocol):
    """Something that will happen."""

    def cancel(self) -> None:
        """Keep it from happening."""
        ...


class Clock:
    """The wall clock of a running loop.

    ``scale`` is for delays that are the service's own, such as scheduling: 0.1 is ten times as fast, 0 is at once.
    Deadlines, rate limits and lifetimes of addresses keep to real seconds: clients count those themselves.
    """

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def now(self) -> float:
        """Give seconds since the epoch."""
        return time.time()

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call something after so many real seconds."""
        return asyncio.get_running_loop().call_later(max(0.0, seconds), call)

    async def sleep(self, seconds: float) -> None:
        """Wait so many real seconds."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done = asyncio.get_running_loop().create_future()
        timer = self.later(seconds, lambda: None if done.done() else done.set_result(None))
        try:
            await done
        finally:
            timer.cancel()

    async def delay(self, seconds: float, *, least: float = 0.0) -> None:
        """Take as long as the service takes: scaled, and never under ``least`` real seconds."""
        await self.sleep(max(least, seconds * self.scale))


def timestamp(moment: float | None) -> str:
    """Write a moment as the API does, in UTC to the second; one that does not apply is an empty string."""
    if moment is None:
        return ""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
