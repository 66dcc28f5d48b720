"""A connection to an exec endpoint: a non-blocking socket, plain or TLS. Nothing here ever waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading

import attrs

DRAINED = 1 << 20
"""Bytes that closing takes out of the kernel, so that it ends the connection in order where it can."""


class TryLater(Exception):
    """TLS must first do the opposite of what was asked."""


@attrs.define(eq=False)
class Connection:
    """See above; one thread may send while another receives."""

    raw: socket.socket = attrs.field(repr=False)
    # OpenSSL's state may not be used by a reading and a writing thread at once; a plain socket may.
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def descriptor(self) -> int:
        """The file descriptor to wait for."""
        return self.raw.fileno()

    def receive(self, size: int) -> bytes | None:
        """Give up to ``size`` bytes that have arrived, ``b""`` at their end, ``None`` while there are none.

        Raises ``OSError`` when the connection broke, :class:`TryLater`.
        """
        if not isinstance(self.raw, ssl.SSLSocket):
            try:
                return self.raw.recv(size)
            except BlockingIOError:
                return None
        with self._lock:
            return self._receive_tls(self.raw, size)

    @staticmethod
    def _receive_tls(sock: ssl.SSLSocket, size: int) -> bytes | None:
        # One call gives one TLS record at most, and what OpenSSL holds back no poll tells of.
        parts: list[bytes] = []
        while size > 0:
            try:
                data = sock.recv(size)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLWantWriteError as exc:
                if parts:
                    break
                raise TryLater from exc
            except ssl.SSLZeroReturnError:
                data = b""
            except OSError:
                # What came before is given first; the next call finds the same.
                if parts:
                    break
                raise
            if not data:
                return b"".join(parts)
            parts.append(data)
            size -= len(data)
        return b"".join(parts) if parts else None

    def send(self, data: bytes | memoryview) -> int:
        """Send what can be sent now; raises ``OSError`` when nobody takes it any more, :class:`TryLater`."""
        if not isinstance(self.raw, ssl.SSLSocket):
            try:
                return self.raw.send(data)
            except BlockingIOError:
                return 0
        with self._lock:
            try:
                return self.raw.send(data)
            except ssl.SSLWantWriteError:
                return 0
            except ssl.SSLWantReadError as exc:
                raise TryLater from exc

    def shut(self) -> None:
        """End both directions, so that whoever waits for the descriptor wakes."""
        with contextlib.suppress(OSError):  # the peer was quicker
            # Not SSLSocket's, which drops its TLS state under a thread that reads.
            socket.socket.shutdown(self.raw, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; safe to repeat."""
        if self.raw.fileno() >= 0:
            self._drain()
        self.raw.close()

    def _drain(self) -> None:
        # With unread bytes in it, closing resets the connection, and the peer may lose what it has not read yet.
        with contextlib.suppress(OSError):
            for _ in range(DRAINED >> 16):
                if not socket.socket.recv(self.raw, 1 << 16):
                    break
