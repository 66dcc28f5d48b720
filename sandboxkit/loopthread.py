"""A thread with an event loop, on which blocking callers have coroutines run to their end."""

from __future__ import annotations

import asyncio
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

import attrs

from sandboxkit.errors import ProviderError
from sandboxkit.interrupts import interrupts_held

T = TypeVar("T")

LOOK = 0.25
"""Seconds after which a caller looks whether it was interrupted."""

CANCEL_LIMIT = 10.0
"""Seconds that what is interrupted may take to clean up."""

STOP_LIMIT = 5.0
"""Seconds that the thread may take to end."""

Undo = Callable[[T], Coroutine[Any, Any, object]]


@attrs.define(eq=False)
class _Call(Generic[T]):
    """One coroutine, which its caller may give up: then what it returns after all is undone."""

    coroutine: Coroutine[Any, Any, T]
    undo: Undo[T] | None
    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    given_up: bool = attrs.field(default=False, init=False)
    begun: bool = attrs.field(default=False, init=False)
    task: asyncio.Task[None] | None = attrs.field(default=None, init=False)
    _error: BaseException | None = attrs.field(default=None, init=False)
    _result: list[T] = attrs.field(factory=list, init=False)

    def start(self) -> None:
        """On the loop: begin."""
        self.task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        try:
            if self.given_up:
                self.coroutine.close()
                return
            self.begun = True
            self._result.append(await self.coroutine)
            if self.given_up:
                await self._take_back()
        except BaseException as exc:  # noqa: BLE001 - it is raised where the result is waited for
            self._error = exc
        finally:
            self.done.set()

    async def _take_back(self) -> None:
        if self.undo is not None:
            await self.undo(self._result[0])

    def give_up(self) -> None:
        """On the loop: end it where it waits, or undo what it has done."""
        self.given_up = True
        if self.done.is_set():
            if self._result:
                self.done.clear()
                self.task = asyncio.get_running_loop().create_task(self._undo_late())
        elif self.task is None:
            self.coroutine.close()
            self.done.set()
        elif self.begun:
            # A task that is cancelled before its first step would never say that it is done.
            self.task.cancel()

    async def _undo_late(self) -> None:
        try:
            await self._take_back()
        finally:
            self.done.set()

    def result(self) -> T:
        """Give what it returned or raise what it raised."""
        if isinstance(self._error, asyncio.CancelledError):
            raise ProviderError("the client was closed meanwhile")
        if self._error is not None:
            raise self._error
        return self._result[0]


class LoopThread:
    """The thread; it begins with the first call and ends with :meth:`close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._process = os.getpid()
        self._stop: weakref.finalize[..., LoopThread] | None = None

    def run(self, coroutine: Coroutine[Any, Any, T], *, undo: Undo[T] | None = None) -> T:
        """Run a coroutine to its end, from any thread but this.

        Ctrl-C cancels it, waits until it has cleaned up, and goes on. ``undo`` gets what it returned nevertheless.
        """
        call = _Call(coroutine, undo)
        loop = None
        try:
            with self._lock:
                loop = self._running()
                # Within the lock: what is asked for before the end is begun before the end.
                loop.call_soon_threadsafe(call.start)
            # In slices: a signal that comes just before a thread begins to wait for a lock does not wake it.
            while not call.done.wait(LOOK):
                continue
        except BaseException:
            if loop is None:
                coroutine.close()
                raise
            # It may have begun, wherever the interrupt came, so only the loop may touch it.
            with interrupts_held():
                loop.call_soon_threadsafe(call.give_up)
                self._settle(loop, call)
            raise
        return call.result()

    @staticmethod
    def _settle(loop: asyncio.AbstractEventLoop, call: _Call[Any]) -> None:
        # Asked twice: it may have returned just before it was cancelled, and is being undone now.
        settled = threading.Event()
        call.done.wait(CANCEL_LIMIT)
        loop.call_soon_threadsafe(settled.set)
        settled.wait(CANCEL_LIMIT)
        call.done.wait(CANCEL_LIMIT)

    def _running(self) -> asyncio.AbstractEventLoop:
        if os.getpid() != self._process:
            raise ProviderError("this client's loop stayed in the process that it was forked from; connect again")
        if self._closed:
            raise ProviderError("the client is closed")
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_serve, args=(self._loop,), name="sandboxkit-loop", daemon=True)
            thread.start()
            self._stop = weakref.finalize(self, _end, self._loop, thread)
        return self._loop

    def close(self) -> None:
        """End the loop, with whatever still runs on it, and the thread; safe to repeat."""
        with self._lock:
            self._closed = True
        if self._stop is not None and os.getpid() == self._process:
            self._stop()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():
            thread.join(STOP_LIMIT)
