"""How long a loop's callbacks take, while which nothing else in the loop can go on."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import attrs


@attrs.define
class Callbacks:
    """The longest callback of a loop, by the thread's own time: others may be busy."""

    longest: float = 0.0
    collecting: float = 0.0
    """How much of the longest was the garbage collector, which may run anywhere."""
    longest_without: float = 0.0
    """The longest without the collector."""
    name: str = ""
    """Which that was."""
    _thread: int = attrs.field(factory=threading.get_ident)
    _began: float = 0.0
    _collected: float = 0.0

    def collector(self, phase: str, info: dict[str, int]) -> None:
        """Count the time of a collection in the loop's thread."""
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._began = time.thread_time()
        else:
            self._collected += time.thread_time() - self._began

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure every callback, tasks' steps included, while the block lasts."""
        original = asyncio.Handle._run

        def run(handle: asyncio.Handle) -> None:
            self._collected, began = 0.0, time.thread_time()
            original(handle)
            took = time.thread_time() - began
            if took > self.longest:
                self.longest, self.collecting = took, self._collected
            if took - self._collected > self.longest_without:
                self.longest_without, self.name = took - self._collected, name_of(handle)

        asyncio.Handle._run = run  # type: ignore[method-assign, assignment]
        gc.callbacks.append(self.collector)
        try:
            yield
        finally:
            gc.callbacks.remove(self.collector)
            asyncio.Handle._run = original  # type: ignore[method-assign]


def name_of(handle: asyncio.Handle) -> str:
    """Say what a callback was: of a task that goes on, the task's coroutine."""
    task = getattr(handle._callback, "__self__", None)  # type: ignore[attr-defined]
    return f"a step of {task.get_coro()!r}" if isinstance(task, asyncio.Task) else repr(handle)
