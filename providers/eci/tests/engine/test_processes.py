"""Processes in containers, each followed over a websocket."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable

from sandboxkit_eci.emulator.backends import SandboxBackend
from sandboxkit_eci.emulator.session import SessionQuirks

from ..containers import becomes, container, said, session, sh
from ..served import output, read_until, served


def test_output_is_apart_and_the_exit_code_is_known(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        stream = await machine.exec(sh("echo out; echo err >&2; exit 7"), tty=False)
        async with served(stream, quirks=SessionQuirks(error_text_on_nonzero=True)) as client:
            found = await output(client)
        assert found.pop(3).endswith(b"exit status 7")
        assert found == {1: b"out\n", 2: b"err\n"}
        assert stream.exit_code == 7

    run(doing)


def test_a_mebibyte_passes_exactly_both_ways(run: Callable[..., None]) -> None:
    data = hashlib.shake_128(b"emulated").digest(1 << 20)

    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        async with session(machine, f"head -c {len(data)}") as client:
            sending = asyncio.create_task(client.send(b"\0" + data))
            assert await output(client) == {1: data}
            await sending
        async with session(machine, f"head -c {len(data)} >f; cat f", split="random") as client:
            for at in range(0, len(data), 5000):
                await client.send(b"\0" + data[at : at + 5000])
            assert await output(client) == {1: data}

    run(doing)


def test_a_killed_process_is_gone(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        for tty in (False, True):
            stream = await machine.exec(sh("echo $$ >pid; echo up; trap '' TERM HUP; sleep 1000"), tty=tty)
            async with served(stream, tty=tty) as client:
                await read_until(client, b"up")
                await stream.kill()
                await output(client)
            # Until its parent has seen its end, a signal still reaches it.
            await becomes(machine, "kill -0 $(cat pid) 2>/dev/null || echo yes")
            await stream.kill()

    run(doing)


def test_a_process_outlives_its_websocket(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        script = "echo up; cat; i=0; while [ $i -lt 2000 ]; do echo some output; i=$((i+1)); done; echo yes >done"
        async with session(machine, script) as client:
            await read_until(client, b"up")
        await becomes(machine, "cat done 2>/dev/null")

    run(doing)


def test_a_process_that_notices_nothing_goes_on_waiting(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        for tty in (False, True):
            script = "echo $$ >pid; echo up; head -c 300000 /dev/zero; echo yes >written; cat; echo late >ended"
            async with session(machine, script, tty=tty, kill_on_close=False) as client:
                await read_until(client, b"up")
            await becomes(machine, "cat written 2>/dev/null")
            assert await said(machine, "cat ended 2>&1; kill -0 $(cat pid) && echo runs; rm written") == (
                "cat: can't open 'ended': No such file or directory\nruns\n"
                if backend.provider == "docker"
                else "cat: ended: No such file or directory\nruns\n"
            )

    run(doing)


def test_many_sessions_do_not_disturb_each_other(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())

        async def one(number: int) -> None:
            async with session(machine, f"read x; echo $x {number}") as client:
                await client.send(b"\0hello\n")
                assert await output(client) == {1: b"hello %d\n" % number}

        await asyncio.gather(*(one(number) for number in range(10)))

    run(doing)
