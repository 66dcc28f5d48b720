"""Making the connection to an exec endpoint, directly or through an HTTP proxy, in both worlds."""

from __future__ import annotations

import contextlib
import errno
import functools
import ipaddress
import os
import socket
import ssl
from typing import Any, Self
from urllib.parse import urlsplit

import attrs

from sandboxkit.connection import Connection, TryLater
from sandboxkit.errors import DeadlineExceeded, ProviderError, ProviderUnavailable, SandboxError
from sandboxkit.provider import World
from sandboxkit_eci.proxies import LONGEST_ANSWER, Proxy

ATTEMPT = 5.0
"""Seconds after which the next of a host's addresses is tried."""

PAUSE = 0.01
"""Seconds between looks where TLS wants the other direction first."""

_UNDER_WAY = (errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EALREADY, errno.EINTR)


@attrs.frozen
class Endpoint:
    """Where an exec's websocket is. The rest of its URI is a secret and not kept here."""

    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read a websocket URI; the error for another one does not repeat it."""
        found: Self | None = None
        with contextlib.suppress(ValueError):
            parts = urlsplit(uri)
            # What the libraries take differently, or for no websocket's, is refused for both.
            odd = parts.fragment or "@" in parts.netloc
            if parts.scheme in ("ws", "wss") and parts.hostname and not odd:
                secure = parts.scheme == "wss"
                found = cls(parts.hostname, parts.port or (443 if secure else 80), secure)
        if found is None:
            raise ProviderError("ECI gave an exec address that is no websocket URI")
        return found

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@functools.lru_cache(maxsize=1)
def default_context() -> ssl.SSLContext:
    """Give the system's certificates, loaded once: that takes some 20 ms."""
    return ssl.create_default_context()


async def dial(
    world: World,
    endpoint: Endpoint,
    *,
    proxy: Proxy | None,
    ca: ssl.SSLContext | None,
    until: float,
    urgent: bool = False,
) -> Connection:
    """Connect within ``until``. Cancelled, nothing stays open."""
    address = (endpoint.host, endpoint.port) if proxy is None else (proxy.host, proxy.port)
    sock = await _open(world, address, until, urgent)
    connection = Connection(sock)
    try:
        if proxy is not None:
            await _tunnel(world, connection, endpoint, proxy, until)
        if endpoint.secure:
            context = await world.call(default_context, until=until, urgent=urgent) if ca is None else ca
            connection = Connection(
                context.wrap_socket(sock, server_hostname=endpoint.host, do_handshake_on_connect=False)
            )
            await _handshake(world, connection, endpoint, until)
    except BaseException:
        connection.close()
        raise
    return connection


async def _open(world: World, address: tuple[str, int], until: float, urgent: bool) -> socket.socket:
    host, port = address
    found = await _addresses(world, host, port, until, urgent)
    problem = "no address"
    for number, (family, kind, protocol, _, target) in enumerate(found):
        more = number + 1 < len(found)
        limit = min(until, world.now() + ATTEMPT) if more else until
        try:
            return await _connect(world, socket.socket(family, kind, protocol), target, limit)
        except OSError as exc:
            problem = exc.strerror or type(exc).__name__
    if world.now() >= until:
        raise DeadlineExceeded(f"{host}:{port} could not be reached within the operation's deadline")
    raise ProviderUnavailable(f"{host}:{port} cannot be reached: {problem}")


async def _addresses(world: World, host: str, port: int, until: float, urgent: bool) -> list[Any]:
    lookup = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return lookup(flags=socket.AI_NUMERICHOST)
    try:
        return await world.call(lookup, until=until, urgent=urgent)
    except SandboxError:
        raise  # some are OSErrors too
    except (OSError, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no host's name"
        raise ProviderUnavailable(f"the host {host} is not known: {reason}") from None


async def _connect(world: World, sock: socket.socket, target: Any, limit: float) -> socket.socket:
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        failed = sock.connect_ex(target)
        if failed in _UNDER_WAY:
            if not any(await world.ready(write=(sock.fileno(),), until=limit)):
                raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            failed = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failed:
            raise OSError(failed, os.strerror(failed))
    except BaseException:
        sock.close()
        raise
    return sock


async def _tunnel(world: World, connection: Connection, endpoint: Endpoint, proxy: Proxy, until: float) -> None:
    name = f"the proxy {proxy.host}:{proxy.port}"
    await send_all(world, connection, proxy.request(endpoint.host, endpoint.port), until, name)
    answer = b""
    while not proxy.accepts(answer):
        # Nothing follows the head: whoever is at the other end waits for us to speak.
        data = await receive_some(world, connection, LONGEST_ANSWER, until, name)
        if not data:
            raise ProviderUnavailable(f"{name} closed the connection instead of answering")
        answer += data


async def _handshake(world: World, connection: Connection, endpoint: Endpoint, until: float) -> None:
    sock = connection.raw
    assert isinstance(sock, ssl.SSLSocket)
    while True:
        read: tuple[int, ...] = ()
        write: tuple[int, ...] = ()
        try:
            sock.do_handshake()
            return
        except ssl.SSLWantReadError:
            read = (connection.descriptor,)
        except ssl.SSLWantWriteError:
            write = (connection.descriptor,)
        except ssl.SSLCertVerificationError as exc:
            raise ProviderError(f"the certificate of {endpoint} is not trusted: {exc.verify_message}") from None
        except OSError as exc:
            raise ProviderUnavailable(f"TLS with {endpoint} failed: {exc.strerror or type(exc).__name__}") from None
        await _wait(world, read, write, until, str(endpoint))


async def _wait(world: World, read: tuple[int, ...], write: tuple[int, ...], until: float, name: str) -> None:
    if not any(await world.ready(read=read, write=write, until=until)) and world.now() >= until:
        raise DeadlineExceeded(f"{name} did not answer within the operation's deadline")


async def send_all(world: World, connection: Connection, data: bytes, until: float, name: str) -> None:
    """Send ``data`` to ``name``, whole."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[connection.send(rest) :]
        except TryLater:
            await world.sleep(PAUSE)
        except OSError as exc:
            raise _broken(name, exc) from None
        if rest:
            await _wait(world, (), (connection.descriptor,), until, name)


async def receive_some(world: World, connection: Connection, size: int, until: float, name: str) -> bytes:
    """Receive what comes first from ``name``; ``b""`` is its end."""
    while True:
        try:
            data = connection.receive(size)
        except TryLater:
            await world.sleep(PAUSE)
            continue
        except OSError as exc:
            raise _broken(name, exc) from None
        if data is not None:
            return data
        await _wait(world, (connection.descriptor,), (), until, name)


def _broken(name: str, exc: OSError) -> ProviderUnavailable:
    return ProviderUnavailable(f"the connection to {name} broke: {exc.strerror or type(exc).__name__}")
