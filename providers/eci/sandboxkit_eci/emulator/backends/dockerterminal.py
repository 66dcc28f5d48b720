"""A process on a terminal of a Docker container, which is itself the leader of the terminal's session.

sandboxkit's own terminals have a launcher there, and what runs on one finds that it leads nothing.
"""

from __future__ import annotations

from contextlib import suppress

import attrs
from sandboxkit_docker.connection import DaemonConnection, take_connection
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.faults import failure
from sandboxkit_docker.provider import DockerProvider
from sandboxkit_docker.terminal import DockerTerminal, Raw, detach_keys

from sandboxkit.errors import ProviderError, SandboxError
from sandboxkit.model import Chunk, TerminalSize
from sandboxkit.provider import Exchange, Report

NAMED = r'''stty rows $1 cols $2 2>/dev/null;printf '\036%s\036' $$;shift 2;exec "$@"'''
"""Goes before a command: sets the size, and says the process's number between two record separators.

The daemon could be told the size only when the process runs, which would be too late.
"""

SEPARATOR = b"\x1e"

HANG_UP = (
    "cd /proc&&read -r l <$1/stat&&set -- $1 ${l##*) }&&{ [ $7 -gt 1 ]&&kill -HUP -$7&&kill -CONT -$7;"
    "kill -HUP $1;kill -CONT $1;}"
)
"""Does to the leader and the foreground what the kernel does when a terminal goes."""

KILL = (
    "cd /proc;n=0;while [ $n -lt 3 ];do n=$((n+1));for p in [0-9]*;do read -r l <$p/stat||continue;"
    "f=${l##*) };s=${f#* * * };s=${s%% *};case $f in Z*)continue;;esac;"
    "[ $s = $1 ]&&kill -KILL $p&&n=0;done;done"
)
"""Ends all of the session."""

CALL_LIMIT = 10.0
"""Seconds that a call about a terminal may take."""

LOOKS = 50
"""How often the daemon is asked for the exit code of a process whose output has ended."""

PAUSE = 0.02
"""Seconds between these."""


@attrs.define(eq=False)
class LeadingTerminal:
    """See :class:`sandboxkit.provider.TerminalChannel`."""

    _provider: DockerProvider
    _sandbox_id: str
    _terminal: DockerTerminal
    _pid: str = ""
    _early: bytes = b""
    started: bool | None = True
    report: Report | None = attrs.field(default=None, init=False)
    _closed: bool = attrs.field(default=False, init=False)

    async def name(self, until: float) -> None:
        """Wait until it has said its number."""
        said = b""
        while said.count(SEPARATOR) < 2:
            turn = await self._terminal.exchange(until=until)
            said += b"".join(chunk.data for chunk in turn.chunks)
            if turn.closed or self._provider.world.now() >= until:
                words = said.decode("utf-8", "replace").strip()
                raise ProviderError(f"the container could not start a process on a terminal; it said: {words!r}")
        _, number, self._early = said.split(SEPARATOR, 2)
        self._pid = number.decode()

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        if receive and self._early:
            early, self._early = self._early, b""
            return Exchange(chunks=(Chunk(1, early),))
        turn = await self._terminal.exchange(outgoing, receive=receive, until=until)
        if turn.closed and receive:
            self.report = Report(exit_code=await self._exit_code())
        return turn

    async def _exit_code(self) -> int | None:
        daemon, world = self._provider.daemon, self._provider.world
        until = world.now() + CALL_LIMIT
        path = f"/exec/{self._terminal.exec_id}/json"
        for _ in range(LOOKS):
            answer = await world.call(lambda: daemon.request("GET", path, until=until), until=until)
            code = answer.body.get("ExitCode") if answer.status == 200 else None
            if code is not None or answer.status != 200:
                return code
            await world.sleep(PAUSE)
        return None

    async def close_stdin(self, *, until: float | None = None) -> None:
        """Nothing: a terminal's input has no end."""

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        await self._terminal.resize(size, until=until)

    async def signal(self, number: int, *, until: float | None = None) -> None:
        await self._tell(f"kill -{number:d} $1", until)

    async def kill(self, *, until: float) -> bool | None:
        with suppress(SandboxError):
            await self._tell(KILL, until)
            return True
        return None

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            if self.report is None:
                with suppress(SandboxError):
                    await self._tell(HANG_UP, self._provider.world.now() + CALL_LIMIT)
        finally:
            await self._terminal.close()

    async def _tell(self, script: str, until: float | None) -> None:
        """Run a script in the container with the process's number, to its end."""
        argv = ("/bin/sh", "-c", f"exec 2>/dev/null;{script}", "sh", self._pid)
        channel = await self._provider.open_channel(self._sandbox_id, argv, user=None, urgent=True, until=until)
        try:
            while not (await channel.exchange(until=until)).closed:
                if until is not None and self._provider.world.now() >= until:
                    return
        finally:
            await channel.close()


async def open_terminal(
    provider: DockerProvider, sandbox_id: str, argv: tuple[str, ...], size: TerminalSize, *, until: float
) -> LeadingTerminal:
    """Start a process on a new terminal of that size."""
    world = provider.world
    named = ("/bin/sh", "-c", NAMED, "sh", str(size.rows), str(size.columns), *argv)
    connection, number = await world.call(
        _exec, provider.daemon, sandbox_id, named, until, until=until, undo=lambda opened: opened[0].close()
    )
    raw = DockerTerminal(world, connection, sandbox_id, Raw(), daemon=provider.daemon, exec_id=number)
    terminal = LeadingTerminal(provider, sandbox_id, raw)
    try:
        await terminal.name(until)
    except BaseException:
        await raw.close()
        raise
    return terminal


def _exec(daemon: Daemon, sandbox_id: str, argv: tuple[str, ...], until: float) -> tuple[DaemonConnection, str]:
    body = {
        "AttachStdin": True,
        "AttachStdout": True,
        "AttachStderr": True,
        "Cmd": list(argv),
        "Tty": True,
        "DetachKeys": detach_keys(),
    }
    answer = daemon.request("POST", f"/containers/{sandbox_id}/exec", until=until, body=body)
    if answer.status != 201:
        raise failure(answer.status, answer.message, "making an exec")
    number = str(answer.body["Id"])
    path = f"/exec/{number}/start"
    response = daemon.send("POST", path, until=until, body={"Detach": False, "Tty": True}, upgrade=True)
    if response.status == 101:
        return take_connection(response), number
    refused = daemon.read(response, path, until)
    raise failure(refused.status, refused.message, "starting an exec")
