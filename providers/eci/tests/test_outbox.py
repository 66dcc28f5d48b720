"""What a channel sends by itself: pings, replies to them, and what the kernel had no room for."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import Any

import pytest
from sandboxkit_eci.streams import connect

from sandboxkit.aio import AsyncioWorld
from sandboxkit.provider import World

from .cancelled import Cancelled
from .channels import Go, follow, opened
from .endpoints import PATIENCE, bare_server, frame, read_frame, upgrade

pytestmark = pytest.mark.usefixtures("dead_proxy")


def test_pings_go_out_while_an_exchange_waits(go: Go) -> None:
    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        for _ in range(3):
            assert read_frame(sock)[0] == 9
        sock.sendall(frame(b"\x01pinged") + frame(b"\x03\xe8", 8))
        read_frame(sock)

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri, ping_interval=0.01) as channel:
            return await follow(world, channel)

    with bare_server(talk) as served:
        assert go(scenario) == (b"pinged", b"")


def test_pings_go_out_under_asyncio_also_while_nobody_exchanges() -> None:
    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        for _ in range(3):
            assert read_frame(sock)[0] == 9
        loop.call_soon_threadsafe(pinged.set)

    async def scenario() -> None:
        nonlocal loop
        loop, world = asyncio.get_running_loop(), AsyncioWorld()
        async with opened(world, served.uri, ping_interval=0.01):
            await pinged.wait()
        await world.close()

    loop: asyncio.AbstractEventLoop
    pinged = asyncio.Event()

    with bare_server(talk) as served:
        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))


def test_a_ping_is_answered_with_its_bytes(go: Go) -> None:
    def talk(sock: socket.socket) -> None:
        upgrade(sock, frame(b"mark", 9))
        assert read_frame(sock) == (10, b"mark")
        sock.sendall(frame(b"\x03\xe8", 8))
        read_frame(sock)

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel)

    with bare_server(talk) as served:
        assert go(scenario) == (b"", b"")


def test_an_exchange_cancelled_while_a_peer_takes_nothing_has_sent_what_it_said() -> None:
    """Whatever the kernel had no room for, and was said to be sent, goes on by itself."""
    got: asyncio.Queue[int] = asyncio.Queue()
    loop: asyncio.AbstractEventLoop
    read_on, arrived = threading.Event(), bytearray()

    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        read_on.wait(PATIENCE)
        while (taken := read_frame(sock))[0] == 2:
            arrived.extend(taken[1][1:])
            loop.call_soon_threadsafe(got.put_nowait, len(arrived))

    async def scenario() -> bytes:
        nonlocal loop
        loop = asyncio.get_running_loop()
        world: Any = Cancelled(10**6)
        channel = await connect(world, served.uri, until=world.now() + PATIENCE)
        data, accepted = os.urandom(100_001) * 200, 0
        with contextlib.suppress(asyncio.CancelledError):
            while accepted < len(data):
                world.left = 2  # the one after the place that is always there: that is where it waits
                accepted += (await channel.exchange(memoryview(data)[accepted:], until=None)).sent
        assert 0 < accepted < len(data)
        read_on.set()
        world.left = 10**6
        while await got.get() < accepted:
            pass
        await channel.close()
        await world.world.close()
        return data[:accepted]

    with bare_server(talk) as served:
        accepted = asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
    assert accepted == arrived
