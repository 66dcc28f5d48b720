"""Ending a sandbox: its PID 1, and all that runs in it."""

from __future__ import annotations

import contextlib
import os
import signal

from sandboxkit.errors import DeadlineExceeded, ProviderError, SandboxError
from sandboxkit.model import Status
from sandboxkit.provider import World
from sandboxkit_local.connection import connect
from sandboxkit_local.state import State
from sandboxkit_local.wire import frame

PAUSE = 0.01
"""Seconds between two looks."""


async def end(world: World, state: State, sandbox_id: str, until: float | None) -> None:
    """End PID 1, and with it everything in the sandbox, and wait until that is so."""
    while True:
        status, pid = state.status(sandbox_id)
        if status is Status.CREATING:
            # Whoever makes it holds on to it; it is ready or gone in a moment.
            pid = 0
        elif status is not Status.RUNNING:
            return
        elif pid == 0:
            await _ask_to_end(world, state, sandbox_id, until)
        if pid and (pidfd := _open_pid(pid)) is not None:
            try:
                # Still the same one? A pid is given out again, the lock is not.
                if state.status(sandbox_id)[1] == pid:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                readable, _ = await world.ready(read=(pidfd,), until=until)
                if readable:
                    continue
            except ProcessLookupError:
                continue
            finally:
                os.close(pidfd)
        await look_again(world, sandbox_id, until)


async def look_again(world: World, sandbox_id: str, until: float | None) -> None:
    """Pause before another look; raises ``DeadlineExceeded`` where there is no time for one."""
    if until is not None and world.now() >= until:
        raise DeadlineExceeded(f"sandbox {sandbox_id} did not end within the operation's deadline")
    await world.sleep(PAUSE)


async def _ask_to_end(world: World, state: State, sandbox_id: str, until: float | None) -> None:
    # Its PID 1 lives in a pid namespace that cannot be seen from here.
    with contextlib.suppress(SandboxError):
        connection = await connect(world, state, sandbox_id, until=until)
        try:
            await connection.send(frame(b"end"), until=until)
            await connection.answer(until=until)
        finally:
            connection.close()


def _open_pid(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def end_plain_processes(sandbox_id: str) -> None:
    """End the processes of a sandbox that has no namespaces, by their mark."""
    from sandboxkit_local.inside.tree import end_marked

    if not end_marked(sandbox_id, 5.0):
        raise ProviderError(f"some processes of sandbox {sandbox_id} could not be ended")
