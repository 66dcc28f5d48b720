"""The asyncio world: nothing blocks the loop; short blocking calls go to bounded pools of threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Literal, TypeVar

import attrs

from sandboxkit.errors import DeadlineExceeded

T = TypeVar("T")

CALLS = 32
"""Threads for short calls; made as needed, at most this many."""

URGENT_CALLS = 8
"""Threads for kills and clean-up, so that no number of slow calls starves a cancellation."""


@attrs.define(eq=False)
class _Call(Generic[T]):
    """One call in a thread, which its caller may give up on: then what it returns is undone."""

    function: Callable[..., T]
    args: tuple[Any, ...]
    undo: Callable[[T], object] | None
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)
    _abandoned: bool = attrs.field(default=False, init=False)
    _result: list[T] = attrs.field(factory=list, init=False)

    def __call__(self) -> T:
        result = self.function(*self.args)
        with self._lock:
            self._result.append(result)
            abandoned = self._abandoned
        if abandoned and self.undo is not None:
            self.undo(result)
        return result

    def abandon(self) -> None:
        """Give up; a result that is there already, unseen by the caller, is undone in a thread of the pool."""
        with self._lock:
            self._abandoned = True
            there = list(self._result)
        if there and self.undo is not None:
            threading.Thread(target=self.undo, args=there, name="sandboxkit-undo").start()


@attrs.define(eq=False)
class LoopEvent:
    """What happens once on a loop."""

    _happened: asyncio.Future[None]

    def set(self) -> None:
        if not self._happened.done():
            self._happened.set_result(None)

    async def wait(self, *, until: float | None) -> bool:
        limit = None if until is None else max(0.0, until - time.monotonic())
        await asyncio.wait({self._happened}, timeout=limit)
        return self._happened.done()


class AsyncioWorld:
    """See :class:`sandboxkit.provider.World`; belongs to the loop that it was first used on."""

    name: Literal["asyncio"] = "asyncio"

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pools: dict[bool, ThreadPoolExecutor] = {}
        self._beside: set[asyncio.Task[None]] = set()

    def now(self) -> float:
        return time.monotonic()

    def loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("an AsyncClient belongs to the event loop that it was first used on")
        return loop

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, seconds))

    def _pool(self, urgent: bool) -> ThreadPoolExecutor:
        if urgent not in self._pools:
            self._pools[urgent] = ThreadPoolExecutor(
                URGENT_CALLS if urgent else CALLS,
                thread_name_prefix="sandboxkit-urgent" if urgent else "sandboxkit-call",
            )
        return self._pools[urgent]

    async def call(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        until: float | None = None,
        undo: Callable[[T], object] | None = None,
        urgent: bool = False,
    ) -> T:
        self.loop()
        call = _Call(function, args, undo)
        submitted = self._pool(urgent).submit(call)
        waiter = asyncio.wrap_future(submitted)
        try:
            limit = None if until is None else max(0.0, until - self.now())
            done, _ = await asyncio.wait({waiter}, timeout=limit)
        except BaseException:
            self._give_up(call, submitted, waiter)
            raise
        if not done:
            self._give_up(call, submitted, waiter)
            raise DeadlineExceeded("the provider's call did not return within the operation's deadline")
        return waiter.result()

    @staticmethod
    def _give_up(call: _Call[Any], submitted: Future[Any], waiter: asyncio.Future[Any]) -> None:
        if not submitted.cancel():
            call.abandon()
            # Its error has no reader any more, and asyncio reports unread errors.
            waiter.cancel()

    async def ready(
        self, *, read: Collection[int] = (), write: Collection[int] = (), until: float | None = None
    ) -> tuple[frozenset[int], frozenset[int]]:
        loop = self.loop()
        readable: set[int] = set()
        writable: set[int] = set()
        woken = loop.create_future()

        def wake(found: set[int], fd: int) -> None:
            found.add(fd)
            if not woken.done():
                woken.set_result(None)

        timer = None
        if until is not None:
            timer = loop.call_later(
                max(0.0, until - self.now()), lambda: None if woken.done() else woken.set_result(None)
            )
        try:
            for fd in read:
                loop.add_reader(fd, wake, readable, fd)
            for fd in write:
                loop.add_writer(fd, wake, writable, fd)
            await woken
        finally:
            for fd in read:
                loop.remove_reader(fd)
            for fd in write:
                loop.remove_writer(fd)
            if timer is not None:
                timer.cancel()
        return frozenset(readable), frozenset(writable)

    async def breathe(self) -> None:
        await asyncio.sleep(0)

    async def protect(self, work: Coroutine[Any, Any, T], *, until: float) -> T | None:
        task = self.loop().create_task(work)
        cancelled = False
        while not task.done():
            left = until - self.now()
            if left <= 0:
                task.cancel()
                await asyncio.wait({task}, timeout=0.1)
                break
            try:
                await asyncio.wait({task}, timeout=left)
            except asyncio.CancelledError:
                cancelled = True
        # What goes wrong in the work comes first: it says what was left behind.
        result = task.result() if task.done() and not task.cancelled() else None
        if cancelled:
            raise asyncio.CancelledError  # delayed, not lost: the work may be part of what would go on otherwise
        return result

    def event(self) -> LoopEvent:
        return LoopEvent(self.loop().create_future())

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        loop = self.loop()

        def begin() -> None:
            task = loop.create_task(work())
            self._beside.add(task)
            task.add_done_callback(self._beside.discard)

        return loop.call_later(seconds, begin).cancel

    async def close(self) -> None:
        for task in self._beside:
            task.cancel()
        await asyncio.gather(*self._beside, return_exceptions=True)
        # Threads end with their calls, each at its own deadline; waiting for them would block the loop.
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
        self._pools.clear()
