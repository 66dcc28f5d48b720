"""Many things at once, in both worlds, and passing faults: X12, E1, E3."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any, cast

import pytest

import sandboxkit
from sandboxkit import sync
from sandboxkit.client import AsyncClient, AsyncListing
from sandboxkit.files import AsyncFiles
from sandboxkit.process import AsyncProcess
from sandboxkit.retry import TURNS
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.faulty import Faulty
from sandboxkit.testing.looking import until
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

TICK = 0.01

LATE = 0.5
"""Seconds that a tick may be late on a busy machine; what blocks the loop for a command is later."""


def _denied() -> float:
    """Give the seconds in which this thread could have run and other programs did, as far as the kernel tells."""
    try:
        return int(Path("/proc/thread-self/schedstat").read_bytes().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


async def _tick(gaps: list[float]) -> None:
    last, denied = time.monotonic(), _denied()
    while True:
        await asyncio.sleep(TICK)
        now, so_far = time.monotonic(), _denied()
        # A machine that is busy with others blocks no loop.
        gaps.append(now - last - TICK - (so_far - denied))
        last, denied = now, so_far


def _repeated(faults: Faulty, method: str) -> None:
    """A fault that was raised once was answered with another call; a real one may have come on top."""
    assert set(faults.calls) == {method}
    assert 2 <= faults.calls[method] <= TURNS


class Concurrency:
    """Tests of what happens at once."""

    @promise("X12", delta=True)
    async def test_fifty_commands_at_once_do_not_disturb_each_other(self, stage: Stage, box: AsyncSandbox) -> None:
        async def one(number: int) -> None:
            data = f"{number}-".encode() * (number * 100)
            result = await box.exec(f"cat; echo err {number} >&2; exit {number}", input=data, timeout=60)
            assert (result.exit_code, result.stdout, result.stderr_text) == (number, data, f"err {number}\n")

        await stage.gather(*[lambda n=n: one(n) for n in range(50)])

    @promise("X12")
    async def test_the_loop_is_never_blocked(self, stage: Stage, box: AsyncSandbox) -> None:
        operations = [lambda n=n: box.exec(f"sleep 0.6 || sleep 1; echo {n}", timeout=60) for n in range(50)]
        if stage.world == "blocking":
            # Threads of the caller's own: there is no loop, but they must not wait for each other either.
            began = time.monotonic()
            await stage.gather(*operations)
            assert time.monotonic() - began < 0.6 * 50
            return
        gaps: list[float] = []
        ticker = asyncio.get_running_loop().create_task(_tick(gaps))
        try:
            await asyncio.sleep(5 * TICK)
            time.sleep(2 * LATE)  # noqa: ASYNC251 - the control: this is what blocking looks like
            await asyncio.sleep(5 * TICK)
            assert max(gaps) > LATE
            gaps.clear()
            results = await stage.gather(*operations)
            await stage.gather(lambda: box.files.write("ticked", b"x" * (1 << 20)), lambda: box.info())
        finally:
            ticker.cancel()
            await asyncio.wait({ticker})
        assert [result.text for result in results] == [f"{n}\n" for n in range(50)]
        assert len(gaps) > 10
        assert max(gaps) < LATE
        assert sorted(gaps)[len(gaps) // 2] < TICK

    @promise("X12")
    async def test_sandboxes_do_not_disturb_each_other(self, stage: Stage) -> None:
        async with stage.create() as first, stage.create() as second:
            await stage.gather(
                lambda: first.exec("echo first >mine", check=True),
                lambda: second.exec("echo second >mine", check=True),
            )
            async with first.spawn("sleep 600"), second.spawn("cat mine; sleep 600") as process:
                await first.delete()
                assert await until(process, b"\n") == b"second\n"
                assert await process.wait(timeout=0.2) is None
            assert await second.files.read("mine") == b"second\n"

    @promise("X12")
    async def test_different_operations_run_at_once(self, stage: Stage, box: AsyncSandbox) -> None:
        async def files(number: int) -> None:
            await box.files.write(f"at-once/{number}", b"x" * number)
            assert len(await box.files.read(f"at-once/{number}")) == number

        async def spawned(number: int) -> None:
            async with box.spawn("cat", stdin=True) as process:
                await process.write(str(number))
                await process.close_stdin()
                assert b"".join([chunk.data async for chunk in process]) == str(number).encode()

        async def looked() -> None:
            assert (await box.info()).id == box.id

        await stage.gather(
            *[lambda n=n: files(n) for n in range(5)],
            *[lambda n=n: spawned(n) for n in range(5)],
            *[looked for _ in range(5)],
        )

    @promise("E1")
    async def test_each_operation_has_both_forms(self, stage: Stage) -> None:
        pairs: list[tuple[type, type]] = [
            (AsyncClient, sync.Client),
            (AsyncSandbox, sync.Sandbox),
            (AsyncProcess, sync.Process),
            (AsyncFiles, sync.Files),
            (AsyncListing, sync.Listing),
        ]
        inner = {"provider", "require", "image", "advance", "take", "check", "error", "ended"}
        for asynchronous, blocking in pairs:
            names = {n for n in dir(asynchronous) if not n.startswith("_")} - inner
            assert names <= set(dir(blocking)), f"{blocking.__name__} lacks something"
            for name in names:
                method = getattr(asynchronous, name)
                if inspect.isfunction(method):
                    theirs = list(inspect.signature(method).parameters.values())
                    ours = list(inspect.signature(getattr(blocking, name)).parameters.values())
                    assert theirs == ours, f"{blocking.__name__}.{name} takes something else"

    @promise("E1")
    async def test_a_client_is_shared_as_its_world_allows(self, stage: Stage, client: AsyncClient) -> None:
        async with stage.create() as box:
            results = await stage.gather(*[lambda: client.info(box.id)] * 8)
            assert {info.id for info in results} == {box.id}
            if stage.world == "asyncio":
                # In a thread, because a loop cannot run inside another.
                def elsewhere() -> None:
                    asyncio.run(cast("Any", client.info(box.id)))

                with pytest.raises(RuntimeError):
                    await asyncio.get_running_loop().run_in_executor(None, elsewhere)

    @promise("E1")
    async def test_the_blocking_form_works_inside_a_running_loop(self, stage: Stage, box: AsyncSandbox) -> None:
        options = stage.options

        def run() -> str:
            with sandboxkit.connect(stage.suite.provider, **options) as client:
                return client.get(box.id).exec("echo inside").text

        async def main() -> str:
            return run()

        if stage.world == "asyncio":
            assert await main() == "inside\n"
        else:
            loop = asyncio.new_event_loop()
            try:
                assert loop.run_until_complete(main()) == "inside\n"
            finally:
                loop.close()

    @promise("E3")
    async def test_calls_that_are_safe_to_repeat_are_repeated(self, stage: Stage) -> None:
        async with stage.connect() as client, stage.create() as box:
            for error in (sandboxkit.Throttled("slow down"), sandboxkit.ProviderUnavailable("gone for now")):
                with Faulty(stage.core(client), error, times=1) as faults:
                    assert (await client.info(box.id)).id == box.id
                    _repeated(faults, "get")
                with Faulty(stage.core(client), error, times=1) as faults:
                    assert box.id in {info.id async for info in client.list(labels=stage.labels)}
                    _repeated(faults, "list")
                with Faulty(stage.core(client), error, times=1) as faults:
                    async with stage.create(client) as other:
                        assert (await other.info()).id == other.id
                    assert 2 <= faults.calls["create"] <= TURNS
                    assert faults.keys("create") == 1
            other = await stage.create(client)
            with Faulty(stage.core(client), sandboxkit.Throttled("slow down"), times=1) as faults:
                assert await other.delete() is True
                _repeated(faults, "delete")

    @promise("E3")
    async def test_repeating_ends_and_other_errors_are_not_repeated(self, stage: Stage) -> None:
        async with stage.connect() as client, stage.create() as box:
            with Faulty(stage.core(client), sandboxkit.Throttled("slow down"), times=1000) as faults:
                with pytest.raises(sandboxkit.Throttled):
                    await client.info(box.id)
                assert 2 <= faults.calls["get"] <= 20
            with Faulty(stage.core(client), sandboxkit.QuotaExceeded("no more"), times=1000) as faults:
                with pytest.raises(sandboxkit.QuotaExceeded):
                    await stage.create(client)
                assert faults.calls["create"] == 1

    @promise("E3")
    async def test_a_command_is_never_repeated_silently(self, stage: Stage, box: AsyncSandbox) -> None:
        async with stage.connect() as client:
            same = await client.get(box.id)
            for error in (sandboxkit.Throttled("slow down"), sandboxkit.ProviderUnavailable("gone for now")):
                with Faulty(stage.core(client), error, times=1) as faults:
                    with pytest.raises(sandboxkit.ProviderError):
                        await same.exec("echo ran")
                    assert faults.calls == {"start_process": 1}
                assert (await same.exec("echo ran")).text == "ran\n"
