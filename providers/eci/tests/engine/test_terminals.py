"""Processes in containers, each on a terminal."""

from __future__ import annotations

from collections.abc import Callable

from sandboxkit_eci.emulator.backends import SandboxBackend

from ..containers import becomes, container, session, sh
from ..served import output, read_until, served


def test_a_terminal_has_a_size_that_can_change(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        script = 'trap "stty size; exit 5" WINCH; stty size; echo "$TERM"; while :; do sleep 0.05; done'
        stream = await machine.exec(sh(script), tty=True)
        async with served(stream, tty=True) as client:
            assert await read_until(client, b"xterm\r\n") == b"24 80\r\nxterm\r\n"
            await client.send(b'\x04{"Width":132,"Height":43}')
            assert (await output(client))[1].endswith(b"43 132\r\n")
        assert stream.exit_code == 5

    run(doing)


def test_a_terminal_leads_its_session_and_types(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        leads = "read -r l </proc/self/stat; set -- ${l##*) }; [ $$ = $4 ] && [ $5 != 0 ] && echo leads; read -r x"
        async with session(machine, leads, tty=True) as client:
            await read_until(client, b"leads\r\n")
            await client.send(b"\x00typed\r")
            assert (await output(client))[1] == b"typed\r\n"

    run(doing)


def test_who_leaves_a_terminal_hangs_up(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        script = "trap 'echo yes >hung; exit' HUP; echo up; while :; do sleep 0.05; done"
        async with session(machine, script, tty=True) as client:
            await read_until(client, b"up")
        await becomes(machine, "cat hung 2>/dev/null")

    run(doing)
