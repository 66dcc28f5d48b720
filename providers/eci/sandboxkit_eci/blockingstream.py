"""The websocket protocol as websocket-client speaks it, for the blocking world.

The library does the handshake over the connection and then parses the frames that it is handed: it waits for a socket
in ways of its own (no deadline over a whole handshake, no receiving while it sends).
"""

from __future__ import annotations

import ssl
import struct
import time
from typing import Any

import attrs
import websocket

from sandboxkit.connection import Connection
from sandboxkit.errors import DeadlineExceeded, ProviderError, ProviderUnavailable
from sandboxkit_eci.channel import RECEIVE
from sandboxkit_eci.codec import NO_CODE, Received
from sandboxkit_eci.dialing import Endpoint
from sandboxkit_eci.refusals import refused

_TEXT, _BINARY, _CONTINUED = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_CONT
_CLOSE, _PING, _PONG = websocket.ABNF.OPCODE_CLOSE, websocket.ABNF.OPCODE_PING, websocket.ABNF.OPCODE_PONG

SWITCHING = 101
"""The HTTP status of an answer that makes a websocket."""


@attrs.define(eq=False)
class _Socket:
    """What the library takes for its socket: the connection until the handshake is done, then what it is handed."""

    _connection: Connection | None
    _until: float
    _waiting: memoryview = attrs.field(factory=lambda: memoryview(b""), init=False, repr=False)

    def leave(self) -> bytes:
        """Let go of the connection; give what was received of it and not asked for."""
        self._connection = None
        data, self._waiting = bytes(self._waiting), memoryview(b"")
        return data

    def hand(self, data: memoryview) -> None:
        self._waiting = data if not self._waiting else memoryview(b"".join((self._waiting, data)))

    def recv(self, size: int) -> bytes:
        if not self._waiting:
            if self._connection is None:
                raise BlockingIOError
            self._waiting = memoryview(self._timed(self._connection).recv(RECEIVE))
        data, self._waiting = self._waiting[:size], self._waiting[size:]
        return bytes(data)

    def send(self, data: bytes) -> int:
        assert self._connection is not None
        self._timed(self._connection).sendall(data)
        return len(data)

    def _timed(self, connection: Connection) -> Any:
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        connection.raw.settimeout(left)
        return connection.raw

    def gettimeout(self) -> float:
        # The library asks whether it should wait by itself.
        return 0.0

    def close(self) -> None:
        """Leave the connection to whoever opened it."""


@attrs.define(eq=False)
class BlockingCodec:
    """See :class:`sandboxkit_eci.codec.Codec`."""

    _socket: _Socket = attrs.field(repr=False)
    _library: websocket.WebSocket = attrs.field(repr=False)
    _text: bool = attrs.field(default=False, init=False)

    def feed(self, data: memoryview) -> Received:
        self._socket.hand(data)
        messages: list[tuple[bytes | bytearray | str, bool]] = []
        reply = b""
        pong = False
        while True:
            try:
                frame = self._library.recv_frame()  # type: ignore[no-untyped-call]
            except BlockingIOError:
                return Received(messages, reply, pong=pong)
            except websocket.WebSocketException as exc:
                return Received(messages, reply, problem=type(exc).__name__, pong=pong)
            body: Any = frame.data
            if frame.opcode == _CLOSE:
                code = struct.unpack("!H", body[:2])[0] if body else NO_CODE
                return Received(messages, reply + _encode(body[:2], _CLOSE), code=code, pong=pong)
            if frame.opcode == _PING:
                reply = _encode(body, _PONG)
            elif frame.opcode == _PONG:
                pong = True
            else:
                if frame.opcode != _CONTINUED:
                    self._text = frame.opcode == _TEXT
                messages.append((body.decode("utf-8", "surrogateescape") if self._text else body, bool(frame.fin)))

    def message(self, data: bytes) -> bytes:
        return _encode(data, _BINARY)

    def ping(self) -> bytes:
        return _encode(b"", _PING)

    def goodbye(self) -> bytes:
        return _encode(struct.pack("!H", websocket.STATUS_NORMAL), _CLOSE)


def _encode(data: bytes, opcode: int) -> bytes:
    return websocket.ABNF.create_frame(data, opcode).format()


def shake_hands(connection: Connection, endpoint: Endpoint, uri: str, until: float) -> tuple[BlockingCodec, bytes]:
    """Make a websocket of the connection, give what came behind the answer, too; no error has a word of ``uri``."""
    sock = _Socket(connection, until)
    library = websocket.WebSocket(enable_multithread=False, skip_utf8_validation=True)
    problem: ProviderError
    try:
        library.connect(uri, socket=sock, redirect_limit=0, suppress_origin=True)  # type: ignore[no-untyped-call]
        connection.raw.setblocking(False)
        if library.getstatus() == SWITCHING:
            return BlockingCodec(sock, library), sock.leave()
        problem = refused(endpoint, library.getstatus() or 0, {})
    except websocket.WebSocketBadStatusException as exc:
        problem = refused(endpoint, exc.status_code, exc.resp_headers or {})
    except (TimeoutError, websocket.WebSocketTimeoutException):
        problem = DeadlineExceeded(f"{endpoint} did not answer within the operation's deadline")
    except (ssl.SSLError, OSError, websocket.WebSocketConnectionClosedException) as exc:
        problem = ProviderUnavailable(f"the connection to {endpoint} broke: {type(exc).__name__}")
    except (websocket.WebSocketException, ValueError, LookupError) as exc:
        problem = ProviderError(f"{endpoint} does not speak websocket: {type(exc).__name__}")
        # A redirect: some versions of the library take one that they may not follow for a failure, others do not.
        if library.getstatus() not in (None, SWITCHING):
            problem = refused(endpoint, library.getstatus() or 0, {})
    # Out here, where no library's exception, which may hold the URI, is its context.
    raise problem
