"""The blocking world: the caller's own thread does everything, and nothing is ever left running."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Literal, TypeVar

import attrs

from sandboxkit.interrupts import interrupts_held

T = TypeVar("T")


@attrs.define(eq=False)
class ThreadLock:
    """A ``threading.Lock`` with the face of an async one; entering it never suspends, it blocks."""

    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *exc: object) -> None:
        self._lock.release()


def _milliseconds(until: float | None) -> int | None:
    # Rounded up: a wait that ends early would make its caller spin through the last fraction.
    return None if until is None else max(0, math.ceil((until - time.monotonic()) * 1000))


class BlockingWorld:
    """See :class:`sandboxkit.provider.World`; every method has finished when it returns."""

    name: Literal["blocking"] = "blocking"

    def now(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))  # noqa: ASYNC251 - blocking is this world's trade

    async def call(
        self,
        function: Callable[..., T],
        /,
        *args: Any,
        until: float | None = None,
        undo: Callable[[T], object] | None = None,
        urgent: bool = False,
    ) -> T:
        return function(*args)

    async def ready(
        self, *, read: Collection[int] = (), write: Collection[int] = (), until: float | None = None
    ) -> tuple[frozenset[int], frozenset[int]]:
        if not hasattr(select, "poll"):
            limit = None if until is None else max(0.0, until - time.monotonic())
            readable, writable, _ = select.select(list(read), list(write), [], limit)
            return frozenset(readable), frozenset(writable)
        poll = select.poll()
        for fd in {*read, *write}:
            poll.register(fd, (select.POLLIN if fd in read else 0) | (select.POLLOUT if fd in write else 0))
        found = poll.poll(_milliseconds(until))
        # A hang-up or an error makes the next read or write return at once and tell what it is.
        broken = select.POLLHUP | select.POLLERR | select.POLLNVAL
        return (
            frozenset(fd for fd, event in found if fd in read and event & (select.POLLIN | broken)),
            frozenset(fd for fd, event in found if fd in write and event & (select.POLLOUT | broken)),
        )

    async def breathe(self) -> None:
        return None

    async def protect(self, work: Coroutine[Any, Any, T], *, until: float) -> T | None:
        with interrupts_held():
            return await work

    def lock(self) -> ThreadLock:
        return ThreadLock()

    async def close(self) -> None:
        return None
