"""Connections to the daemon: the pool for requests, and the raw one behind an upgraded request."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import attrs
import requests
import urllib3
from docker import APIClient
from docker.transport.unixconn import UnixHTTPAdapter, UnixHTTPConnection, UnixHTTPConnectionPool

from sandboxkit.connection import Connection

RECEIVE = 1 << 18
"""Bytes taken at once."""


@attrs.define(eq=False)
class DaemonConnection(Connection):
    """The connection of an exec, after the daemon has answered the upgrade."""

    # What came with the answer.
    _early: bytes = attrs.field(default=b"", repr=False)

    def receive(self, size: int = RECEIVE) -> bytes | None:
        if self._early:
            data, self._early = self._early, b""
            return data
        try:
            return super().receive(size)
        except ConnectionResetError:
            if self.raw.family != socket.AF_UNIX:
                raise
            # The daemon closed without having read all that was sent, as it does when a process ends before its
            # input. Unlike over TCP, what it had written came first.
            return b""
        except ssl.SSLEOFError:
            # Docker ends a stream by closing; whether a frame was cut off is seen by its length.
            return b""


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


def take_connection(response: urllib3.HTTPResponse) -> DaemonConnection:
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
    return DaemonConnection(sock, early or b"")
