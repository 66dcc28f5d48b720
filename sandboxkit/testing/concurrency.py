"""Doing two things at once, in tasks or in threads, and interrupting one."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import FrameType, TracebackType
from typing import Any, Generic, Protocol, TypeVar

from sandboxkit.driver import run_awaitable

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PATIENCE = 60.0
"""Seconds after which an operation that should have been interrupted is taken to hang."""


class Running(Protocol[T_co]):
    """An operation that runs beside the test."""

    async def finish(self) -> T_co:
        """Wait for its end; give its result or raise its error."""
        ...


class _Task(Generic[T]):
    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        async def call() -> T:
            return await operation()

        self._task = asyncio.get_running_loop().create_task(call())

    async def finish(self) -> T:
        return await self._task


class _Thread(Generic[T]):
    def __init__(self, operation: Callable[[], Awaitable[T]]) -> None:
        self._future: Future[T] = Future()

        def call() -> None:
            try:
                self._future.set_result(run_awaitable(operation()))
            except BaseException as exc:  # noqa: BLE001 - it is raised where the result is asked for
                self._future.set_exception(exc)

        self._thread = threading.Thread(target=call, name="contract")
        self._thread.start()

    async def finish(self) -> T:
        self._thread.join()
        return self._future.result()


class _Counted(Coroutine[Any, Any, T]):
    """A coroutine whose task is cancelled at its n-th suspension."""

    def __init__(self, inner: Coroutine[Any, Any, T], cancel_at: int) -> None:
        self.inner = inner
        self.cancel_at = cancel_at
        self.steps = 0

    def send(self, value: Any) -> Any:
        waits_for = self.inner.send(value)
        self.steps += 1
        if self.steps == self.cancel_at:
            task = asyncio.current_task()
            assert task is not None
            asyncio.get_running_loop().call_soon(task.cancel)
        return waits_for

    def throw(self, kind: Any, value: Any = None, trace: TracebackType | None = None) -> Any:
        return self.inner.throw(kind if value is None else value)

    def close(self) -> None:
        self.inner.close()

    def __await__(self) -> Generator[Any, Any, T]:
        return self.inner.__await__()


async def cancel_at(operation: Callable[[], Awaitable[T]], step: int) -> tuple[T | None, bool]:
    """Run an operation in a task that is cancelled at its n-th suspension; tell its result and if it came so far."""

    async def call() -> T:
        return await operation()

    counted = _Counted(call(), step)
    task = asyncio.get_running_loop().create_task(counted)
    await asyncio.wait({task})
    return (None if task.cancelled() else task.result()), counted.steps >= step


class AsyncioSide:
    """Tasks of the running loop."""

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def gather(self, operations: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
        limit = asyncio.Semaphore(at_once)

        async def one(operation: Callable[[], Awaitable[T]]) -> T:
            async with limit:
                return await operation()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(operation)) for operation in operations]
        return [task.result() for task in tasks]

    def start(self, operation: Callable[[], Awaitable[T]]) -> Running[T]:
        return _Task(operation)

    async def interrupted(
        self, operation: Callable[[], Awaitable[object]], when: Callable[[], Awaitable[object]]
    ) -> float:
        async def call() -> object:
            return await operation()

        task = asyncio.get_running_loop().create_task(call())
        try:
            await when()
        finally:
            began = time.monotonic()
            task.cancel()
            await asyncio.wait({task}, timeout=PATIENCE)
        assert task.cancelled(), f"ended by {task!r} instead of CancelledError"
        return time.monotonic() - began

    async def cut_short(self, operation: Callable[[], Awaitable[T]], step: int) -> T | None:
        return (await cancel_at(operation, step))[0]


class BlockingSide:
    """Threads, and a real SIGINT to the main one."""

    async def cut_short(self, operation: Callable[[], Awaitable[T]], step: int) -> T | None:
        return await operation()

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - nothing suspends in the blocking world

    async def gather(self, operations: Sequence[Callable[[], Awaitable[T]]], at_once: int) -> list[T]:
        with ThreadPoolExecutor(min(at_once, len(operations)), "contract") as pool:
            futures = [pool.submit(lambda op=op: run_awaitable(op())) for op in operations]  # type: ignore[misc]
            return [future.result() for future in futures]

    def start(self, operation: Callable[[], Awaitable[T]]) -> Running[T]:
        return _Thread(operation)

    async def interrupted(
        self, operation: Callable[[], Awaitable[object]], when: Callable[[], Awaitable[object]]
    ) -> float:
        began = 0.0
        armed = True

        def on_interrupt(number: int, frame: FrameType | None) -> None:
            if armed:
                raise KeyboardInterrupt

        async def press() -> None:
            nonlocal began
            try:
                await when()
            finally:
                began = time.monotonic()
                # A real signal: it also ends a system call that is waiting.
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        before = signal.signal(signal.SIGINT, on_interrupt)
        presser = _Thread(press)
        try:
            ended: object = await operation()
        except KeyboardInterrupt as exc:
            ended = exc
        finally:
            armed = False
            took = time.monotonic() - began
            await presser.finish()
            signal.signal(signal.SIGINT, before)
        assert isinstance(ended, KeyboardInterrupt), f"gave {ended!r} instead of KeyboardInterrupt"
        return took
