"""A shell of this host whose channels are kept, in either world, and what may be asked of it from outside."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
import pytest

from sandboxkit.aio import AsyncioWorld
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import CommandError, ProviderUnavailable
from sandboxkit.pool import Pool
from sandboxkit.provider import ByteChannel, Exchange
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell, PipeChannel, busybox_applets, shells

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which what should happen at once is taken to never happen."""


INPUTS = {"none": b"", "embedded": b"x\n" * 10, "fed": b"yz\n" * 2000, "much": b"yz\n" * 100_000}
"""A command's input: none, within its request, and behind it."""


@attrs.define(eq=False)
class Stage:
    """A host, a client of it, and what runs coroutines in its world."""

    host: HostShell
    go: Callable[[Coroutine[Any, Any, Any]], Any] = attrs.field(repr=False)
    client: AsyncClient = attrs.field(init=False)
    box: AsyncSandbox = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.client = AsyncClient(self.host, "test")
        self.box = self.go(self.client.get("host"))

    def exec(self, command: Any, **options: Any) -> Any:
        """Run a command to its end."""

        async def execute() -> Any:
            return await self.box.exec(command, **options)

        return self.go(execute())

    def told(self, command: Any, **options: Any) -> tuple[Any, ...]:
        """Run a command; give all that its caller learns of how it ended."""
        try:
            result = self.exec(command, **options)
        except CommandError as exc:
            return (
                type(exc).__name__,
                exc.dispatched,
                getattr(exc, "killed", ""),
                getattr(exc, "errno", ""),
                exc.stdout,
                exc.stderr,
            )
        return (result.exit_code, result.stdout, result.stderr)

    @property
    def pool(self) -> Pool:
        """The channels to the host, of its own user."""
        assert self.host._pools is not None
        return self.host._pools._pool("host", None)


@contextlib.contextmanager
def stage(host: HostShell, *, warm: bool = True) -> Iterator[Stage]:
    """Put a host on the stage; at the end nothing of it is left."""
    host.keep_warm(warm)
    if host.world.name == "blocking":
        made = Stage(host, run)
        try:
            yield made
        finally:
            run(made.client.close())
        return
    with asyncio.Runner() as runner:
        made = Stage(host, runner.run)
        try:
            yield made
        finally:
            runner.run(made.client.close())


def make_host(
    shell: str,
    world: str,
    factory: pytest.TempPathFactory,
    kind: type[HostShell] = HostShell,
) -> HostShell:
    """Make a host with a shell's name and a world's; skips the test where there is no such shell."""
    found = dict(shells())
    if shell not in found:
        pytest.skip(f"no {shell} on this machine")
    path = busybox_applets(factory.mktemp("applets")) if shell == "busybox" else None
    return kind(BlockingWorld() if world == "blocking" else AsyncioWorld(), found[shell], path)


def alive(marker: str) -> list[int]:
    """Give the processes of this host whose arguments hold the marker, zombies left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def needle() -> str:
    """Give a number of seconds to sleep that tells a test's processes from all others."""
    return f"{61 + time.time_ns() % 10**9 / 10**9:.9f}"


@contextlib.contextmanager
def ended_at_last(marker: str) -> Iterator[str]:
    """End what a test left behind, by the marker in its arguments."""
    try:
        yield marker
    finally:
        for pid in alive(marker):
            with contextlib.suppress(OSError):
                os.kill(pid, 9)


def eventually(true: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, what
        time.sleep(0.01)


def descriptors() -> int:
    """Count what this process has open."""
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - iterating would count its own


class Cut:
    """A channel that drops once it has carried so many bytes in one direction, counted from when it was told so."""

    def __init__(self, inner: ByteChannel) -> None:
        self.inner = inner
        self.sends: int | None = None
        self.gives: int | None = None
        self.raises = False
        self.dropped = False

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        if self.dropped:
            return await self._drop()
        if self.sends is not None:
            outgoing = memoryview(outgoing)[: self.sends]
            if not self.sends:
                return await self._drop()
        turn = await self.inner.exchange(outgoing, receive=receive and self.sends is None, until=until)
        if self.sends is not None:
            self.sends -= turn.sent
        return turn if self.gives is None else await self._give(turn)

    async def _give(self, turn: Exchange) -> Exchange:
        assert self.gives is not None
        chunks = []
        for chunk in turn.chunks:
            if data := chunk.data[: self.gives]:
                chunks.append(attrs.evolve(chunk, data=data))
                self.gives -= len(data)
        if self.gives or turn.closed:
            return attrs.evolve(turn, chunks=tuple(chunks))
        await self.inner.close()
        self.dropped = True
        return Exchange(turn.sent, tuple(chunks), closed=not self.raises)

    async def _drop(self) -> Exchange:
        self.dropped = True
        await self.inner.close()
        if self.raises:
            raise ProviderUnavailable("the connection broke")
        return Exchange(closed=True)

    async def close(self) -> None:
        await self.inner.close()


class CutHost(HostShell):
    """Whose channels may be told to drop; ``cuts`` are all that it gave for commands."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.cuts: list[Cut] = []

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        inner = await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        if urgent:
            return inner
        self.cuts.append(Cut(inner))
        return self.cuts[-1]


class SocketHost(HostShell):
    """Whose processes write into sockets, which cannot be opened anew."""

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        self.opened += 1
        out, its_out = socket.socketpair()
        err, its_err = socket.socketpair()
        with its_out, its_err:
            process = subprocess.Popen(  # noqa: ASYNC220 - a fork of this host, done in a moment
                [*self.shell, *argv[1:]],
                stdin=subprocess.PIPE,
                stdout=its_out.fileno(),
                stderr=its_err.fileno(),
                start_new_session=True,
                env={"PATH": self.path, **self.env},
            )
        self.processes.append(process)
        process.stdout = os.fdopen(out.detach(), "rb")
        process.stderr = os.fdopen(err.detach(), "rb")
        return PipeChannel(self.world, process)


def check_opened(place: Stage, count: int) -> None:
    """See that so many channels were opened, or one more.

    When the host's process ids begin anew, or many were given out, a runner looks at every process newer than it.
    Here that may be one that the client has just forked, which holds the other ends until it is another program.
    """
    assert place.host.opened - count in (0, 1), place.host.opened


def check_clean(place: Stage) -> None:
    """See that a few commands come out as they are."""
    for number in range(3):
        result = place.exec(f"printf out{number}; printf err{number} >&2; exit {number}")
        assert (number, b"out%d" % number, b"err%d" % number) == (result.exit_code, result.stdout, result.stderr)
