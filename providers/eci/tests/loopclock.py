"""A loop's clock that a test moves, so that no time of this machine's decides what a loop does after many seconds."""

from __future__ import annotations

import asyncio

import attrs


@attrs.define(eq=False)
class LoopClock:
    """Makes a loop take its time for later than it is; what is due by then happens at once."""

    loop: asyncio.AbstractEventLoop
    moved: float = attrs.field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        real = self.loop.time
        self.loop.time = lambda: real() + self.moved  # type: ignore[method-assign]

    def forward(self, seconds: float) -> None:
        """Let so much time have passed; from any thread."""
        self.moved += seconds
        self.loop.call_soon_threadsafe(lambda: None)  # one that waits does so for as long as it was before
