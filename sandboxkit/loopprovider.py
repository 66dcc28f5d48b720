"""The blocking world over a provider that knows only asyncio: each of its calls runs on a thread with a loop.

Operations stay where they are, in the caller's thread and world; what crosses is what a provider does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, Self, cast

import attrs

from sandboxkit.aio import AsyncioWorld
from sandboxkit.loopthread import LoopThread
from sandboxkit.model import Capability, Command, CreateRequest, FileInfo, Page, SandboxInfo, Status, TerminalSize
from sandboxkit.provider import (
    Exchange,
    Extendable,
    FileOperations,
    FileReader,
    FileWriter,
    KeepsWarm,
    ProcessChannel,
    Report,
    Restartable,
    SandboxProvider,
    TerminalChannel,
    TerminalProvider,
    World,
)

ABANDON_LIMIT = 5.0
"""Seconds that ending a process may take whose start was interrupted."""


class LoopProvider:
    """See :class:`~sandboxkit.provider.SandboxProvider`; ``make`` gives the one that knows only asyncio."""

    def __init__(self, world: World, make: Callable[[World], SandboxProvider]) -> None:
        self.world = world
        self._thread = LoopThread()
        self._closed = False

        async def begin() -> SandboxProvider:
            # On the loop: what it makes may belong to the one that runs.
            return make(AsyncioWorld())

        try:
            self._inner = self._thread.run(begin())
        except BaseException:
            self._thread.close()
            raise
        self.name = self._inner.name
        self.api_version = self._inner.api_version

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return self._inner.capabilities

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        async def undo(made: SandboxInfo) -> None:
            await self._inner.delete(made.id, until=self._inner.world.now() + ABANDON_LIMIT)

        return self._thread.run(self._inner.create(request, until=until), undo=undo)

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return self._thread.run(self._inner.get(sandbox_id, until=until))

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        return self._thread.run(self._inner.list(labels=labels, statuses=statuses, cursor=cursor, until=until))

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        return self._thread.run(self._inner.delete(sandbox_id, until=until))

    async def extend(self, sandbox_id: str, *, expires_at: float, until: float | None) -> SandboxInfo:
        inner = cast("Extendable", self._inner)
        return self._thread.run(inner.extend(sandbox_id, expires_at=expires_at, until=until))

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return self._thread.run(cast("Restartable", self._inner).restart(sandbox_id, until=until))

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        starting = self._inner.start_process(sandbox_id, command, until=until)
        return _LoopProcess(self._thread, self._thread.run(starting, undo=self._abandon))

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> TerminalChannel:
        inner = cast("TerminalProvider", self._inner)
        starting = inner.start_terminal(sandbox_id, command, size, until=until)
        return _LoopTerminal(self._thread, self._thread.run(starting, undo=self._abandon))

    async def _abandon(self, channel: ProcessChannel) -> None:
        await channel.kill(until=self._inner.world.now() + ABANDON_LIMIT)
        await channel.close()

    def keep_warm(self, on: bool) -> None:
        if isinstance(self._inner, KeepsWarm):
            self._inner.keep_warm(on)

    async def cool(self, sandbox_id: str | None = None) -> None:
        if isinstance(self._inner, KeepsWarm) and not self._closed:
            self._thread.run(self._inner.cool(sandbox_id))

    def files(self, sandbox_id: str) -> FileOperations:
        return _LoopFiles(self._thread, self._inner.files(sandbox_id))

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            self._thread.run(self._close())
        finally:
            self._thread.close()

    async def _close(self) -> None:
        await self._inner.close()
        await cast("AsyncioWorld", self._inner.world).close()


@attrs.define(eq=False)
class _LoopProcess:
    """See :class:`~sandboxkit.provider.ProcessChannel`."""

    _thread: LoopThread
    _inner: ProcessChannel

    @property
    def started(self) -> bool | None:
        return self._inner.started

    @property
    def report(self) -> Report | None:
        return self._inner.report

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        return self._thread.run(self._inner.exchange(outgoing, receive=receive, until=until))

    async def close_stdin(self, *, until: float | None = None) -> None:
        self._thread.run(self._inner.close_stdin(until=until))

    async def signal(self, number: int, *, until: float | None = None) -> None:
        self._thread.run(self._inner.signal(number, until=until))

    async def kill(self, *, until: float) -> bool | None:
        return self._thread.run(self._inner.kill(until=until))

    async def close(self) -> None:
        self._thread.run(self._inner.close())


@attrs.define(eq=False)
class _LoopTerminal(_LoopProcess):
    """See :class:`~sandboxkit.provider.TerminalChannel`."""

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        self._thread.run(cast("TerminalChannel", self._inner).resize(size, until=until))


@attrs.define(eq=False)
class _LoopFiles:
    """See :class:`~sandboxkit.provider.FileOperations`."""

    _thread: LoopThread
    _inner: FileOperations

    def open_read(self, path: bytes, *, offset: int = 0, length: int | None = None) -> FileReader:
        return _LoopReader(self._thread, self._inner.open_read(path, offset=offset, length=length))

    def open_write(
        self, path: bytes, *, mode: int | None = None, atomic: bool = True, append: bool = False
    ) -> FileWriter:
        return _LoopWriter(self._thread, self._inner.open_write(path, mode=mode, atomic=atomic, append=append))

    async def read(self, path: bytes, *, offset: int, length: int | None, limit: int) -> bytes:
        return self._thread.run(self._inner.read(path, offset=offset, length=length, limit=limit))

    async def write(
        self, path: bytes, data: bytes | memoryview, *, mode: int | None, atomic: bool, append: bool
    ) -> None:
        self._thread.run(self._inner.write(path, data, mode=mode, atomic=atomic, append=append))

    async def list(self, path: bytes) -> Sequence[FileInfo]:
        return self._thread.run(self._inner.list(path))

    async def stat(self, path: bytes, *, follow: bool) -> FileInfo:
        return self._thread.run(self._inner.stat(path, follow=follow))

    async def mkdir(self, path: bytes, *, mode: int | None, parents: bool, exist_ok: bool) -> None:
        self._thread.run(self._inner.mkdir(path, mode=mode, parents=parents, exist_ok=exist_ok))

    async def remove(self, path: bytes, *, recursive: bool, missing_ok: bool) -> None:
        self._thread.run(self._inner.remove(path, recursive=recursive, missing_ok=missing_ok))

    async def move(self, source: bytes, target: bytes, *, overwrite: bool) -> None:
        self._thread.run(self._inner.move(source, target, overwrite=overwrite))

    async def copy(self, source: bytes, target: bytes, *, recursive: bool, overwrite: bool) -> None:
        self._thread.run(self._inner.copy(source, target, recursive=recursive, overwrite=overwrite))

    async def glob(self, pattern: bytes) -> Sequence[bytes]:
        return self._thread.run(self._inner.glob(pattern))


@attrs.define(eq=False)
class _LoopReader:
    """See :class:`~sandboxkit.provider.FileReader`."""

    _thread: LoopThread
    _inner: FileReader
    _pieces: AsyncIterator[bytes] | None = None

    async def __aenter__(self) -> Self:
        self._inner = self._thread.run(
            self._inner.__aenter__(), undo=lambda opened: opened.__aexit__(None, None, None)
        )
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._thread.run(self._inner.__aexit__(*exc))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._pieces is None:
            self._pieces = self._inner.__aiter__()
        return self._thread.run(cast("Coroutine[Any, Any, bytes]", self._pieces.__anext__()))

    async def read(self, size: int = -1) -> bytes:
        return self._thread.run(self._inner.read(size))


@attrs.define(eq=False)
class _LoopWriter:
    """See :class:`~sandboxkit.provider.FileWriter`."""

    _thread: LoopThread
    _inner: FileWriter

    async def __aenter__(self) -> Self:
        async def undo(opened: FileWriter) -> None:
            await opened.__aexit__(KeyboardInterrupt, KeyboardInterrupt(), None)

        self._inner = self._thread.run(self._inner.__aenter__(), undo=undo)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._thread.run(self._inner.__aexit__(*exc))

    async def write(self, data: bytes | memoryview) -> None:
        self._thread.run(self._inner.write(data))
