"""One thing at a time: a new walk begins when the one before has ended, which it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

Walk = Callable[[], Coroutine[Any, Any, None]]


class Walks:
    """Runs them. ``failed`` is told of one that raises."""

    def __init__(self, failed: Callable[[Exception], None]) -> None:
        self._failed = failed
        # More than one while older ones unwind: what they were making is there or undone before the newest begins.
        self._tasks: set[asyncio.Task[None]] = set()
        self._newest: asyncio.Task[None] | None = None

    def begin(self, walk: Walk) -> None:
        """End what goes on, then do this."""
        others = self._cancel()
        self._newest = task = asyncio.get_running_loop().create_task(self._after(others, walk))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def is_newest(self) -> bool:
        """Whether the walk that asks has not been superseded."""
        return asyncio.current_task() is self._newest

    async def end(self) -> None:
        """End what goes on, and wait for that."""
        self._newest = None
        await _ends(self._cancel())

    def _cancel(self) -> tuple[asyncio.Task[None], ...]:
        tasks = tuple(self._tasks)
        for task in tasks:
            if not task.cancelling():  # a second time would interrupt what it does to end
                task.cancel()
        return tasks

    async def _after(self, others: Iterable[asyncio.Task[None]], walk: Walk) -> None:
        await _ends(others)
        try:
            await walk()
        except Exception as exc:  # noqa: BLE001 - a walk's author sees it in the log
            self._failed(exc)


async def _ends(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for the ends of tasks, also if this is cancelled meanwhile."""
    cancelled = False
    while left := [task for task in tasks if not task.done()]:
        try:
            await asyncio.wait(left)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
