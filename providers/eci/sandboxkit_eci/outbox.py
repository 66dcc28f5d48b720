"""What an exec stream sends: stdin in messages, pings, replies, and what of them the kernel has no room for yet."""

from __future__ import annotations

import math
import threading

import attrs

from sandboxkit.connection import Connection, TryLater
from sandboxkit.provider import World
from sandboxkit_eci.codec import Codec
from sandboxkit_eci.messages import encode_stdin

PIECE = 1 << 16
"""Bytes of stdin in one message."""

TURN = 1 << 18
"""Bytes taken at once at most, so that nobody else waits for long."""

MOST_REPLIES = 1 << 16
"""Bytes of unsent replies to pings after which no more are added."""

SOON = 0.01
"""Seconds after which what is left to send should be tried again."""


@attrs.define(eq=False)
class Outbox:
    """See above; threads may share it. Nothing here ever waits."""

    _world: World = attrs.field(repr=False)
    _connection: Connection
    _codec: Codec = attrs.field(repr=False)
    _ping_interval: float
    ping_at: float = attrs.field(init=False)
    """When the next ping is due."""
    deaf: bool = attrs.field(default=False, init=False)
    """Whether the peer takes nothing any more."""
    answers: bool = attrs.field(default=False, init=False)
    """Whether the peer has ever answered a ping: it is not documented that ECI does."""
    # When the oldest ping went of those since which nothing has come.
    _asked_at: float = attrs.field(default=math.inf, init=False)
    _rest: memoryview = attrs.field(factory=lambda: memoryview(b""), init=False, repr=False)
    _lock: threading.RLock = attrs.field(factory=threading.RLock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.ping_at = self._world.now() + self._ping_interval

    @property
    def is_empty(self) -> bool:
        """Whether the kernel has all that was taken."""
        return not self._rest

    def take(self, outgoing: bytes | memoryview) -> tuple[int, bool]:
        """Take stdin as long as all of it goes; give how much, and whether only TLS is in the way.

        What was taken will go: a message that was begun must be ended, whoever gives up on its sending.
        """
        outgoing, taken = memoryview(outgoing), 0
        with self._lock:
            later = self.flush()
            while taken < min(len(outgoing), TURN) and not self._rest and not self.deaf:
                piece = outgoing[taken : taken + PIECE]
                self._rest = memoryview(self._codec.message(encode_stdin(piece)))
                later = self.flush()
                if not self.deaf:
                    taken += len(piece)
        return taken, later

    def flush(self) -> bool:
        """Send what is left, and a ping if one is due; ``True`` if only TLS is in the way."""
        with self._lock:
            if (now := self._world.now()) >= self.ping_at:
                self.ping_at = now + self._ping_interval
                if not self._rest and not self.deaf:
                    self._rest = memoryview(self._codec.ping())
                    self._asked_at = min(self._asked_at, now)
            try:
                while self._rest:
                    gone = self._connection.send(self._rest)
                    if not gone:
                        break
                    self._rest = self._rest[gone:]
            except TryLater:
                return True
            except OSError:
                # What the command wrote may still be on its way: only receiving tells how it ended.
                self.shut()
        return False

    def add(self, data: bytes) -> None:
        """Send ``data`` behind what is left."""
        with self._lock:
            if not self.deaf:
                self._rest = memoryview(bytes(self._rest) + data)
                self.flush()

    def message(self, data: bytes) -> None:
        """Send a message that is no stdin; nothing happens once the peer takes nothing."""
        with self._lock:
            if not self.deaf:
                self.add(self._codec.message(data))

    def reply(self, data: bytes) -> None:
        """Send a reply to a ping, but not to a peer that pings without reading the answers."""
        if len(self._rest) < MOST_REPLIES:
            self.add(data)

    def goodbye(self) -> None:
        """Send a close frame."""
        with self._lock:
            if not self.deaf:
                self.add(self._codec.goodbye())

    def shut(self) -> None:
        """Send nothing any more."""
        with self._lock:
            self.deaf = True
            self._rest = memoryview(b"")

    def heard(self) -> None:
        """Note that something has come, whatever it was."""
        with self._lock:
            self._asked_at = math.inf

    @property
    def is_unanswered(self) -> bool:
        """Whether a peer that answers pings has been silent for a whole interval after one."""
        return self.answers and self._world.now() > self._asked_at + self._ping_interval

    @property
    def next_due(self) -> float:
        """When :meth:`flush` should be called, if nobody exchanges."""
        return self.ping_at if not self._rest else min(self.ping_at, self._world.now() + SOON)
