"""Ctrl-C that comes while something is being cleaned up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Hold the first Ctrl-C back until the block has ended, then let it do what it does; a second one goes through.

    Only the main thread gets it, and only there is anything held.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    held: list[FrameType | None] = []

    def hold(number: int, frame: FrameType | None) -> None:
        if held:
            # Whoever presses twice does not want to wait; what is left then is the deadline's and gc's.
            before(number, frame)
        held.append(frame)

    signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if len(held) == 1:
            before(signal.SIGINT, held[0])
