"""The websocket protocol as websockets speaks it, and what pings while nobody exchanges, for asyncio.

The library's own connection is not used: it reads ahead in tasks, drops what has arrived when sending fails, and
suspends after it has sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import weakref
from typing import Any

import attrs
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidURI
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from sandboxkit.connection import Connection
from sandboxkit.errors import ProviderError, ProviderUnavailable
from sandboxkit.provider import Exchange, World
from sandboxkit_eci.channel import ExecChannel
from sandboxkit_eci.codec import NO_CODE, Received
from sandboxkit_eci.dialing import Endpoint, receive_some, send_all
from sandboxkit_eci.refusals import refused

ANSWER = 1 << 12
"""Bytes of the handshake's answer taken at once."""

NORMAL = 1000

SLOTS = 25
"""Parts of the interval between pings; all channels' pings of one go together."""

# At level DEBUG the library logs the handshake, whose address is a secret, and frames, which hold the command's
# environment: its logger is ours, belongs to no tree and says nothing.
_SILENT = logging.Logger("sandboxkit_eci.websockets", level=logging.CRITICAL + 1)


class _Protocol(ClientProtocol):
    def process_subprotocol(self, headers: Any) -> None:
        """Let a server name a subprotocol, although none was asked for: it is told by what it sends."""


@attrs.define(eq=False)
class AsyncioCodec:
    """See :class:`sandboxkit_eci.codec.Codec`."""

    _protocol: ClientProtocol = attrs.field(repr=False)
    _text: bool = attrs.field(default=False, init=False)

    def feed(self, data: memoryview) -> Received:
        protocol = self._protocol
        # Its buffer takes whatever has bytes.
        protocol.receive_data(data)  # type: ignore[arg-type]
        messages: list[tuple[bytes | bytearray | str, bool]] = []
        code: int | None = None
        pong = False
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            opcode = frame.opcode
            if opcode is Opcode.CLOSE:
                code = NO_CODE if protocol.close_rcvd is None else protocol.close_rcvd.code
            elif opcode is Opcode.PONG:
                pong = True
            elif opcode is not Opcode.PING:
                if opcode is not Opcode.CONT:
                    self._text = opcode is Opcode.TEXT
                body: Any = frame.data
                messages.append((bytes(body).decode("utf-8", "surrogateescape") if self._text else body, frame.fin))
        problem = "" if protocol.parser_exc is None else type(protocol.parser_exc).__name__
        return Received(messages, self._written(), code, problem, pong)

    def message(self, data: bytes) -> bytes:
        # Behind a goodbye the library takes nothing.
        if self._protocol.state is State.OPEN:
            self._protocol.send_binary(data)
        return self._written()

    def ping(self) -> bytes:
        if self._protocol.state is State.OPEN:
            self._protocol.send_ping(b"")
        return self._written()

    def goodbye(self) -> bytes:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(NORMAL)
        return self._written()

    def _written(self) -> bytes:
        writes = self._protocol.data_to_send()
        return b"".join(writes) if writes else b""


async def shake_hands(
    world: World, connection: Connection, endpoint: Endpoint, uri: str, until: float
) -> tuple[AsyncioCodec, bytes]:
    """Make a websocket of the connection, give what came behind the answer, too; no error has a word of ``uri``."""
    protocol = _protocol(uri)
    protocol.send_request(protocol.connect())
    await send_all(world, connection, b"".join(protocol.data_to_send()), until, str(endpoint))
    lines: list[bytes] = []
    while protocol.state is State.CONNECTING and protocol.handshake_exc is None:
        data = await receive_some(world, connection, ANSWER, until, str(endpoint))
        if not data:
            protocol.receive_eof()
            break
        # Line by line, as what comes behind the answer is not for the library to begin with.
        lines = data.splitlines(keepends=True)
        while lines and protocol.state is State.CONNECTING:
            protocol.receive_data(lines.pop(0))
    events: list[Any] = protocol.events_received()
    if protocol.handshake_exc is None and events:
        return AsyncioCodec(protocol), b"".join(lines)
    if events and events[0].status_code != 101:
        raise refused(endpoint, events[0].status_code, dict(events[0].headers.raw_items()))
    if protocol.handshake_exc is None or isinstance(protocol.handshake_exc.__cause__, EOFError):
        raise ProviderUnavailable(f"the connection to {endpoint} broke during the handshake")
    raise ProviderError(f"{endpoint} does not speak websocket: {type(protocol.handshake_exc).__name__}")


def _protocol(uri: str) -> ClientProtocol:
    with contextlib.suppress(InvalidURI):
        return _Protocol(parse_uri(uri), max_size=None, logger=_SILENT)
    raise ProviderError("ECI gave an exec address that is no websocket URI")


class AsyncioChannel(ExecChannel):
    """An exec channel that pings, and sends what is left to send, also while nobody exchanges."""

    _timer: asyncio.TimerHandle | None = None

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._outbox.next_due
        if self._outbox.is_empty:
            # A little late, so that one turn of the loop does for all that are due within that time.
            slot = self._ping_interval / SLOTS
            due = math.ceil(due / slot) * slot
        # A channel that was dropped without being closed is not kept, and its socket's warning not lost.
        self._timer = asyncio.get_running_loop().call_later(
            max(0.0, due - self._world.now()), _tick, weakref.ref(self)
        )

    def on_time(self) -> None:
        """Do what is due, and come back."""
        if not self._connection.closing:
            self._outbox.flush()
            self._arm()

    def send(self, message: bytes) -> None:
        super().send(message)
        if not self._outbox.is_empty:
            self._arm()

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        try:
            return await super().exchange(outgoing, receive=receive, until=until)
        finally:
            if not self._outbox.is_empty and not self._connection.closing:
                self._arm()

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await super().close()


def _tick(channel: weakref.ref[Any]) -> None:
    alive = channel()
    if alive is not None:
        alive.on_time()
