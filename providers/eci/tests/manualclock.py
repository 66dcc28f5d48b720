"""A clock that the test moves."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable

import attrs
from sandboxkit_eci.emulator.clock import Clock


@attrs.define(eq=False)
class _Timer:
    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.time = 1_000_000.0
        self._timers: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, call: Callable[[], None]) -> _Timer:
        timer = _Timer(call)
        heapq.heappush(self._timers, (self.time + max(0.0, seconds), id(timer), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let so much time pass; everything that is due happens in turn."""
        end = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self.time, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()
            await settle()
        self.time = end
        await settle()


async def settle() -> None:
    """Let everything happen that waits for nothing but the loop."""
    for _ in range(50):
        await asyncio.sleep(0)
