"""Connections to the daemon: the pool for requests, and the raw one behind an upgraded request."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from typing import Any

import attrs
import requests
import urllib3
from docker import APIClient
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

RECEIVE = 1 << 18
"""Bytes taken at once."""


class TryLater(Exception):
    """TLS must first do the opposite of what was asked."""


@attrs.define(eq=False)
class Connection:
    """A non-blocking stream socket, plain or TLS; nothing here ever waits."""

    _socket: socket.socket
    _early: bytes = attrs.field(default=b"", repr=False)
    # OpenSSL's state may not be used by a reading and a writing thread at once; a plain socket may.
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    @property
    def descriptor(self) -> int:
        """The file descriptor to wait for."""
        return self._socket.fileno()

    def receive(self) -> bytes | None:
        """Give bytes that have arrived, ``b""`` at their end, ``None`` while there are none.

        Raises ``OSError`` when the connection broke, :class:`TryLater`.
        """
        if self._early:
            data, self._early = self._early, b""
            return data
        if not isinstance(self._socket, ssl.SSLSocket):
            try:
                return self._socket.recv(RECEIVE)
            except BlockingIOError:
                return None
            except ConnectionResetError:
                if self._socket.family != socket.AF_UNIX:
                    raise
                # The daemon closed without having read all that was sent, as it does when a process ends before its
                # input. Unlike over TCP, what it had written came first.
                return b""
        with self._lock:
            try:
                # At most one TLS record comes out of one call: take what OpenSSL holds, which no poll would tell of.
                data = self._socket.recv(RECEIVE)
                while data and (pending := self._socket.pending()):
                    data += self._socket.recv(pending)
            except ssl.SSLWantReadError:
                return None
            except ssl.SSLWantWriteError as exc:
                raise TryLater from exc
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                # Docker ends a stream by closing; whether a frame was cut off is seen by its length.
                return b""
            return data

    def send(self, data: bytes | memoryview) -> int:
        """Send what can be sent now; raises ``OSError`` when nobody takes it any more, :class:`TryLater`."""
        if not isinstance(self._socket, ssl.SSLSocket):
            try:
                return self._socket.send(data)
            except BlockingIOError:
                return 0
        with self._lock:
            try:
                return self._socket.send(data)
            except ssl.SSLWantWriteError:
                return 0
            except ssl.SSLWantReadError as exc:
                raise TryLater from exc

    def shut(self) -> None:
        """End both directions, so that whoever waits for the descriptor wakes."""
        with contextlib.suppress(OSError):  # the peer was quicker
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; safe to repeat."""
        self._socket.close()


class _UnixConnection(UnixHTTPConnection):
    """The SDK's, which leaves its socket open when it cannot connect."""

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _UnixPool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        timeout: Any = self.timeout
        return _UnixConnection(self.base_url, self.socket_path, timeout)


def connection_pool(api: APIClient, size: int) -> urllib3.HTTPConnectionPool:
    """Give the pool for the SDK client's daemon, which keeps up to ``size`` idle connections and never blocks."""
    adapter: Any = api.get_adapter(api.base_url)
    if isinstance(adapter, UnixHTTPAdapter):
        return _UnixPool(api.base_url, adapter.socket_path, api.timeout, maxsize=size)
    request = requests.Request("GET", api.base_url + "/_ping").prepare()
    pool = adapter.get_connection_with_tls_context(request, api.verify, proxies=None, cert=api.cert)
    assert isinstance(pool, urllib3.HTTPConnectionPool)
    return pool


def take_connection(response: urllib3.HTTPResponse) -> Connection:
    """Take the connection out of a response to an upgrade, with what was read of the stream already.

    The way to the HTTP client's own buffer is the one that the SDK takes (``APIClient._get_raw_response_socket``),
    there is no public one. Once the connection has forgotten its socket, closing the response closes the buffer
    only, and nothing but the channel owns the socket: no order of finalizers matters then.
    """
    connection = response.connection
    assert connection is not None
    sock = connection.sock
    assert sock is not None
    sock.setblocking(False)
    try:
        early = response._fp.fp.peek()  # type: ignore[union-attr]
    except ssl.SSLWantReadError:
        early = b""
    connection.sock = None
    response.close()
    return Connection(sock, early or b"")
