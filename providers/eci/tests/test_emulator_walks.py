"""One walk at a time."""

from __future__ import annotations

import asyncio

import pytest
from sandboxkit_eci.emulator.walks import Walks


class Log:
    """Walks that say what they do, and take some turns of the loop to end."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.walks = Walks(lambda exc: self.said.append(f"failed: {exc}"))

    def walk(self, name: str) -> None:
        async def body() -> None:
            self.said.append(f"{name} begins")
            try:
                await asyncio.Event().wait()
            finally:
                for _ in range(5):
                    await asyncio.sleep(0)
                self.said.append(f"{name} ends")

        self.walks.begin(body)


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_walk_begins_when_the_one_before_has_ended() -> None:
    async def body() -> None:
        log = Log()
        log.walk("a")
        await settle()
        log.walk("b")
        await settle()
        await log.walks.end()
        assert log.said == ["a begins", "a ends", "b begins", "b ends"]

    asyncio.run(body())


@pytest.mark.parametrize("turns", range(8))
def test_walks_that_are_ended_at_any_moment_leave_one(turns: int) -> None:
    async def body() -> None:
        log = Log()
        log.walk("a")
        await settle()
        for name in "bc":
            log.walk(name)
            for _ in range(turns):
                await asyncio.sleep(0)
        log.walk("d")
        await settle()
        assert (log.said[0], log.said[1], log.said[-1]) == ("a begins", "a ends", "d begins")
        begun = [line for line in log.said if "begins" in line]
        assert len(begun) == len([line for line in log.said if "ends" in line]) + 1
        await log.walks.end()
        assert log.said[-1] == "d ends"

    asyncio.run(body())


def test_a_walk_that_fails_is_told() -> None:
    async def body() -> None:
        log = Log()

        async def fails() -> None:
            raise ValueError("why")

        log.walks.begin(fails)
        await settle()
        assert log.said == ["failed: why"]
        await log.walks.end()

    asyncio.run(body())
