"""Containers that do what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs
from sandboxkit_eci.emulator.backend import ContainerSpec, ImageError, NotRunning, Stream, Usage
from sandboxkit_eci.emulator.backends.nothing import AnswerStream, Echo, Responder
from sandboxkit_eci.emulator.logs import Written


@attrs.define(eq=False)
class ScriptedMachine:
    """A container whose end is told it."""

    spec: ContainerSpec
    ended: asyncio.Future[int] = attrs.field(factory=lambda: asyncio.get_running_loop().create_future())
    restarts: int = 0
    removed: bool = False
    output: bytes = b""
    times: tuple[tuple[int, float], ...] = ()
    """When what is at an offset in ``output`` was written."""
    asked: list[tuple[str, ...]] = attrs.field(factory=list)
    """The commands that were executed."""
    responder: Responder = Echo
    streams: list[AnswerStream] = attrs.field(factory=list)
    """The same, as what runs."""
    committed: list[str] = attrs.field(factory=list)
    used: Usage = attrs.field(factory=Usage)

    def end(self, code: int) -> None:
        """Let its own process end."""
        if not self.ended.done():
            self.ended.set_result(code)

    async def wait(self) -> int:
        return await asyncio.shield(self.ended)

    async def exec(self, argv: tuple[str, ...], *, tty: bool, stdin: bool = True) -> Stream:
        if self.removed:
            raise NotRunning("removed")
        self.asked.append(argv)
        stream = AnswerStream(self.responder(argv), lambda _: None)
        self.streams.append(stream)
        stream.feed(b"")
        return stream

    async def kill(self) -> None:
        self.end(137)

    async def restart(self) -> None:
        self.restarts += 1
        self.ended = asyncio.get_running_loop().create_future()

    def log(self) -> Written:
        return Written(self.output, self.times)

    async def usage(self) -> Usage:
        return self.used

    async def commit(self, repository: str, tag: str) -> None:
        self.committed.append(f"{repository}:{tag}")

    @property
    def key(self) -> str | None:
        return None

    async def remove(self) -> None:
        self.removed = True
        self.end(137)


@attrs.define(eq=False)
class ScriptedBackend:
    """Makes them; an image called ``missing`` cannot be had."""

    machines: list[ScriptedMachine] = attrs.field(factory=list)
    failures: list[Exception] = attrs.field(factory=list)
    """What the next starts fail with."""
    responder: Responder = Echo

    async def start(self, spec: ContainerSpec) -> ScriptedMachine:
        await asyncio.sleep(0)
        if spec.image == "missing":
            raise ImageError("not found: missing")
        if self.failures:
            raise self.failures.pop(0)
        machine = ScriptedMachine(spec, responder=self.responder)
        self.machines.append(machine)
        return machine

    async def resume(self, spec: ContainerSpec, key: str) -> ScriptedMachine | None:
        return None

    def dump(self) -> dict[str, Any]:
        return {}

    def load(self, dumped: Mapping[str, Any]) -> None: ...

    async def close(self, *, keep: bool = False) -> None:
        for machine in self.machines:
            await machine.remove()
