"""``python -m tests.benchmarks.distance PORT SECONDS``: a TCP proxy that makes a server of this machine distant.

Every byte takes ``SECONDS`` in either direction, however many are on their way, and so does making a connection. It
counts round trips: a connection is one, and so is whatever a client sends for the first time or after it has received
something. It prints where it listens, and the count for each line that it is sent.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import attrs


@attrs.define(eq=False)
class Side(asyncio.Protocol):
    """One of the two connections of which each passes on what comes to the other."""

    seconds: float
    came: Callable[[], object]
    """Called when something has come, before it sets out."""
    made: Callable[[Side], object] = lambda side: None
    """Called when there is a connection."""
    transport: asyncio.Transport | None = None
    other: Side | None = None
    _under_way: deque[bytes] = attrs.field(factory=deque)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.made(self)

    def data_received(self, data: bytes) -> None:
        self.came()
        self._later(data)

    def eof_received(self) -> bool:
        self._later(b"")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._later(b"")

    def _later(self, data: bytes) -> None:
        self._under_way.append(data)
        asyncio.get_running_loop().call_later(self.seconds, self._arrive)

    def _arrive(self) -> None:
        data = self._under_way.popleft()
        if self.other is None or self.other.transport is None:
            return
        if data:
            self.other.transport.write(data)
        else:
            self.other.transport.close()


@attrs.define(eq=False)
class Distance:
    """Takes connections to a port of this machine."""

    port: int
    seconds: float
    round_trips: int = 0
    _reaching: set[asyncio.Task[None]] = attrs.field(factory=set)

    def accept(self) -> Side:
        """Make the client's side of a connection."""
        waits = [True]

        def asked() -> None:
            self.round_trips += waits[0]
            waits[0] = False

        def answered() -> None:
            waits[0] = True

        def made(near: Side) -> None:
            reaching = asyncio.get_running_loop().create_task(self._reach(near, Side(self.seconds, answered)))
            self._reaching.add(reaching)
            reaching.add_done_callback(self._reaching.discard)

        self.round_trips += 1
        return Side(self.seconds, asked, made)

    async def _reach(self, near: Side, far: Side) -> None:
        assert near.transport is not None
        near.transport.pause_reading()
        await asyncio.sleep(2 * self.seconds)
        far.other = near
        await asyncio.get_running_loop().create_connection(lambda: far, "127.0.0.1", self.port)
        near.other = far
        near.transport.resume_reading()


async def _serve(distance: Distance) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(distance.accept, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        print(distance.round_trips, flush=True)


@attrs.define(eq=False)
class Distant:
    """A proxy that runs."""

    port: int
    _asking: IO[str]
    _answers: IO[str]

    def round_trips(self) -> int:
        """Give how many there were."""
        self._asking.write("\n")
        self._asking.flush()
        return int(self._answers.readline())


@contextmanager
def distant(port: int, seconds: float) -> Iterator[Distant]:
    """Run a proxy in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.distance", str(port), str(seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Distant(int(process.stdout.readline()), process.stdin, process.stdout)
        process.stdin.close()


if __name__ == "__main__":
    asyncio.run(_serve(Distance(int(sys.argv[1]), float(sys.argv[2]))))
