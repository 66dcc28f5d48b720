"""One exchange over a channel: it keeps its deadline, lets others run, and is taken or not."""

from __future__ import annotations

import asyncio
import queue
import socket
import threading
from typing import Any

import pytest
from sandboxkit_eci.streams import connect
from websockets.asyncio.server import ServerConnection

from sandboxkit.aio import AsyncioWorld
from sandboxkit.provider import World

from .cancelled import Cancelled
from .channels import Go, opened
from .endpoints import PATIENCE, bare_server, frame, read_frame, upgrade, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


def test_an_exchange_returns_at_its_deadline(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()

    async def scenario(world: World) -> None:
        async with opened(world, served.uri) as channel:
            until = world.now() + 0.05
            turn = await channel.exchange(until=until)
            assert (turn.sent, turn.chunks, turn.closed) == (0, (), False)
            assert world.now() >= until

    with websocket_server(handler) as served:
        go(scenario)


def test_a_peer_that_takes_nothing_does_not_hold_a_sender_past_its_deadline(go: Go) -> None:
    stalled = threading.Event()

    def talk(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        upgrade(sock)
        stalled.wait(PATIENCE)

    async def scenario(world: World) -> None:
        async with opened(world, served.uri) as channel:
            while (await channel.exchange(bytes(1 << 20), until=world.now() + 0.1)).sent:
                pass
        stalled.set()

    with bare_server(talk) as served:
        go(scenario)


def test_output_that_is_there_already_lets_others_run_too() -> None:
    turns = 0
    sent = asyncio.Event()
    loop: asyncio.AbstractEventLoop

    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        sock.sendall(frame(b"\x01x") * 50_000)
        loop.call_soon_threadsafe(sent.set)
        read_frame(sock)

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scenario() -> None:
        nonlocal loop
        loop, world = asyncio.get_running_loop(), AsyncioWorld()
        async with opened(world, served.uri) as channel:
            await sent.wait()
            other = asyncio.create_task(count())
            for number in range(15):
                assert turns >= number
                assert (await channel.exchange(until=world.now() + PATIENCE)).chunks
            other.cancel()
        await world.close()

    with bare_server(talk) as served:
        asyncio.run(scenario())


def test_one_exchange_takes_few_of_many_small_messages() -> None:
    """Each costs time, and all of that is one turn of the loop."""

    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        sock.sendall((frame(b"\x01x") + frame(b"\x01")) * 100_000 + frame(b"\x03\xe8", 8))
        read_frame(sock)

    async def scenario() -> tuple[int, int]:
        world, most, total = AsyncioWorld(), 0, 0
        async with opened(world, served.uri) as channel:
            while True:
                turn = await channel.exchange(until=world.now() + PATIENCE)
                size = sum(len(chunk.data) for chunk in turn.chunks)
                most, total = max(most, size), total + size
                if turn.closed:
                    return most, total

    with bare_server(talk) as served:
        most, total = asyncio.run(scenario())
    assert total == 100_000
    assert most <= 4096


def test_an_exchange_cancelled_anywhere_has_sent_and_taken_nothing() -> None:
    got: queue.Queue[bytes] = queue.Queue()

    async def handler(server: ServerConnection) -> None:
        async for message in server:
            assert isinstance(message, bytes)
            got.put(message)
            await server.send(b"\x01" + message[1:])

    async def scenario(at: int) -> bool:
        world: Any = Cancelled(10**6)
        channel = await connect(world, served.uri, until=world.now() + PATIENCE)
        cancelled, accepted, taken = False, 0, b""
        world.left = at
        data = bytes(range(256)) * 5000
        while taken != data:
            try:
                turn = await channel.exchange(data[accepted:], until=world.now() + PATIENCE)
            except asyncio.CancelledError:
                cancelled = True
                continue
            accepted += turn.sent
            taken += b"".join(chunk.data for chunk in turn.chunks)
            assert data.startswith(taken)
        await channel.close()
        await world.world.close()
        return cancelled

    with websocket_server(handler) as served:
        for at in range(1, 8):
            assert asyncio.run(scenario(at)) or at > 3
            sent = b"".join(message[1:] for message in iter(lambda: got.get() if not got.empty() else b"", b""))
            assert bytes(range(256)) * 5000 == sent
