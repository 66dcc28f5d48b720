"""Restart: the id stays, every process goes: L6."""

from __future__ import annotations

import contextlib
import time

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import alive, gone, needle, present, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


async def _beside(box: AsyncSandbox, number: str) -> None:
    """Start two processes that no command's end would take along."""
    command = 'setsid sh -c "trap \\"\\" TERM HUP; sleep $N & sleep $N; wait" >/dev/null 2>&1 </dev/null &'
    assert (await box.exec(command, env={"N": number})).exit_code == 0


class Restart:
    """Tests of restart."""

    @promise("L6", needs="restart", delta=True)
    async def test_restart_keeps_the_id_and_ends_every_process(self, stage: Stage) -> None:
        number = needle()
        async with stage.create(env={"KEPT": "kept"}) as box:
            await _beside(box, number)
            assert await stage.eventually(present(box, number, 2))
            before = await box.info()
            again = await box.restart()
            assert (again.id, again.status) == (box.id, sandboxkit.Status.RUNNING)
            assert again.expires_at == before.expires_at
            assert again.labels == before.labels
            assert await alive(box, number) == 0
            assert (await box.exec('printf %s "$KEPT"')).text == "kept"
            found = await (await stage.client.get(box.id)).exec(["true"])
            assert found.exit_code == 0
            # Once more, and what was started since is gone as well.
            await _beside(box, number)
            assert await stage.eventually(present(box, number, 2))
            await box.restart()
            assert await alive(box, number) == 0
            assert (await box.info()).expires_at == before.expires_at

    @promise("L6", needs=("restart", "restart_keeps_files"), delta=True)
    async def test_restart_keeps_files(self, stage: Stage) -> None:
        # A directory in memory may begin empty; where the image has another that can be written, files stay there.
        async with stage.create() as box:
            directory = await writable(box)
            await box.files.write(f"{directory}/d/file", b"kept", mode=0o640)
            kind = (await box.exec('df -P "$D" | tail -n 1', env={"D": directory})).text.split()[:1]
            await box.restart()
            if kind == ["tmpfs"]:
                # It can be written as before, whatever became of what was in it.
                await box.files.write(f"{directory}/d/file", b"kept", mode=0o640)
            info = await box.files.stat(f"{directory}/d/file")
            assert info.mode == 0o640
            assert await box.files.read(f"{directory}/d/file") == b"kept"
            assert await writable(box)

    @promise("L6", "X11", needs="restart")
    async def test_a_command_that_runs_meanwhile_ends_with_a_typed_error(self, stage: Stage) -> None:
        number = needle()
        async with stage.create() as box:
            running = stage.start(lambda: _outcome(box, number))
            assert await stage.eventually(present(box, number))
            began = time.monotonic()
            await box.restart()
            error = await running.finish()
            assert time.monotonic() - began < 20.0
            assert isinstance(error, sandboxkit.CommandLost | sandboxkit.SandboxNotRunning), repr(error)
            if isinstance(error, sandboxkit.CommandLost):
                assert error.dispatched
            assert await stage.eventually(gone(box, number))

    @promise("L6", needs="restart")
    async def test_restarts_at_once_each_end_well(self, stage: Stage) -> None:
        async with stage.create() as box:
            infos = await stage.gather(*[box.restart] * 5)
            assert {(info.id, info.status) for info in infos} == {(box.id, sandboxkit.Status.RUNNING)}
            assert (await box.exec(["true"])).exit_code == 0

    @promise("L6", "L5", needs="restart")
    async def test_a_delete_wins_over_a_restart(self, stage: Stage) -> None:
        for _ in range(3):
            box = await stage.create()
            number = needle()

            async def restart(box: AsyncSandbox = box) -> None:
                with contextlib.suppress(sandboxkit.SandboxError):
                    while True:
                        await box.restart()

            restarting = stage.start(restart)
            await _try(box, number)
            await stage.pause(0.05)
            await box.delete()
            await restarting.finish()
            assert box.id not in await stage.listed()
            with pytest.raises(sandboxkit.SandboxNotFound):
                await box.restart()
            with pytest.raises(sandboxkit.SandboxNotFound):
                await box.exec(["true"])

    @promise("L6", "L7", needs="restart", heavy=True)
    async def test_the_deadline_outlives_a_restart(self, stage: Stage) -> None:
        async with stage.create(ttl=6.0) as box:
            number = needle()
            await box.restart()
            await _beside(box, number)
            assert await stage.eventually(present(box, number, 2))
            assert (await box.info()).status is sandboxkit.Status.RUNNING

            async def ended() -> bool:
                try:
                    return (await box.info()).status is not sandboxkit.Status.RUNNING
                except sandboxkit.SandboxNotFound:
                    return True

            assert await stage.eventually(ended, within=20.0)
            with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
                await box.restart()

    @promise("L6", needs=("restart", "command"))
    async def test_the_sandboxs_own_command_begins_anew(self, stage: Stage) -> None:
        number = needle()
        async with stage.create(command=["sleep", number]) as box:
            assert await stage.eventually(present(box, number))
            await box.restart()
            assert await stage.eventually(present(box, number))
            assert await alive(box, number) == 1

    @promise("L6")
    async def test_restart_is_refused_where_it_is_not_declared(self, stage: Stage, box: AsyncSandbox) -> None:
        if stage.client.capabilities.get("restart"):
            return
        with pytest.raises(sandboxkit.Unsupported) as caught:
            await box.restart()
        assert caught.value.capability == "restart"
        assert (await box.exec(["true"])).exit_code == 0


async def _outcome(box: AsyncSandbox, number: str) -> object:
    try:
        return await box.exec(["sleep", number])
    except sandboxkit.SandboxError as error:
        return error


async def _try(box: AsyncSandbox, number: str) -> None:
    with contextlib.suppress(sandboxkit.SandboxError):
        await _beside(box, number)
