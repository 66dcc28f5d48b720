"""A non-blocking stream socket, plain or TLS, for a channel that threads or tasks share. Nothing here ever waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator

import attrs

from sandboxkit.errors import ProviderUnavailable

DRAINED = 1 << 20
"""Bytes that closing takes out of the kernel, so that it ends the connection in order where it can."""


class TryLater(Exception):
    """TLS must first do the opposite of what was asked."""


@attrs.define(eq=False)
class Connection:
    """See above; one thread may send while another receives, and a third one closes."""

    raw: socket.socket = attrs.field(repr=False)
    users: int = attrs.field(default=0, init=False)
    """How many are within :meth:`use`."""
    closing: bool = attrs.field(default=False, init=False)
    """Whether nobody may begin to use it any more."""
    _closed: bool = attrs.field(default=False, init=False)
    _broken: OSError | None = attrs.field(default=None, init=False, repr=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    # OpenSSL's state may not be used by a reading and a writing thread at once; a plain socket may.
    _tls: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def descriptor(self) -> int:
        """The file descriptor to wait for, which is this connection's as long as somebody is within :meth:`use`."""
        return self.raw.fileno()

    # -- using and closing ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def use(self) -> Iterator[None]:
        """Keep the descriptor until the end of the block; ``ProviderUnavailable`` once it is closing.

        Freeing a descriptor under someone who waits for it would leave him waiting, or give him another's. So
        :meth:`close` wakes him, and the last one out closes. Who was woken asks ``closing``.
        """
        with self._guard:
            if self.closing:
                raise ProviderUnavailable("the channel is closed")
            self.users += 1
        try:
            yield
        finally:
            with self._guard:
                self.users -= 1
                self._free()

    def retire(self) -> bool:
        """Let nobody begin to use it any more; ``False`` if that was so."""
        with self._guard:
            was, self.closing = self.closing, True
            return not was

    def close(self) -> None:
        """End both directions, and close the socket when nobody uses it any more; safe to repeat."""
        with self._guard:
            self.closing = self._closed = True
            with contextlib.suppress(OSError):  # the peer was quicker
                # Not SSLSocket's, which drops its TLS state: a thread that reads would be given the peer's
                # ciphertext as if it were output, and one that writes could send its input in the clear.
                socket.socket.shutdown(self.raw, socket.SHUT_RDWR)
            self._free()

    def _free(self) -> None:
        if self._closed and not self.users and self.raw.fileno() >= 0:
            self._drain()
            self.raw.close()

    def _drain(self) -> None:
        # With unread bytes in it, closing resets the connection, and the peer may lose what it has not read yet.
        with contextlib.suppress(OSError):
            for _ in range(DRAINED >> 16):
                if not socket.socket.recv(self.raw, 1 << 16):
                    break

    # -- bytes ----------------------------------------------------------------------------------------------------

    def receive(self, size: int) -> bytes | None:
        """Give up to ``size`` bytes that have arrived, ``b""`` at their end, ``None`` while there are none.

        What TLS holds back no poll tells of: the rest of a record is given too, in up to 16 KiB beyond ``size``.
        Raises ``OSError`` when the connection broke, :class:`TryLater`.
        """
        if not isinstance(self.raw, ssl.SSLSocket):
            try:
                return self.raw.recv(size)
            except BlockingIOError:
                return None
        with self._tls:
            return self._receive_tls(self.raw, size)

    def _receive_tls(self, sock: ssl.SSLSocket, size: int) -> bytes | None:
        if self._broken is not None:
            raise self._broken
        # One call gives one record at most.
        parts: list[bytes] = []
        while (left := size if size > 0 else sock.pending()) > 0:
            try:
                data = sock.recv(left)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLWantWriteError as exc:
                if parts:
                    break
                raise TryLater from exc
            except ssl.SSLZeroReturnError:
                data = b""
            except OSError as exc:
                # What came before is given first. Asked again, OpenSSL may take a reset for an end.
                self._broken = exc
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
        with self._tls:
            try:
                return self.raw.send(data)
            except ssl.SSLWantWriteError:
                return 0
            except ssl.SSLWantReadError as exc:
                raise TryLater from exc
