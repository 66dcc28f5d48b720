"""A container that is a sandbox, from its start to its removal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import attrs

from sandboxkit.commands import make_command
from sandboxkit.errors import SandboxError
from sandboxkit.log import logger
from sandboxkit.model import Stdin
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit_eci.emulator.backend import ContainerSpec, NotRunning, Usage
from sandboxkit_eci.emulator.backends.streams import ProcessStream
from sandboxkit_eci.emulator.backends.usage import COUNT, disk_command, read_usage, with_disk
from sandboxkit_eci.emulator.logs import Log, Written

if TYPE_CHECKING:
    from sandboxkit_eci.emulator.backends.sandboxes import SandboxBackend

START_LIMIT = 60.0
"""Seconds that starting a process may take."""

KILLED = 137
"""The exit code of what was ended from outside: SIGKILL."""


@attrs.define(eq=False)
class _Run:
    """One life of a container: from its start, or a restart, to the end of its own process."""

    box: AsyncSandbox
    log: Log = attrs.field(factory=Log)
    streams: set[ProcessStream] = attrs.field(factory=set)
    own: ProcessStream | None = None
    """The container's own process."""
    following: asyncio.Task[None] | None = None
    ended: bool = False


class SandboxMachine:
    """See :class:`~sandboxkit_eci.emulator.backend.Machine`."""

    def __init__(self, backend: SandboxBackend, spec: ContainerSpec) -> None:
        self.spec = spec
        self._backend = backend
        self._client = backend.client
        self._run: _Run | None = None
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._removed = False
        self._usage = Usage()

    async def begin(self) -> None:
        """Make its sandbox and start its own process."""
        run = _Run(await self._backend.make(self.spec))
        if self._removed:
            await run.box.delete()
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} was removed")
        self._run = run
        await self._start_own(run)

    @property
    def key(self) -> str | None:
        return None if self._run is None or self._run.ended else self._run.box.id

    async def resume(self, sandbox_id: str) -> None:
        """Take a sandbox up that is there, end what runs in it and start its own process."""
        run = _Run(await self._client.get(sandbox_id))
        self._run = run
        await run.box.restart()
        await self._start_own(run)

    async def leave(self) -> None:
        """Let go of its processes; the sandbox stays."""
        if self._run is not None:
            await self._let_go(self._run)

    async def _start_own(self, run: _Run) -> None:
        argv = await self._backend.argv(self.spec)
        if not argv:
            raise ValueError("no command was given, and the image has none")
        for path, file in self.spec.files.items():
            await run.box.files.write(path, file.content, mode=file.mode)
        stream = await self._spawn(run, argv, tty=False, stdin=Stdin())
        run.own = stream
        run.following = asyncio.create_task(self._follow(run, stream))

    async def _follow(self, run: _Run, stream: ProcessStream) -> None:
        async for _, data in stream:
            run.log.add(data)
        run.ended = True
        if self._run is run and not self._end.done():
            self._end.set_result(KILLED if stream.exit_code is None else stream.exit_code)
        # Whatever else runs in a container ends with its own process.
        try:
            if self._backend.reset_files:
                await self._client.delete(run.box.id)
            else:
                await asyncio.gather(*(other.kill() for other in list(run.streams)))
        except SandboxError as exc:
            logger.warning("what is left of a container of the emulator's could not be ended: %s", exc)

    async def wait(self) -> int:
        end = self._end
        # Not awaited itself: who gives up waiting would cancel it for everyone.
        await asyncio.wait({end})
        return end.result()

    async def exec(self, argv: tuple[str, ...], *, tty: bool, stdin: bool = True) -> ProcessStream:
        run, words = self._run, f"container {self.spec.name} of {self.spec.group_id} is not running"
        if run is None or run.ended or self._removed:
            raise NotRunning(words)
        try:
            return await self._spawn(run, argv, tty=tty, stdin=Stdin(kind="raw") if stdin else Stdin())
        except SandboxError as exc:
            if self._run is run and not run.ended:
                raise
            raise NotRunning(words) from exc  # it has ended meanwhile

    async def _spawn(self, run: _Run, argv: tuple[str, ...], *, tty: bool, stdin: Stdin) -> ProcessStream:
        provider = self._client.provider
        until = provider.world.now() + START_LIMIT
        if tty:
            terminal = await self._backend.start_terminal(run.box.id, argv, self._directory, until=until)
            stream = ProcessStream(terminal, provider.world, run.streams.discard, terminal)
        else:
            command = make_command(argv, cwd=self._directory, stdin=stdin)
            channel = await provider.start_process(run.box.id, command, until=until)
            stream = ProcessStream(channel, provider.world, run.streams.discard)
        run.streams.add(stream)
        return stream

    @property
    def _directory(self) -> str | None:
        return None if self._backend.has("image") else self.spec.working_dir

    async def kill(self) -> None:
        if self._run is not None and self._run.own is not None:
            with suppress(SandboxError):  # it is gone
                await self._run.own.kill()

    async def restart(self) -> None:
        if self._removed:
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} was removed")
        old, self._run = self._run, None
        if self._end.done():
            self._end = asyncio.get_running_loop().create_future()
        if old is None or self._backend.reset_files:
            if old is not None:
                await self._discard(old)
            await self.begin()
            return
        await self._let_go(old)
        await old.box.restart()
        self._run = _Run(old.box)
        await self._start_own(self._run)

    async def _discard(self, run: _Run) -> None:
        try:
            await self._client.delete(run.box.id)
        finally:
            await self._let_go(run)

    async def _let_go(self, run: _Run) -> None:
        run.ended = True
        if run.following is not None:
            run.following.cancel()
            await asyncio.gather(run.following, return_exceptions=True)
        for stream in list(run.streams):
            await stream.abandon()

    def log(self) -> Written:
        return Written() if self._run is None else self._run.log.read()

    async def usage(self) -> Usage:
        run = self._run
        if run is None or run.ended:
            return self._usage
        try:
            found = await self._measure(run)
        except SandboxError:
            return self._usage
        self._usage = found.since(self._usage)
        return self._usage

    async def _measure(self, run: _Run) -> Usage:
        if self._backend.provider == "docker":
            from sandboxkit_eci.emulator.backends import docker

            return await docker.usage(self._client, run.box.id) or self._usage
        used = read_usage(await self._said(run, COUNT))
        if self._backend.provider != "local":
            return used
        return with_disk(used, await self._said(run, disk_command((await run.box.info()).details)))

    async def _said(self, run: _Run, argv: tuple[str, ...]) -> bytes:
        stream = await self._spawn(run, argv, tty=False, stdin=Stdin())
        return b"".join([data async for channel, data in stream if channel == 1])

    async def commit(self, repository: str, tag: str) -> None:
        if self._run is None or self._run.ended:
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} is not running")
        await self._backend.commit(self._run.box.id, self.spec, f"{repository}:{tag}")

    async def remove(self) -> None:
        self._removed = True
        if (run := self._run) is not None:
            # Before it is gone, so that its end is not taken for one of its own.
            self._run = None
            try:
                await self._discard(run)
            except BaseException:
                self._run = run
                raise
        if not self._end.done():
            self._end.set_result(KILLED)
        self._backend.forget(self)
