"""Opening the stream of an exec: the websocket that ECI gave an address for."""

from __future__ import annotations

import ssl

import attrs

from sandboxkit.errors import DeadlineExceeded, ProviderUnavailable
from sandboxkit.model import TerminalSize
from sandboxkit.provider import ByteChannel, ByteTerminal, Exchange, World
from sandboxkit_eci.channel import PING_INTERVAL, ExecChannel
from sandboxkit_eci.dialing import Endpoint, dial
from sandboxkit_eci.messages import encode_resize
from sandboxkit_eci.proxies import Proxy

CONNECT_LIMIT = 30.0
"""Seconds for reaching the endpoint and for its handshake; ECI's address is not good for much longer."""


async def connect(
    world: World,
    uri: str,
    *,
    proxy: str | None = None,
    ca: ssl.SSLContext | None = None,
    until: float | None = None,
    urgent: bool = False,
    ping_interval: float = PING_INTERVAL,
) -> ByteChannel:
    """Give the channel to the exec at ``uri``, which must have been started without a TTY.

    ``proxy`` is ``http://[user:password@]host:port``; without one the environment's is not used either. ``ca``
    replaces the system's certificates. ``urgent`` marks a kill: slow calls do not hold it up.

    Raises ``ProviderUnavailable`` when the endpoint cannot be reached or the address has expired (whether the command
    was started is unknown then), ``DeadlineExceeded`` at ``until``, ``ProviderError`` for what another try would not
    change. ``uri`` is a secret and in no error. Cancelled, nothing stays open.
    """
    return await _connect(world, uri, proxy, ca, until, urgent, ping_interval)


async def connect_terminal(
    world: World,
    uri: str,
    *,
    proxy: str | None = None,
    ca: ssl.SSLContext | None = None,
    until: float | None = None,
    urgent: bool = False,
    ping_interval: float = PING_INTERVAL,
) -> ByteTerminal:
    """Like :func:`connect`, for an exec that was started with a TTY."""
    return TerminalStream(await _connect(world, uri, proxy, ca, until, urgent, ping_interval))


async def _connect(
    world: World,
    uri: str,
    proxy: str | None,
    ca: ssl.SSLContext | None,
    until: float | None,
    urgent: bool,
    ping_interval: float,
) -> ExecChannel:
    endpoint = Endpoint.parse(uri)
    through = None if proxy is None else Proxy.parse(proxy)
    own_limit = world.now() + CONNECT_LIMIT
    limit = own_limit if until is None else min(until, own_limit)
    try:
        connection = await dial(world, endpoint, proxy=through, ca=ca, until=limit, urgent=urgent)
        try:
            # Here, so that neither world loads the other's library.
            if world.name == "asyncio":
                from sandboxkit_eci import asyncstream

                codec, early = await asyncstream.shake_hands(world, connection, endpoint, uri, limit)
                return asyncstream.AsyncioChannel(world, connection, codec, ping_interval, early)
            from sandboxkit_eci import blockingstream

            plain, early = blockingstream.shake_hands(connection, endpoint, uri, limit)
            return ExecChannel(world, connection, plain, ping_interval, early)
        except BaseException:
            connection.close()
            raise
    except DeadlineExceeded:
        if until is not None and world.now() >= until:
            raise
    raise ProviderUnavailable(f"{endpoint} did not answer within {CONNECT_LIMIT:g} s")


@attrs.define(eq=False)
class TerminalStream:
    """See :class:`sandboxkit.provider.ByteTerminal`."""

    _channel: ExecChannel

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        return await self._channel.exchange(outgoing, receive=receive, until=until)

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        self._channel.send(encode_resize(size))

    async def close(self) -> None:
        await self._channel.close()
