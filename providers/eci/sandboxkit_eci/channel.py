"""A running exec's stdin, stdout and stderr over a websocket, in both worlds.

The descriptor is waited for through the world, so nothing runs beside an exchange but, under asyncio, one timer: no
task, no queue. What has not been asked for stays in the kernel and holds the command back.
"""

from __future__ import annotations

import contextlib

import attrs

from sandboxkit.connection import Connection, TryLater
from sandboxkit.errors import ProviderError, ProviderUnavailable
from sandboxkit.model import Chunk
from sandboxkit.provider import Exchange, World
from sandboxkit_eci.codec import NO_CODE, Codec, Received
from sandboxkit_eci.frames import FrameCutter
from sandboxkit_eci.messages import MessageParser
from sandboxkit_eci.outbox import Outbox

IDLE_TIMEOUT = 60.0
"""Seconds of silence after which ECI closes an exec, about."""

PING_INTERVAL = IDLE_TIMEOUT / 3
"""Seconds between pings. Less than between looks at channels that are kept, so that each look may ping."""

RECEIVE = 1 << 19
"""Bytes taken from the kernel at once."""

MANY = 256
"""Messages after which an exchange gives what it has, and leaves the rest to the next: each costs time."""

SMALL = 1 << 12
"""Bytes up to which, on average, neighbouring pieces of one stream are joined."""

PAUSE = 0.01
"""Seconds between looks where no descriptor can be waited for."""

FAREWELL = 0.2
"""Seconds that closing waits for what was taken for sending to go."""

ENDINGS = (1000, 1001, NO_CODE)
"""Codes with which a peer closes in order."""


@attrs.define(eq=False)
class ExecChannel:
    """See :class:`sandboxkit.provider.ByteChannel`. One task or thread may send while another receives.

    In the blocking world nothing pings while nobody calls ``exchange``: a silent process that is left alone for a
    minute may find its channel closed by ECI. Channels that are kept, and terminals, are given a turn in time.
    """

    _world: World = attrs.field(repr=False)
    _connection: Connection
    _codec: Codec = attrs.field(repr=False)
    _ping_interval: float = PING_INTERVAL
    # What came right behind the handshake.
    _early: bytes = attrs.field(default=b"", repr=False)
    # What has arrived and is not yet parsed.
    _rest: memoryview = attrs.field(init=False, repr=False)
    _cutter: FrameCutter = attrs.field(factory=FrameCutter, init=False, repr=False)
    _parser: MessageParser = attrs.field(factory=MessageParser, init=False, repr=False)
    _outbox: Outbox = attrs.field(init=False, repr=False)
    _ended: bool = attrs.field(default=False, init=False)
    _told: bool = attrs.field(default=False, init=False)
    _broken: str = attrs.field(default="", init=False)
    _waiting: set[str] = attrs.field(factory=set, init=False, repr=False)
    # Whether nothing else sends what is left to send: then ``exchange`` waits for that, and pings.
    _alone: bool = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._rest, self._early = memoryview(self._early), b""
        self._outbox = Outbox(self._world, self._connection, self._codec, self._ping_interval)
        self._alone = self._world.name == "blocking"

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        with self._connection.use():
            return await self._exchange(outgoing, receive, until)

    async def _exchange(self, outgoing: bytes | memoryview, receive: bool, until: float | None) -> Exchange:
        # A peer that gives or takes without end would never let anybody else run.
        await self._world.breathe()
        sent = 0
        while True:
            if self._connection.closing:
                raise ProviderUnavailable("the channel was closed")
            chunks: list[Chunk] = []
            again = False
            # There may have been an end, which the one who receives was told.
            closed = self._told
            # Before a ping goes: what answers an earlier one would be taken for this one's answer.
            if receive:
                chunks, closed, again = self._receive()
            if sent:
                later = self._outbox.flush()
            else:
                sent, later = self._outbox.take(outgoing)
            later = later or again
            if chunks or closed or (sent and (self._outbox.is_empty or not self._alone)):
                return Exchange(sent, tuple(chunks), closed)
            if until is not None and self._world.now() >= until:
                return Exchange(sent)
            # Under asyncio nothing was sent when it comes here: there is no place to be cancelled after that.
            await self._wait(bool(outgoing), receive, later, until)

    async def _wait(self, send: bool, receive: bool, later: bool, until: float | None) -> None:
        if receive and self._rest:
            await self._world.breathe()
            return
        if self._alone:
            until = self._outbox.ping_at if until is None else min(until, self._outbox.ping_at)
        wanted = {"read"} if receive else set()
        if (send or not self._outbox.is_empty) and not self._outbox.deaf:
            wanted.add("write")
        if not self._alone:
            # A loop has one reader and one writer for a descriptor: whoever comes second looks again and again.
            later = later or (send and "write" in self._waiting)
            wanted -= self._waiting
        if later or not wanted:
            pause = PAUSE if until is None else min(PAUSE, max(0.0, until - self._world.now()))
            await self._world.sleep(pause)
            return
        fd = (self._connection.descriptor,)
        self._waiting |= wanted
        try:
            await self._world.ready(
                read=fd if "read" in wanted else (), write=fd if "write" in wanted else (), until=until
            )
        finally:
            self._waiting -= wanted

    def send(self, message: bytes) -> None:
        """Send a message that is no stdin, now or when there is room; nothing happens once the peer has ended."""
        if not self._connection.closing:
            self._outbox.message(message)

    def is_silent(self) -> bool:
        """Tell whether a peer that has answered pings does so no more; to be asked right after an exchange.

        It says nothing of a channel whose command may have left its input unread: that holds up pings, too.
        """
        # What is not parsed yet may be followed by an answer that is still in the kernel.
        return not self._rest and self._outbox.is_unanswered

    # -- receiving ------------------------------------------------------------------------------------------------

    def _receive(self) -> tuple[list[Chunk], bool, bool]:
        """Take what has arrived; give it, whether that was all there will be, and whether only TLS is in the way."""
        if not self._rest and not self._ended and not self._broken:
            try:
                data = self._connection.receive(RECEIVE)
            except TryLater:
                return [], False, True
            except OSError as exc:
                data = b""
                self._break(f"the exec's connection broke: {exc.strerror or type(exc).__name__}")
            if data is None:
                return [], False, False
            if not data:
                self._break(self._broken or "ECI dropped the exec's connection")
            self._outbox.heard()
            self._rest = memoryview(data)
        # Whatever the end is, it comes after what came before it.
        if chunks := self._parse():
            return joined(chunks), False, False
        if self._broken:
            raise ProviderUnavailable(self._broken)
        if self._ended:
            self._end()
        return [], self._told, False

    def _parse(self) -> list[Chunk]:
        chunks: list[Chunk] = []
        pieces, self._rest = self._cutter.cut(self._rest, MANY)
        for piece, last in pieces:
            if last is not None:
                chunks += self._parser.feed(piece, last=last)
                continue
            received = self._codec.feed(memoryview(piece))
            for message, ends in received.messages:
                chunks += self._parser.feed(message, last=ends)
            self._outbox.answers = self._outbox.answers or received.pong
            if received.reply:
                self._outbox.reply(received.reply)
            if received.code is not None or received.problem:
                self._finish(received)
                break
        return chunks

    def _finish(self, received: Received) -> None:
        # Nothing is sent to a peer that has said goodbye, and nothing of it is read.
        self._outbox.shut()
        self._rest = self._rest[:0]
        if received.code in ENDINGS:
            self._ended = True
        elif received.code is not None:
            self._break(f"ECI closed the exec's connection with code {received.code}")
        else:
            self._break(f"what the exec's connection brought is no websocket's: {received.problem}")

    def _end(self) -> None:
        if words := self._parser.refusal:
            raise ProviderError(f"ECI could not start a process in the container: {words}")
        self._told = True

    def _break(self, why: str) -> None:
        self._broken = why
        self._outbox.shut()

    # -- closing --------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        if not self._connection.retire():
            return
        try:
            await self._say_goodbye()
        finally:
            self._connection.close()

    async def _say_goodbye(self) -> None:
        # The peer's answer is not waited for: it says nothing, and would cost each command a round trip.
        self._outbox.goodbye()
        until = self._world.now() + FAREWELL
        while not self._outbox.is_empty and self._world.now() < until:
            await self._world.sleep(PAUSE)
            self._outbox.flush()
            if not self._connection.users:
                # A peer whose process has ended takes no more: that is seen by what it says.
                with contextlib.suppress(ProviderError):
                    self._receive()


def joined(chunks: list[Chunk]) -> list[Chunk]:
    """Join neighbours of one stream where they are small: that makes them cheaper for whoever takes them."""
    if len(chunks) < 2 or sum(len(chunk.data) for chunk in chunks) >= SMALL * len(chunks):
        return chunks
    runs: list[list[Chunk]] = []
    for chunk in chunks:
        if runs and runs[-1][0].stream == chunk.stream:
            runs[-1].append(chunk)
        else:
            runs.append([chunk])
    return [Chunk(run[0].stream, b"".join(chunk.data for chunk in run)) for run in runs]
