"""Containers without processes, for thousands of them at once: a responder says what a command would."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, Self

import attrs

from sandboxkit_eci.emulator.backend import ContainerSpec, NotRunning, Usage
from sandboxkit_eci.emulator.logs import Written

KILLED = 137
"""The exit code of what was ended from outside: SIGKILL."""


class Answer(Protocol):
    """What stands in for one process."""

    exit_code: int | None
    """How it ended; ``None`` while it runs."""

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        """Take input and give output, tagged 1 (stdout) or 2 (stderr).

        Called first with nothing, for what comes without input; not again once there is an exit code.
        """
        ...


Responder = Callable[[tuple[str, ...]], Answer]
"""Makes the answer to one command, given its words."""


@attrs.define(eq=False)
class Echo:
    """Says the command's words, as ``echo`` would, and ends."""

    words: tuple[str, ...]
    exit_code: int | None = None

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        self.exit_code = 0
        return [(1, " ".join(self.words).encode() + b"\n")]


@attrs.define(eq=False)
class AnswerStream:
    """See :class:`~sandboxkit_eci.emulator.backend.Stream`."""

    _answer: Answer
    _forget: Callable[[AnswerStream], None]
    _ready: deque[tuple[int, bytes]] = attrs.field(factory=deque, init=False)
    _news: asyncio.Event = attrs.field(factory=asyncio.Event, init=False)
    _killed: bool = attrs.field(default=False, init=False)
    left_alone: bool = attrs.field(default=False, init=False)
    """Whether its session has ended and it has not."""

    @property
    def exit_code(self) -> int | None:
        return KILLED if self._killed else self._answer.exit_code

    def feed(self, data: bytes) -> None:
        """Have it answered."""
        self._ready.extend((channel, output) for channel, output in self._answer.feed(data) if output)
        if self._answer.exit_code is not None:
            self._forget(self)
        self._news.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        while not self._ready:
            if self.exit_code is not None:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._ready.popleft()

    async def write(self, data: bytes) -> None:
        if self.exit_code is None:
            self.feed(data)

    async def resize(self, rows: int, columns: int) -> None:
        """Nothing: there is no terminal."""

    async def kill(self) -> None:
        self.end()

    def end(self) -> None:
        """Have it ended from outside."""
        if self.exit_code is None:
            self._killed = True
            self._forget(self)
            self._news.set()

    async def close(self, *, end_input: bool = True) -> None:
        """Forget it: nobody will feed it again. Without ``end_input`` it runs on until its container ends."""
        if end_input:
            self.end()
        self.left_alone = not end_input


@attrs.define(eq=False)
class NoMachine:
    """See :class:`~sandboxkit_eci.emulator.backend.Machine`. Its own process runs until it is ended."""

    _backend: NoBackend
    _streams: set[AnswerStream] | None = None
    _waiting: asyncio.Event | None = None
    _removed: bool = False
    _killed: bool = False

    async def wait(self) -> int:
        if not self._removed and not self._killed:
            self._waiting = self._waiting or asyncio.Event()
            await self._waiting.wait()
        return KILLED

    async def exec(self, argv: tuple[str, ...], *, tty: bool, stdin: bool = True) -> AnswerStream:
        if self._removed:
            raise NotRunning("the container was removed")
        stream = AnswerStream(self._backend.responder(argv), self._forget)
        self._streams = self._streams or set()
        self._streams.add(stream)
        stream.feed(b"")
        return stream

    def _forget(self, stream: AnswerStream) -> None:
        if self._streams is not None:
            self._streams.discard(stream)

    async def kill(self) -> None:
        self._end()
        self._killed = True
        if self._waiting is not None:
            self._waiting.set()

    async def restart(self) -> None:
        self._end()
        if self._killed:
            self._killed, self._waiting = False, None

    def _end(self) -> None:
        for stream in list(self._streams or ()):
            stream.end()

    def log(self) -> Written:
        return Written()

    async def usage(self) -> Usage:
        return Usage()

    async def commit(self, repository: str, tag: str) -> None:
        raise NotImplementedError("containers without processes have no files to make an image of")

    @property
    def key(self) -> str | None:
        return None

    async def remove(self) -> None:
        self._end()
        self._removed = True
        self._backend.forget(self)
        if self._waiting is not None:
            self._waiting.set()


class NoBackend:
    """See :class:`~sandboxkit_eci.emulator.backend.Backend`."""

    def __init__(self, responder: Responder = Echo) -> None:
        self.responder = responder
        self._machines: set[NoMachine] = set()

    async def start(self, spec: ContainerSpec) -> NoMachine:
        machine = NoMachine(self)
        self._machines.add(machine)
        return machine

    def forget(self, machine: NoMachine) -> None:
        """Take note that it was removed."""
        self._machines.discard(machine)

    async def resume(self, spec: ContainerSpec, key: str) -> NoMachine | None:
        return None

    def dump(self) -> dict[str, Any]:
        return {}

    def load(self, dumped: Mapping[str, Any]) -> None:
        """Nothing outlives it."""

    async def close(self, *, keep: bool = False) -> None:
        for machine in list(self._machines):
            await machine.remove()
