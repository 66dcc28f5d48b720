"""A container with real processes, from its start to its removal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sandboxkit_eci.emulator.backend import NotRunning
from sandboxkit_eci.emulator.backends import SandboxBackend
from sandboxkit_eci.emulator.backends.nothing import KILLED
from sandboxkit_eci.emulator.volumes import ConfigFile

from sandboxkit.errors import SandboxError

from ..containers import becomes, container, said, session, sh
from ..served import output, read_until


def test_a_container_runs_its_own_process_and_keeps_its_log(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(
            container("echo $WORD; pwd; exit 9", env={"WORD": "w"}, working_dir="/tmp/deep/er")
        )
        assert await machine.wait() == 9
        assert await machine.wait() == 9
        assert machine.log().data == b"w\n/tmp/deep/er\n"
        with pytest.raises(NotRunning):
            await machine.exec(sh("true"), tty=False)

    run(doing)


def test_the_end_of_a_container_ends_its_sessions(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container("while ! [ -e end ]; do sleep 0.02; done"))
        async with session(machine, "echo up; exec sleep 1000") as client:
            await read_until(client, b"up")
            assert await said(machine, ">end") == ""
            assert await machine.wait() == 0
            await output(client)

    run(doing)
    run(doing, reset_files=False)


def test_a_container_has_its_environment_and_directory_in_every_process(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(
            container(env={"WORD": "a b"}, working_dir="/tmp/wd", directories=("/tmp/empty",))
        )
        assert await said(machine, 'echo "$WORD"; pwd; >/tmp/empty/file; ls /tmp/empty') == "a b\n/tmp/wd\nfile\n"
        assert "a b" not in repr(machine)

    run(doing)


@pytest.mark.parametrize("resets", [True, False])
def test_a_container_has_its_files_before_its_process_and_after_a_restart(
    run: Callable[..., None], resets: bool
) -> None:
    async def doing(backend: SandboxBackend) -> None:
        files = {"/tmp/config/a b": ConfigFile(b"one\n\0", 0o600), "/tmp/elsewhere": ConfigFile(b"two\n")}
        script = "cat '/tmp/config/a b' /tmp/elsewhere; cd /tmp; ls -l 'config/a b' elsewhere | cut -c1-10; exit 3"
        machine = await backend.start(container(script, directories=("/tmp/config",), files=files))
        for _ in range(2):
            assert await machine.wait() == 3
            assert machine.log().data == b"one\n\0two\n-rw-------\n-rw-r--r--\n"
            await machine.restart()

    run(doing, reset_files=resets)


@pytest.mark.parametrize("resets", [True, False])
def test_a_restart_ends_everything_and_starts_anew(run: Callable[..., None], resets: bool) -> None:
    async def doing(backend: SandboxBackend) -> None:
        spec = container("echo start; while ! [ -e /tmp/end ]; do sleep 0.02; done; exit 4")
        machine = await backend.start(spec)
        ending = asyncio.create_task(machine.wait())
        async with session(machine, "echo up; >/tmp/file; exec sleep 1000") as client:
            await read_until(client, b"up")
            await machine.restart()
            await output(client)
        expected = "" if resets else "/tmp/file\n"
        assert await said(machine, "ls /tmp/file 2>/dev/null") == expected
        assert not ending.done()
        assert await said(machine, ">/tmp/end") == ""
        assert await ending == 4
        assert machine.log().data == b"start\n"

    run(doing, reset_files=resets)


@pytest.mark.parametrize("resets", [True, False])
def test_a_container_can_be_killed_and_restarted(run: Callable[..., None], resets: bool) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container("echo up; while :; do sleep 1; done"))
        await becomes(machine, "echo yes")
        await machine.kill()
        assert await machine.wait() == 137
        await machine.kill()
        with pytest.raises(NotRunning):
            await machine.exec(("true",), tty=False)
        await machine.restart()
        await becomes(machine, "echo yes")

    run(doing, reset_files=resets)


def test_a_container_that_has_ended_can_be_restarted(run: Callable[..., None]) -> None:
    script = "echo ran; [ -e /tmp/old ] && exit 5; >/tmp/looked; while ! [ -e /tmp/end ]; do sleep 0.02; done; exit 4"

    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container(script))
        await becomes(machine, "[ -e /tmp/looked ] && echo yes")
        assert await said(machine, ">/tmp/old; >/tmp/end") == ""
        assert await machine.wait() == 4
        await machine.restart()
        if backend.reset_files:
            ending = asyncio.create_task(machine.wait())
            assert await said(machine, "ls /tmp/end 2>/dev/null") == ""
            assert not ending.done()
            await said(machine, ">/tmp/end")
            assert await ending == 4
        else:
            assert await machine.wait() == 5
        assert machine.log().data == b"ran\n"

    run(doing)
    run(doing, reset_files=False)


def test_a_removed_container_is_gone_at_once_and_for_good(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container("trap '' TERM HUP; while :; do sleep 1000; done"))
        ending = asyncio.create_task(machine.wait())
        idle = await machine.exec(sh("cat"), tty=False)
        kept = await machine.exec(sh("cat"), tty=False)
        await kept.close(end_input=False)
        async with session(machine, "echo up; exec sleep 1000") as client:
            await read_until(client, b"up")
            await machine.remove()
            await output(client)
        assert await ending == KILLED
        await machine.remove()
        await idle.write(b"late")
        await idle.resize(1, 1)
        await idle.kill()
        await idle.close()
        assert [chunk async for chunk in idle] == []
        for act in (machine.exec(sh("true"), tty=False), machine.restart()):
            with pytest.raises(NotRunning):
                await act

    run(doing)


def test_a_container_says_what_it_has_used(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        before = await machine.usage()
        await said(machine, "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done")
        after = await machine.usage()
        assert after.cpu_nanoseconds > before.cpu_nanoseconds
        assert after.memory_bytes > 4096
        await machine.remove()
        assert await machine.usage() == after

    run(doing)


def test_a_container_says_what_its_files_take_and_what_was_written(kind: str, run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        before = await machine.usage()
        write = "dd if=/dev/zero of=/var/tmp/f bs=65536 count=64 2>/dev/null && sync && echo up && cat"
        await said(machine, "mkdir -p /var/tmp")
        stream = await machine.exec(("/bin/sh", "-c", write), tty=False)
        assert await anext(aiter(stream)) == (1, b"up\n")
        after = await machine.usage()
        await stream.kill()
        assert before.files_bytes is not None
        assert after.files_bytes is not None
        assert 4 << 20 <= after.files_bytes - before.files_bytes < 6 << 20
        # What is behind docker's engine does not count everywhere.
        if kind == "local" or after.written_bytes is not None:
            assert (after.written_bytes or 0) - (before.written_bytes or 0) >= 4 << 20
        assert (await machine.usage()).files_bytes == after.files_bytes

    run(doing)


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_a_container_of_docker_says_what_has_passed_its_network(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        (before,) = (await machine.usage()).interfaces
        # The third word is the gateway's address, where nobody listens.
        await said(machine, "set -- $(ip route); nc -w 1 $3 9 </dev/null 2>/dev/null")
        (after,) = (await machine.usage()).interfaces
        assert (before.name, after.name) == ("eth0", "eth0")
        assert after.sent > before.sent

    run(doing, network=True)


def test_twenty_containers_start_at_once(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machines = await asyncio.gather(*(backend.start(container()) for _ in range(20)))
        assert await asyncio.gather(*(said(machine, "echo here") for machine in machines)) == ["here\n"] * 20

    run(doing)


def test_a_start_that_fails_leaves_nothing(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        # Only docker makes a directory there; no process has a NUL in its words.
        for spec in (container("a\0b"), container("a\0b", working_dir="/proc/none")):
            with pytest.raises(SandboxError):
                await backend.start(spec)
            assert [info async for info in backend.client.list() if info.owner == backend.owner] == []

    run(doing)


def test_a_start_that_is_cancelled_leaves_nothing(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        for turns in (1, 3, 10, 40):
            starting = asyncio.create_task(backend.start(container()))
            for _ in range(turns):
                await asyncio.sleep(0)
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)

    run(doing)


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("act", ["remove", "restart"])
def test_a_container_may_end_while_a_process_is_being_started(
    run: Callable[..., None], monkeypatch: pytest.MonkeyPatch, act: str, tty: bool
) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        spawn = machine._spawn

        async def late(*given: Any, **more: Any) -> Any:
            monkeypatch.undo()
            await getattr(machine, act)()
            return await spawn(*given, **more)

        monkeypatch.setattr(machine, "_spawn", late)
        with pytest.raises(NotRunning):
            await machine.exec(sh("true"), tty=tty)

    run(doing)
