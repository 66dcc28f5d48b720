"""Keeping to the calls a minute, in fair turns, with room for kills; on a clock of the tests' own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, cast

import attrs
import pytest
from sandboxkit_eci.limiter import LIMITS, Gate, Limiter, shared_limiter

import sandboxkit
from sandboxkit.aio import AsyncioWorld
from sandboxkit.provider import World
from sandboxkit.worlds import BlockingWorld


class Clock:
    """Many coroutines on one clock, which jumps to when the next of them wants to go on."""

    def __init__(self) -> None:
        self.time = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._count = 0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self._count += 1
        self._sleepers.append((self.time + seconds, self._count, future))
        await future

    async def run(self, *work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        tasks = [asyncio.ensure_future(one()) for one in work]
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            if self._sleepers:
                self._sleepers.sort(key=lambda one: one[:2])
                at, _, future = self._sleepers.pop(0)
                self.time = max(self.time, at)
                if not future.done():
                    future.set_result(None)
        await asyncio.gather(*tasks)


@attrs.define
class Calls:
    """What went through a gate, and when."""

    gate: Gate
    clock: Clock
    made: list[tuple[float, str]] = attrs.field(factory=list)

    def call(
        self, who: str, *, urgent: bool = False, until: float | None = None
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        async def run() -> None:
            await self.gate.enter(cast("World", self.clock), who, until=until, urgent=urgent)
            self.made.append((self.clock.time, who))

        return run

    def busiest(self, window: float = 60.0) -> int:
        times = [at for at, _ in self.made]
        return max(sum(1 for other in times if at <= other < at + window) for at in times)


def calls(limit: int) -> Calls:
    return Calls(Gate(limit, limit // 25), Clock())


def test_no_minute_has_more_calls_than_are_allowed() -> None:
    found = calls(50)
    asyncio.run(found.clock.run(*[found.call(f"box-{n}") for n in range(170)]))
    assert len(found.made) == 170
    assert found.busiest() <= 50


def test_as_long_as_there_is_room_nobody_waits() -> None:
    found = calls(50)
    asyncio.run(found.clock.run(*[found.call("box") for _ in range(48)]))
    assert {at for at, _ in found.made} == {1000.0}


def test_one_with_many_calls_does_not_hold_up_another() -> None:
    found = calls(10)

    async def late() -> None:
        await found.clock.sleep(1.0)
        await found.call("small")()

    asyncio.run(found.clock.run(*[found.call("big") for _ in range(60)], late))
    # Its first call goes with the first that are let in once it has come, before 50 of the other's.
    assert (1061.0, "small") in found.made
    assert found.made[-1] == (1366.0, "big")


def test_room_is_kept_for_what_is_urgent() -> None:
    found = calls(100)

    async def kill() -> None:
        await found.clock.sleep(1.0)
        await found.call("killed", urgent=True)()

    asyncio.run(found.clock.run(*[found.call("box") for _ in range(200)], kill))
    assert (1001.0, "killed") in found.made
    assert found.busiest() <= 100


def test_a_turn_that_comes_too_late_is_refused_at_once() -> None:
    found = calls(10)

    async def impatient() -> None:
        await found.clock.sleep(1.0)
        with pytest.raises(sandboxkit.Throttled) as caught:
            await found.call("late", until=1010.0)()
        assert found.clock.time == 1001.0
        assert caught.value.retry_after is not None
        assert caught.value.retry_after > 50

    asyncio.run(found.clock.run(*[found.call("box") for _ in range(10)], impatient))
    assert all(who != "late" for _, who in found.made)


def test_one_that_gives_up_leaves_its_place_to_others() -> None:
    found = calls(2)

    async def body() -> None:
        first = [asyncio.ensure_future(found.call("a")()) for _ in range(2)]
        await asyncio.gather(*first)
        gone = asyncio.ensure_future(found.call("b")())
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        await found.clock.run(found.call("c"))

    asyncio.run(body())
    assert [who for _, who in found.made] == ["a", "a", "c"]
    assert found.made[-1][0] == pytest.approx(1061.0)


def test_after_a_refusal_by_the_service_only_what_is_urgent_goes_on() -> None:
    found = calls(10)
    found.gate.pause(1000.0, 5.0)
    asyncio.run(found.clock.run(found.call("box"), found.call("kill", urgent=True)))
    assert found.made == [(1000.0, "kill"), (1005.0, "box")]


def test_both_worlds_share_one_account() -> None:
    made = [shared_limiter(("account", "here"), Limiter) for _ in range(2)]
    assert made[0] is made[1]
    gate = made[0].gate("ExecContainerCommand")
    assert gate.limit == LIMITS["ExecContainerCommand"] == 500
    worlds: list[World] = [BlockingWorld(), AsyncioWorld()]

    def blocking() -> None:
        for _ in range(200):
            with pytest.raises(StopIteration):
                gate.enter(worlds[0], "a", until=None, urgent=False).send(None)

    thread = threading.Thread(target=blocking)
    thread.start()

    async def asynchronous() -> None:
        for _ in range(200):
            await gate.enter(worlds[1], "b", until=None, urgent=False)

    asyncio.run(asynchronous())
    thread.join()
    assert len(gate._times) == 400


def test_another_quota_replaces_the_published_one() -> None:
    assert Limiter({"ExecContainerCommand": 7}).gate("ExecContainerCommand").limit == 7
    assert Limiter().gate("DescribeContainerGroups").limit == 2000
    assert Limiter().gate("ExecContainerCommand").reserve == 20
    assert Limiter().gate("DeleteContainerGroup").reserve == 0
