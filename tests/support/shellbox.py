"""The host as a sandbox whose file programs run under one chosen shell, with hooks to disturb them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sandboxkit.client import AsyncClient
from sandboxkit.model import Command
from sandboxkit.provider import Exchange, ProcessChannel, Report, World
from sandboxkit.sync import Client, Files
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell, busybox_applets, shells

SHELLS = ("dash", "bash", "busybox")

Disturb = Callable[["Disturbed", bytes | memoryview], bytes | memoryview]
"""Sees every exchange before it is made: may raise, wait, or pass on less than it was given."""


def undisturbed(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
    return outgoing


@attrs.define(eq=False)
class Disturbed:
    """A process channel that counts what goes through it and lets a test come between."""

    inner: ProcessChannel
    box: ShellBox
    sent: int = 0
    turns: int = 0
    killed: bool = False
    closed: bool = False

    @property
    def started(self) -> bool | None:
        return self.inner.started

    @property
    def report(self) -> Report | None:
        return self.inner.report

    async def exchange(self, outgoing: bytes | memoryview = b"", **options: Any) -> Exchange:
        self.turns += 1
        turn = await self.inner.exchange(self.box.disturb(self, outgoing), **options)
        self.sent += turn.sent
        return turn

    async def close_stdin(self, *, until: float | None = None) -> None:
        await self.inner.close_stdin(until=until)

    async def signal(self, number: int, *, until: float | None = None) -> None:
        await self.inner.signal(number, until=until)

    async def kill(self, *, until: float) -> bool | None:
        self.killed = True
        return await self.inner.kill(until=until)

    async def close(self) -> None:
        self.closed = True
        await self.inner.close()


class ShellBox(HostShell):
    """Runs every ``/bin/sh`` program with the shell ``program``; ``channels`` are those that it gave."""

    def __init__(
        self,
        world: World,
        shell: tuple[str, ...],
        path: str | None = None,
        *,
        program: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(world, shell, path)
        self.program = program or shell
        self.disturb: Disturb = undisturbed
        self.channels: list[Disturbed] = []

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        argv = command.argv or ()
        if argv[:1] == (b"/bin/sh",) and self._pools is None:  # a shell that is kept runs programs itself
            command = attrs.evolve(command, argv=(*map(os.fsencode, self.program), *argv[1:]))
        channel = Disturbed(await super().start_process(sandbox_id, command, until=until), self)
        self.channels.append(channel)
        return channel

    @property
    def face(self) -> Files:
        """Its files as a blocking user sees them."""
        return Client(AsyncClient(self, "test")).get("host").files


def make_box(
    shell: str, factory: pytest.TempPathFactory, world: World | None = None, *, user: int | None = None
) -> ShellBox:
    """Make a box with one of :data:`SHELLS`, ``user`` another user's; skips the test where the host lacks it."""
    found = dict(shells())
    if shell not in found:
        pytest.skip(f"no {shell} on this machine")
    path = busybox_applets(factory.mktemp("applets")) if shell == "busybox" else None
    program = found[shell]
    as_user = () if user is None else ("/usr/bin/setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups")
    return ShellBox(world or BlockingWorld(), (*as_user, *program), path, program=program)


def leftovers(directory: Path) -> list[str]:
    """Give what the file programs left behind below a directory."""
    return [str(path) for path in directory.rglob(".sandboxkit-*")]


def entries(directory: Path | str = ".") -> list[str]:
    """Give the names in a directory of the host, sorted as sandboxkit sorts."""
    return sorted((path.name for path in Path(directory).iterdir()), key=os.fsencode)
