"""Containers without processes."""

from __future__ import annotations

import asyncio

import attrs
import pytest
from sandboxkit_eci.emulator.backend import NotRunning, Stream
from sandboxkit_eci.emulator.backends import NoBackend
from sandboxkit_eci.emulator.backends.nothing import KILLED
from sandboxkit_eci.emulator.session import collect

from .containers import container


def test_a_container_of_nothing_echoes_until_it_is_removed() -> None:
    async def body() -> None:
        backend = NoBackend()
        machine = await backend.start(container())
        ending = asyncio.create_task(machine.wait())
        assert await collect(await machine.exec(("echo", "a"), tty=False)) == "echo a\n"
        await machine.restart()
        await asyncio.sleep(0)
        assert not ending.done()
        await machine.remove()
        assert await ending == KILLED
        assert await machine.wait() == KILLED
        with pytest.raises(NotRunning):
            await machine.exec(("a",), tty=False)
        await backend.close()

    asyncio.run(body())


def test_a_container_of_nothing_can_be_killed_and_restarted() -> None:
    async def body() -> None:
        backend = NoBackend()
        machine = await backend.start(container())
        first = asyncio.create_task(machine.wait())
        await asyncio.sleep(0)
        await machine.restart()
        await machine.kill()
        assert (await first, await machine.wait()) == (KILLED, KILLED)
        await machine.restart()
        second = asyncio.create_task(machine.wait())
        await asyncio.sleep(0)
        assert not second.done()
        await machine.remove()
        assert await second == KILLED
        await backend.close()

    asyncio.run(asyncio.wait_for(body(), 20))


def test_what_nothing_answers_is_ended_with_its_container() -> None:
    @attrs.define(eq=False)
    class Waits:
        exit_code: int | None = None

        def feed(self, data: bytes) -> list[tuple[int, bytes]]:
            return [(2, data)]

    async def body() -> None:
        for end in ("restart", "remove", "kill", "close"):
            machine = await NoBackend(lambda argv: Waits()).start(container())
            stream: Stream = await machine.exec(("a",), tty=False)
            reading = asyncio.create_task(anext(aiter(stream)))
            await stream.write(b"some")
            assert await reading == (2, b"some")
            ending = asyncio.create_task(collect(stream))
            await asyncio.sleep(0)
            await getattr(machine if end.startswith("re") else stream, end)()
            assert await ending == ""
            assert stream.exit_code == KILLED

    asyncio.run(body())


def test_a_thousand_containers_of_nothing_take_little() -> None:
    async def body() -> None:
        import tracemalloc

        backend = NoBackend()
        spec = container()
        await backend.start(spec)
        tracemalloc.start()
        machines = [await backend.start(spec) for _ in range(1000)]
        for machine in machines:
            assert await collect(await machine.exec(("x",), tty=False)) == "x\n"
        assert tracemalloc.get_traced_memory()[0] < 1_000_000
        tracemalloc.stop()
        await backend.close()

    asyncio.run(body())
