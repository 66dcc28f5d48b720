"""What stands behind containers: sandboxes of other providers with real processes, or nothing."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import attrs
import pytest
from sandboxkit_eci.emulator.backend import ContainerSpec, ImageError, NotRunning, Stream
from sandboxkit_eci.emulator.backends import NoBackend, SandboxBackend
from sandboxkit_eci.emulator.backends.machines import LOG_LIMIT, Log, SandboxMachine
from sandboxkit_eci.emulator.backends.nothing import KILLED
from sandboxkit_eci.emulator.backends.usage import read_usage
from sandboxkit_eci.emulator.session import SessionQuirks, collect

from sandboxkit import plugins
from sandboxkit.errors import SandboxError

from .served import PATIENCE, output, read_until, served

BUSYBOX = "sandboxkit-test:busybox"

Kind = Literal["local", "docker"]

Doing = Callable[[SandboxBackend], Coroutine[Any, Any, None]]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("emulated") / "state"


@pytest.fixture(params=["local", "docker"])
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = request.param
    answer = plugins.probe(found)
    if not answer.works:
        if found in os.environ.get("SANDBOXKIT_REQUIRE", "").split(","):
            pytest.fail(f"SANDBOXKIT_REQUIRE names {found}, but: {answer.reason}", pytrace=False)
        pytest.skip(answer.reason)
    return found


@pytest.fixture
def run(kind: Kind, state: Path) -> Callable[..., None]:
    """Run something with a backend that is closed afterwards, and leaves nothing."""

    def give(doing: Doing, **options: Any) -> None:
        async def body() -> None:
            options.update({"state_dir": str(state)} if kind == "local" else {"pull": "never"})
            backend = SandboxBackend(kind, **options)
            client = backend.client
            try:
                await doing(backend)
                await backend.close()
            finally:
                await backend.close()
            again = SandboxBackend(kind, owner=backend.owner, **options)
            assert [info async for info in again.client.list() if info.owner == backend.owner] == []
            await again.close()
            assert client.owner == backend.owner

        asyncio.run(asyncio.wait_for(body(), 120))

    return give


def container(*words: str, **more: Any) -> ContainerSpec:
    """Describe a container that runs a script, by default one that waits for its removal."""
    words = words or ("trap 'exit 143' TERM; while :; do sleep 1000 & wait $!; done",)
    given = {"command": ("/bin/sh", "-c"), "args": words, "image": BUSYBOX, **more}
    return ContainerSpec(group_id="eci-1", name="main", **given)


def sh(script: str) -> tuple[str, ...]:
    return ("/bin/sh", "-c", script)


async def said(machine: SandboxMachine, script: str) -> str:
    return await collect(await machine.exec(sh(script), tty=False))


@asynccontextmanager
async def session(machine: SandboxMachine, script: str, *, tty: bool = False, **quirks: Any) -> AsyncIterator[Any]:
    stream = await machine.exec(sh(script), tty=tty)
    async with served(stream, tty=tty, quirks=SessionQuirks(**quirks)) as client:
        yield client


async def becomes(machine: SandboxMachine, script: str) -> None:
    """Wait until a script in the container says ``yes``."""
    async with asyncio.timeout(PATIENCE):
        while (await said(machine, script)).strip() != "yes":
            pass


# -- streams ------------------------------------------------------------------------------------------------------


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


def test_a_killed_process_is_gone(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        for tty in (False, True):
            stream = await machine.exec(sh("echo $$ >pid; echo up; trap '' TERM HUP; sleep 1000"), tty=tty)
            async with served(stream, tty=tty) as client:
                await read_until(client, b"up")
                await stream.kill()
                await output(client)
            assert await said(machine, "kill -0 $(cat pid) 2>/dev/null || echo gone") == "gone\n"
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
            assert await said(machine, "cat ended; kill -0 $(cat pid) && echo runs; rm written") == (
                "cat: can't open 'ended': No such file or directory\nruns\n"
                if backend.provider == "docker"
                else "cat: ended: No such file or directory\nruns\n"
            )

    run(doing)


def test_who_leaves_a_terminal_hangs_up(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container())
        script = "trap 'echo yes >hung; exit' HUP; echo up; while :; do sleep 0.05; done"
        async with session(machine, script, tty=True) as client:
            await read_until(client, b"up")
        await becomes(machine, "cat hung 2>/dev/null")

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


# -- containers ---------------------------------------------------------------------------------------------------


def test_a_container_runs_its_own_process_and_keeps_its_log(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(
            container("echo $WORD; pwd; exit 9", env={"WORD": "w"}, working_dir="/tmp/deep/er")
        )
        assert await machine.wait() == 9
        assert await machine.wait() == 9
        assert machine.log() == b"w\n/tmp/deep/er\n"
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
        assert machine.log() == b"start\n"

    run(doing, reset_files=resets)


def test_a_container_that_has_ended_can_be_restarted(run: Callable[..., None]) -> None:
    script = "echo ran; [ -e /tmp/old ] && exit 5; while ! [ -e /tmp/end ]; do sleep 0.02; done; exit 4"

    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container(script))
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
        assert machine.log() == b"ran\n"

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


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_docker_runs_the_image_and_its_own_command(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        with pytest.raises(ImageError):
            await backend.start(container(image="sandboxkit-test:none"))
        machine = await backend.start(ContainerSpec(group_id="eci-1", name="main", image="named"))
        # busybox: a shell without input ends at once
        assert await machine.wait() == 0
        user = await backend.start(container("id -u", run_as_user=1234))
        assert (await user.wait(), user.log()) == (0, b"1234\n")
        full = await backend.start(container(read_only_root=True, directories=("/data",), run_as_user=1234))
        assert await said(full, "(echo x >/f) 2>/dev/null || echo x >/data/f; cat /data/f") == "x\n"

    run(doing, images={"named": BUSYBOX})


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_docker_makes_an_image_of_a_container(run: Callable[..., None]) -> None:
    name = f"sandboxkit-test-{secrets.token_hex(6)}"

    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container("echo kept >/kept; while :; do sleep 1; done"))
        await becomes(machine, "[ -s /kept ] && echo yes")
        await machine.commit(name, "one")
        other = await backend.start(container("cat /kept", image=f"{name}:one"))
        assert (await other.wait(), other.log()) == (0, b"kept\n")
        plain = await backend.start(ContainerSpec(group_id="eci-1", name="main", image=f"{name}:one"))
        assert await plain.wait() == 0

    run(doing)

    async def gone(backend: SandboxBackend) -> None:
        with pytest.raises(ImageError):
            await backend.start(container(image=f"{name}:one"))

    run(gone)


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_local_refuses_what_it_has_not(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        for more in ({"read_only_root": True}, {"run_as_user": 1000}):
            with pytest.raises(ValueError, match="backend 'local' has no"):
                await backend.start(container(**more))
        machine = await backend.start(ContainerSpec(group_id="eci-1", name="main", image="any", run_as_user=0))
        assert await said(machine, "echo up") == "up\n"
        with pytest.raises(NotImplementedError):
            await machine.commit("a", "b")

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


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_local_has_every_image_but_those_of_registries_that_cannot_be(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        for image in ("no.invalid/a", "NO.Invalid:5000/a/b:1", "no.invalid./a@sha256:00", "invalid:5000/a", "other"):
            with pytest.raises(ImageError, match="no such host"):
                await backend.start(container(image=image))
        for image in ("registry.example/no.invalid/a", "invalid/a", "no.invalid:1", "notinvalid:5000/a"):
            machine = await backend.start(container(image=image))
            assert await said(machine, "echo up") == "up\n"

    run(doing, images={"other": "no.invalid/a"})


# -- without a provider -------------------------------------------------------------------------------------------


def test_a_log_keeps_the_newest_mebibyte() -> None:
    log, whole = Log(), bytearray()
    for number in range(700):
        line = b"%d " % number * 1000
        whole += line
        log.add(line)
        assert log.read() == bytes(whole[-LOG_LIMIT:])


def test_usage_is_added_up_whatever_processes_are_called() -> None:
    line = b"7 (%b) S 1 7 7 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 1 0 555 1234567 250 18446744073709551615 1 1\n"
    found = read_usage(line % b"sh" + line % b"a) R 1\n (b")
    assert found.cpu_nanoseconds == 100 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert found.memory_bytes == 500 * os.sysconf("SC_PAGE_SIZE")


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


if sys.platform != "linux":
    pytest.skip("the backends of these tests need Linux", allow_module_level=True)
