"""What is left behind by much use: E5, X7."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.footprint import Footprint as Count
from sandboxkit.testing.footprint import own_temporary_directory
from sandboxkit.testing.looking import needle, present, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

ROUNDS = 3
"""Times that something is done in which one must leave no more than there was before it."""

PROCESSES = "n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n"


class Footprint:
    """Tests that nothing grows."""

    @promise("E5", delta=True)
    async def test_commands_leave_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._commands(stage, box, 24)

    @promise("E5", heavy=True)
    async def test_two_hundred_commands_leave_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._commands(stage, box, 200)

    async def _commands(self, stage: Stage, box: AsyncSandbox, count: int) -> None:
        async def one(number: int) -> None:
            result = await box.exec(f"cat; exit {number % 7}", input=b"x" * number, timeout=(None, 60.0)[number % 2])
            assert result.exit_code == number % 7

        async def several(first: int) -> None:
            await stage.gather(*[lambda n=n: one(first + n) for n in range(8)])

        async def all_of_them() -> None:
            for first in range(0, count, 8):
                await several(first)

        await several(0)
        await self._leaves_nothing(stage, box, all_of_them)

    async def _leaves_nothing(
        self, stage: Stage, box: AsyncSandbox, work: Callable[[], Awaitable[None]], *, processes: bool = True
    ) -> None:
        """Do something until nothing is left of it: a pool may grow until it is full, what leaks grows for ever."""
        grew = ""
        with own_temporary_directory():
            for _ in range(ROUNDS):
                there, before = int((await box.exec(PROCESSES)).text), Count.now()
                await work()
                grew = await self._growth(stage, box, before, there if processes else 10**6)
                if not grew:
                    return
        pytest.fail(grew)

    async def _growth(self, stage: Stage, box: AsyncSandbox, before: Count, processes: int) -> str:
        async def flat() -> bool:
            fewer = int((await box.exec(PROCESSES)).text) <= processes
            return fewer and not Count.now().grown_beyond(before)

        if await stage.eventually(flat, within=5):
            return ""
        now = int((await box.exec(PROCESSES)).text)
        return f"grew: {Count.now().grown_beyond(before)}, processes in the sandbox: {processes} -> {now}"

    @promise("E5", "X7")
    async def test_what_goes_wrong_leaves_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        number = needle()

        async def wrong() -> None:
            with pytest.raises(sandboxkit.CommandTimeout):
                await box.exec("echo out; sleep 600", timeout=0.3)
            with pytest.raises(sandboxkit.WorkingDirectoryError):
                await box.exec("true", cwd="/no/such/directory")
            with pytest.raises(FileNotFoundError):
                await box.files.read(f"{directory}/no")
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with box.spawn("cat; sleep 600", stdin=True) as process:
                    await process.write(b"x")
                    _ = 1 // 0
            with pytest.raises(ZeroDivisionError):  # noqa: PT012
                async with box.files.open_write(f"{directory}/file") as writer:
                    await writer.write(b"x" * 100_000)
                    _ = 1 // 0
            async with box.files.open_read("/dev/zero") as reader:
                await reader.read(10)

        async def interrupted() -> None:
            await stage.interrupted(
                lambda: box.exec(f"sleep {number}"), lambda: stage.eventually(present(box, number))
            )

        async def both() -> None:
            for _ in range(2):
                await wrong()
                await interrupted()

        await wrong()
        await interrupted()
        await self._leaves_nothing(stage, box, both)

    @promise("E5")
    async def test_sandboxes_leave_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._sandboxes(stage, box, 4)

    @promise("E5", heavy=True)
    async def test_two_hundred_sandboxes_leave_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        await self._sandboxes(stage, box, 200)

    async def _sandboxes(self, stage: Stage, box: AsyncSandbox, count: int) -> None:
        async def one() -> None:
            async with stage.create() as other:
                assert (await other.exec("echo up")).text == "up\n"

        async def all_of_them() -> None:
            for _ in range(0, count, 4):
                await stage.gather(*[one] * 4)
            assert await stage.listed() == listed

        await stage.gather(*[one] * 4)
        listed = await stage.listed()
        await self._leaves_nothing(stage, box, all_of_them, processes=False)

    @promise("E5")
    async def test_a_closed_client_leaves_nothing_behind(self, stage: Stage, box: AsyncSandbox) -> None:
        async def used() -> None:
            async with stage.connect() as client:
                same = await client.get(box.id)
                assert (await same.exec("echo up")).text == "up\n"
                assert await same.files.exists("/")

        async def often() -> None:
            for _ in range(5):
                await used()

        await used()
        threads = threading.active_count()
        await self._leaves_nothing(stage, box, often, processes=False)

        async def joined() -> bool:
            return threading.active_count() <= threads

        assert await stage.eventually(joined)
