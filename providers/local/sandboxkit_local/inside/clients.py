"""Those who connect to PID 1: their requests come in here, and the answers go out."""

from __future__ import annotations

import _socket
import errno
import os
import struct
import time

from sandboxkit_local.wire import FrameError, FrameReader, frame

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from sandboxkit_local.inside.loop import Loop
    from sandboxkit_local.inside.running import Running

HANDSHAKE_LIMIT = 30.0
"""Seconds in which a client that connected must have said what it wants."""

FULL_PAUSE = 0.1
"""Seconds until someone is let in again when there was no room."""

_READ = 1 << 18
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Connection:
    """A client's connection: one request, and what becomes of it."""

    def __init__(self, sock: _socket.socket) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.reader = FrameReader()
        self.descriptors: list[int] = []
        self.began = time.monotonic()
        self.asked = False
        self.command: Running | None = None

    def close_descriptors(self) -> None:
        """Let go of what the client handed over."""
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()


class Clients:
    """All connections. ``asked`` is called with each request, ``gone`` with each connection that has ended."""

    def __init__(
        self,
        listener: _socket.socket,
        loop: Loop,
        asked: Callable[[Connection, list[bytes]], None],
        gone: Callable[[Connection], None],
    ) -> None:
        self._listener = listener
        self._loop = loop
        self._asked = asked
        self._gone = gone
        self._silent: set[Connection] = set()
        self._listen_again: float | None = None
        self._listen()

    def _listen(self) -> None:
        self._loop.watch(self._listener.fileno(), self._accept)

    def due(self) -> list[float]:
        """Give the times, on the monotonic clock, at which :meth:`check` has something to do."""
        times = [connection.began + HANDSHAKE_LIMIT for connection in self._silent]
        return times if self._listen_again is None else [*times, self._listen_again]

    def check(self, now: float) -> None:
        """Let go of who says nothing; listen again when there may be room again."""
        for connection in [c for c in self._silent if c.began + HANDSHAKE_LIMIT <= now]:
            self.drop(connection)
        if self._listen_again is not None and self._listen_again <= now:
            self._listen_again = None
            self._listen()

    def _accept(self) -> None:
        for _ in range(64):
            try:
                fd, _address = self._listener._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as exc:
                if exc.errno in _FULL:
                    # Look again in a moment rather than spin.
                    self._loop.unwatch(self._listener.fileno())
                    self._listen_again = time.monotonic() + FULL_PAUSE
                return
            sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
            sock.setblocking(False)
            connection = Connection(sock)
            self._silent.add(connection)
            self._loop.watch(connection.fd, lambda c=connection: self._readable(c))  # type: ignore[misc]
            self._readable(connection)

    def _readable(self, connection: Connection) -> None:
        try:
            data, control, _, _ = connection.sock.recvmsg(_READ, _socket.CMSG_SPACE(16), _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, control = b"", []
        for level, kind, payload in control:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                connection.descriptors += struct.unpack(f"{len(payload) // 4}i", payload)
        if not data:
            self.drop(connection)
            return
        try:
            for items in connection.reader.feed(data):
                if not connection.asked:
                    connection.asked = True
                    self._silent.discard(connection)
                    self._asked(connection, items)
        except (FrameError, ValueError, IndexError):
            self.drop(connection)

    def send(self, connection: Connection, *items: bytes, fds: list[int] | None = None) -> None:
        """Answer, with descriptors to hand over if there are any; nothing happens for one that is gone."""
        data = frame(*items)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
        try:
            sent = connection.sock.sendmsg([data], control, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:
            sent = -1
        if sent != len(data) and connection.fd in self._loop:
            # A few bytes that do not fit: the client is not reading, or is gone.
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """End a connection."""
        self._silent.discard(connection)
        self._loop.unwatch(connection.fd)
        connection.sock.close()
        connection.close_descriptors()
        self._gone(connection)
