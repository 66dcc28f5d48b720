"""The blocking world: the caller's own thread does everything but what must be done while no caller is there."""

from __future__ import annotations

import math
import select
import threading
import time
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Literal, TypeVar

import attrs

from sandboxkit.driver import run
from sandboxkit.interrupts import interrupts_held

T = TypeVar("T")


@attrs.define(eq=False)
class ThreadEvent:
    """A ``threading.Event`` with the face of an async one; waiting never suspends, it blocks."""

    _event: threading.Event = attrs.field(factory=threading.Event, init=False)

    def set(self) -> None:
        self._event.set()

    async def wait(self, *, until: float | None) -> bool:
        return self._event.wait(None if until is None else max(0.0, until - time.monotonic()))


_LONGEST_POLL = 86_400_000
"""Milliseconds; what is waited for longer is waited for again, as poll takes no more than 24 days."""


def _milliseconds(until: float | None) -> int:
    # Rounded up: a wait that ends early would make its caller spin through the last fraction.
    left = math.inf if until is None else (until - time.monotonic()) * 1000
    return max(0, math.ceil(min(left, _LONGEST_POLL)))


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
        while not (found := poll.poll(_milliseconds(until))) and (until is None or time.monotonic() < until):
            pass
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

    def event(self) -> ThreadEvent:
        return ThreadEvent()

    def later(self, seconds: float, work: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], object]:
        timer = threading.Timer(seconds, lambda: run(work()))
        timer.name, timer.daemon = "sandboxkit-later", True  # it holds up nobody's end
        timer.start()
        return timer.cancel

    async def close(self) -> None:
        return None
