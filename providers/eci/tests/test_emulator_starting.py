"""How a group's containers are started, on a clock that the test moves."""

from __future__ import annotations

import asyncio

from .manualclock import settle
from .scene import scene


def test_a_missing_image_is_pulled_again_and_again_and_then_given_up() -> None:
    async def body() -> None:
        async with scene(Container=[{"Name": "main", "Image": "missing"}], MaxPendingMinute=60) as it:
            await it.clock.advance(600)
            state = it.group.containers[0].state
            assert (it.status, state.kind, state.reason) == ("Pending", "Waiting", "ImagePullBackOff")
            assert {"Failed", "BackOff"} <= set(it.reasons())
            await it.clock.advance(3600)
            assert it.status == "Failed"

    asyncio.run(body())


def test_an_image_that_fails_to_come_once_comes_then() -> None:
    async def body() -> None:
        async with scene(faults=("*:image-pull=1",)) as it:
            await it.clock.advance(600)
            assert it.status == "Running"
            assert "Failed" in it.reasons()

    asyncio.run(body())


def test_a_container_that_cannot_be_made_says_why() -> None:
    async def body() -> None:
        async with scene() as it:
            it.backend.failures.append(RuntimeError("no such thing"))
            await it.clock.advance(41)
            assert it.group.containers[0].state.message == "no such thing"
            await it.clock.advance(60)
            assert it.status == "Running"

    asyncio.run(body())


def test_containers_that_come_first_run_to_their_end() -> None:
    async def body() -> None:
        async with scene(InitContainer=[{"Name": "first", "Image": "busybox"}], RestartPolicy="Never") as it:
            await it.clock.advance(60)
            assert (it.status, [m.spec.name for m in it.backend.machines]) == ("Pending", ["first"])
            it.machine.end(0)
            await it.clock.advance(60)
            assert (it.status, it.machine.spec.name) == ("Running", "main")

    asyncio.run(body())


def test_a_first_container_that_fails_fails_the_group() -> None:
    async def body() -> None:
        async with scene(InitContainer=[{"Name": "first", "Image": "busybox"}], RestartPolicy="Never") as it:
            await it.clock.advance(60)
            it.machine.end(1)
            await settle()
            assert (it.status, len(it.backend.machines)) == ("Failed", 1)

    asyncio.run(body())
