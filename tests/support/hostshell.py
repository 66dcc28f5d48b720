"""A provider whose "sandbox" is a process of this host: it lets the launcher be tried on any shell, in milliseconds.

Nothing is isolated, so only well-behaved commands belong here: the launcher kills by mark and session only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from sandboxkit.errors import SandboxNotFound
from sandboxkit.model import (
    STDERR,
    STDOUT,
    Capability,
    Chunk,
    CreateRequest,
    Page,
    SandboxInfo,
    Status,
    Stream,
)
from sandboxkit.provider import ByteChannel, Exchange, ProviderBase, World

PIECE = 1 << 18


class PipeChannel:
    """A process's three pipes as a byte channel."""

    def __init__(self, world: World, process: subprocess.Popen[bytes]) -> None:
        self.world = world
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin: int | None = os.dup(process.stdin.fileno())
        self.outputs: dict[int, Stream] = {
            os.dup(process.stdout.fileno()): STDOUT,
            os.dup(process.stderr.fileno()): STDERR,
        }
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()
        for fd in (self.stdin, *self.outputs):
            os.set_blocking(fd, False)
        self.told = False

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        await self.world.breathe()
        while True:
            turn = self._try(outgoing, receive)
            if turn is not None:
                return turn
            write = [self.stdin] if outgoing and self.stdin is not None else []
            read = list(self.outputs) if receive else []
            found = await self.world.ready(read=read, write=write, until=until)
            if not any(found):
                return Exchange()

    def _try(self, outgoing: bytes | memoryview, receive: bool) -> Exchange | None:
        sent = 0
        if outgoing and self.stdin is not None:
            try:
                sent = os.write(self.stdin, outgoing)
            except BlockingIOError:
                pass
            except BrokenPipeError:
                os.close(self.stdin)
                self.stdin = None
        chunks = []
        if receive:
            for fd, stream in list(self.outputs.items()):
                with contextlib.suppress(BlockingIOError):
                    data = os.read(fd, PIECE)
                    if data:
                        chunks.append(Chunk(stream, data))
                    else:
                        os.close(fd)
                        del self.outputs[fd]
        closed = receive and not self.outputs and not self.told
        self.told = self.told or closed
        return Exchange(sent, tuple(chunks), closed) if sent or chunks or closed else None

    async def close(self) -> None:
        if self.stdin is not None:
            os.close(self.stdin)
            self.stdin = None
        for fd in self.outputs:
            os.close(fd)
        self.outputs.clear()


class HostShell(ProviderBase):
    """One shell of this host; the only sandbox it knows is called ``host``."""

    name = "hostshell"

    def __init__(self, world: World, shell: tuple[str, ...] = ("/bin/sh",), path: str | None = None) -> None:
        super().__init__(world)
        self.shell = shell
        self.path = path or os.environ["PATH"]
        self.processes: list[subprocess.Popen[bytes]] = []
        self.opened = 0
        self.env: dict[str, str] = {}

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return {name: Capability(True) for name in ("lifecycle", "exec", "files", "tmux")}

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        if sandbox_id != "host":
            raise SandboxNotFound(f"no sandbox {sandbox_id!r}")
        self.opened += 1
        process = subprocess.Popen(  # noqa: ASYNC220 - a fork of this host, done in a moment
            [*self.shell, *argv[1:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={"PATH": self.path, **self.env},
        )
        self.processes.append(process)
        return PipeChannel(self.world, process)

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        if sandbox_id != "host":
            raise SandboxNotFound(f"no sandbox {sandbox_id!r}")
        return SandboxInfo(id="host", provider=self.name, status=Status.RUNNING)

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        return await self.get("host", until=until)

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        return Page(items=(await self.get("host", until=until),))

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        return True

    async def close(self) -> None:
        for process in self.processes:
            process.wait(timeout=10)


def busybox_applets(directory: Path) -> str:
    """Fill a directory with busybox's applets, to be a PATH without coreutils."""
    busybox = shutil.which("busybox")
    assert busybox is not None
    for applet in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
        (directory / applet).symlink_to(busybox)
    return str(directory)


def shells() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give the shells found here, each by name with its argv."""
    for name, argv in (
        ("dash", ("dash",)),
        ("bash", ("bash", "--posix")),
        ("busybox", ("busybox", "sh")),
    ):
        path = shutil.which(argv[0])
        if path is not None:
            yield name, (path, *argv[1:])
