"""A channel that does to its bytes whatever the protocol does not forbid, by the dice."""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Iterator
from itertools import pairwise

from sandboxkit.model import STDERR, STDOUT, Chunk, Stream
from sandboxkit.provider import ByteChannel, Exchange, World

LATE = b"command terminated\n"
"""What the backend adds to stderr when the process has ended, after everything else."""

HOLD = 0.002
"""Seconds that a stream is held back when the other one has nothing to go first."""


MOST = 1 << 20
"""Bytes that it keeps back at most: who reads slowly holds the command back."""


class PoorChannel:
    """Sends little at a time, cuts what it receives anywhere, and delays one stream against the other."""

    def __init__(self, world: World, inner: ByteChannel, dice: random.Random) -> None:
        self.world = world
        self.inner = inner
        self.dice = dice
        self.queues: dict[Stream, deque[bytes]] = {STDOUT: deque(), STDERR: deque()}
        # How many pieces of the other stream go before the next one of this.
        self.held: dict[Stream, int] = {STDOUT: 0, STDERR: 0}
        self.ended = False

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        part = memoryview(outgoing)[: self._send_size()]
        if not receive:
            return await self.inner.exchange(part, receive=False, until=until)
        if not self._waiting():
            turn = await self.inner.exchange(part, until=until)
            self._take(turn)
            sent = turn.sent
        elif part and self.dice.random() < 0.5:
            # Something is to be given already: send only what goes at once.
            turn = await self.inner.exchange(part, receive=False, until=self.world.now())
            sent = turn.sent
        else:
            sent = 0
        chunk = self._next()
        if chunk is None and self._waiting() and not sent:
            # Only the held stream has something: give the other a moment to overtake it.
            if sum(map(len, itertools.chain(*self.queues.values()))) < MOST:
                turn = await self.inner.exchange(until=self.world.now() + HOLD)
                self._take(turn)
            chunk = self._next(release=True)
        chunks = () if chunk is None else (chunk,)
        return Exchange(sent, chunks, self.ended and not self._waiting())

    async def close(self) -> None:
        await self.inner.close()

    def _send_size(self) -> int:
        return self.dice.choice((1, 7, 100, 4096, 65536, 65536, 1 << 18, 1 << 18))

    def _waiting(self) -> bool:
        return any(self.queues.values())

    def _take(self, turn: Exchange) -> None:
        for chunk in turn.chunks:
            self.queues[chunk.stream].extend(self._cut(chunk.data))
        if turn.closed and not self.ended:
            self.ended = True
            self.queues[STDERR].append(LATE)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """Cut anywhere: finely at the end, where records are, and at the beginning."""
        cuts = {self.dice.randrange(len(data) + 1) for _ in range(2)}
        cuts |= {max(0, len(data) - self.dice.randrange(80)) for _ in range(self.dice.choice((0, 1, 3)))}
        cuts |= {min(len(data), self.dice.randrange(80)) for _ in range(self.dice.choice((0, 1, 3)))}
        marks = sorted({0, len(data), *cuts})
        return (data[start:end] for start, end in pairwise(marks))

    def _next(self, *, release: bool = False) -> Chunk | None:
        streams: list[Stream] = [STDOUT, STDERR]
        self.dice.shuffle(streams)
        for stream in streams:
            other: Stream = STDERR if stream == STDOUT else STDOUT
            if not self.queues[stream] or (self.held[stream] and not release and not self.ended):
                continue
            self.held[other] = max(0, self.held[other] - 1)
            self.held[stream] = self.dice.choice((0, 0, 0, 0, 1, 3))
            return Chunk(stream, self.queues[stream].popleft())
        return None
