"""Who waits for a group takes turns at looking, in both worlds, and never longer than there is time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
import pytest
from sandboxkit_eci.waiting import Group, Lookout

from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import DeadlineExceeded, ProviderUnavailable
from sandboxkit.provider import Event, World
from sandboxkit.worlds import BlockingWorld

PATIENCE = 20.0
"""Seconds after which a service that was not let go answers by itself."""

Scene = Callable[["Service"], Awaitable[None]]


@attrs.define(eq=False)
class Service:
    """Tells of every group, once it is let go."""

    world: World
    lookout: Lookout = attrs.field(init=False)
    asked: list[Sequence[str]] = attrs.field(factory=list)
    may_answer: Event = attrs.field(init=False)
    failures: list[Exception] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.lookout, self.may_answer = Lookout(self.world, self.ask), self.world.event()

    async def ask(self, ids: Sequence[str], until: float | None) -> dict[str, Group]:
        self.asked.append(ids)
        await self.may_answer.wait(until=self.world.now() + PATIENCE)
        if self.failures:
            raise self.failures.pop()
        return {one: {"ContainerGroupId": one} for one in ids}

    async def look(self, group_id: str, limit: float | None = None) -> Group | None:
        now = self.world.now()
        with self.lookout.watching(group_id):
            return await self.lookout.look(group_id, after=now, until=None if limit is None else now + limit)

    async def queued(self, count: int) -> None:
        """Wait until so many look or want to."""
        while len(self.lookout._waiting) < count or not self.asked:
            await self.world.sleep(0.01)

    async def at_once(self, *works: Callable[[], Awaitable[Any]]) -> None:
        """Do all of it at once: in tasks, or in threads."""
        if self.world.name == "asyncio":
            await asyncio.gather(*[work() for work in works])
            return
        with ThreadPoolExecutor(len(works)) as threads:
            list(threads.map(lambda work: run(work()), works))


@pytest.fixture(params=["blocking", "asyncio"])
def play(request: pytest.FixtureRequest) -> Callable[[Scene], None]:
    async def begin(scene: Scene) -> None:
        await scene(Service(BlockingWorld() if request.param == "blocking" else AsyncioWorld()))

    return lambda scene: run(begin(scene)) if request.param == "blocking" else asyncio.run(begin(scene))


def test_who_waits_for_anothers_look_keeps_its_own_deadline(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service) -> None:
        async def short() -> None:
            try:
                await service.queued(1)
                with pytest.raises(DeadlineExceeded):
                    await service.look("short", limit=0.1)
                assert service.asked == [["slow"]]
            finally:
                service.may_answer.set()

        await service.at_once(lambda: service.look("slow"), short)
        assert await service.look("short") is not None

    play(scene)


@pytest.mark.parametrize("failures", [[], [ProviderUnavailable("not now")]], ids=["told", "failed"])
def test_those_who_wait_for_a_look_share_the_next(play: Callable[[Scene], None], failures: list[Exception]) -> None:
    async def scene(service: Service) -> None:
        service.failures = list(failures)

        async def first() -> None:
            if failures:
                with pytest.raises(ProviderUnavailable):
                    await service.look("first")
            else:
                assert await service.look("first") is not None

        async def other(name: str) -> None:
            await service.queued(1)
            found = await service.look(name)
            assert found is not None
            assert found["ContainerGroupId"] == name

        async def let_go() -> None:
            await service.queued(4)
            service.may_answer.set()

        await service.at_once(first, *[lambda name=name: other(name) for name in "abc"], let_go)
        assert [sorted(ids) for ids in service.asked] == [["first"], ["a", "b", "c"]]

    play(scene)


@pytest.mark.parametrize("who", [0, 1, 2], ids=["who looks", "who is next", "who is last"])
def test_the_turn_of_who_is_cancelled_goes_on(who: int) -> None:
    async def scene() -> None:
        service = Service(AsyncioWorld())
        tasks = [asyncio.create_task(service.look(name, limit=PATIENCE)) for name in "abc"]
        await service.queued(3)
        tasks[who].cancel()
        await asyncio.wait({tasks[who]})
        service.may_answer.set()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [n == who for n in range(3)]
        assert await service.look("later", limit=PATIENCE) is not None

    asyncio.run(scene())


def test_one_at_a_time_looks_however_many_give_up(play: Callable[[Scene], None]) -> None:
    async def scene(service: Service) -> None:
        looking, most = 0, 0

        async def ask(ids: Sequence[str], until: float | None) -> dict[str, Group]:
            nonlocal looking, most
            looking += 1
            most = max(most, looking)
            await service.world.sleep(random.uniform(0.0, 0.002))
            looking -= 1
            return {one: {} for one in ids}

        service.lookout = Lookout(service.world, ask)

        async def many() -> None:
            for number in range(50):
                try:
                    await service.look(f"{number}", limit=random.uniform(0.0, 0.01))
                except DeadlineExceeded:
                    await service.world.breathe()

        await service.at_once(*[many] * 6)
        assert (most, looking) == (1, 0)
        assert await service.look("last", limit=PATIENCE) is not None

    play(scene)
