"""What goes over an exec's channel arrives whole, by stream and in order, in both worlds."""

from __future__ import annotations

import asyncio
import hashlib
import os
import queue
import socket
import ssl
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from sandboxkit.model import STDERR, STDOUT
from sandboxkit.provider import World

from .channels import Go, follow, opened
from .endpoints import PATIENCE, bare_server, frame, upgrade, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


def test_output_comes_by_stream_and_then_the_end(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(b"\x01out")
        await server.send(b"\x02err")

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel)

    with websocket_server(handler) as served:
        assert go(scenario) == (b"out", b"err")


def test_what_is_sent_arrives_as_stdin(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        message = await server.recv()
        assert isinstance(message, bytes)
        await server.send(b"\x01" + repr(message).encode())

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel, b"hello\x00\xff")

    with websocket_server(handler) as served:
        assert (repr(b"\x00hello\x00\xff").encode(), b"") == go(scenario)


def test_whatever_else_a_server_sends_is_survived(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        for message in (b"\x01", b"", b"\x02", b"\x07unknown", b"\x00echo", b"\xff", b"\x01a"):
            await server.send(message)
        await server.send("\x01text ✓")
        await server.send([b"\x01in ", b"pie", b"", b"ces"])
        await server.send(b"\x03command terminated with non-zero exit code: 3")

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel)

    with websocket_server(handler) as served:
        assert ("atext ✓in pieces".encode(), b"") == go(scenario)


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_20_mib_go_each_way_at_once(go: Go, tls: bool, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    size = 20 << 20
    data = os.urandom(1 << 20) * 20
    digest = hashlib.sha256()

    async def handler(server: ServerConnection) -> None:
        async def write() -> None:
            for at in range(0, size, 100_000):
                await server.send(b"\x01" + data[at : at + 100_000])

        writing = asyncio.create_task(write())
        got = 0
        while got < size:
            message = await server.recv()
            assert isinstance(message, bytes)
            assert message[0] == 0
            digest.update(message[1:])
            got += len(message) - 1
        await writing

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri, ca=certificate[1] if tls else None) as channel:
            return await follow(world, channel, data, 120)

    with websocket_server(handler, certificate[0] if tls else None) as served:
        out, _ = go(scenario)
    assert hashlib.sha256(data).digest() == digest.digest()
    assert data == out


def test_a_server_that_reads_only_after_it_has_written_does_not_block(go: Go) -> None:
    size = 50 << 20

    async def handler(server: ServerConnection) -> None:
        for _ in range(50):
            await server.send(b"\x01" + bytes(1 << 20))
        got = 0
        while got < size:
            got += len(await server.recv()) - 1
        await server.send(b"\x02%d" % got)

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            out, err = await follow(world, channel, bytes(size), 120)
            return len(out), err

    with websocket_server(handler) as served:
        assert (size, b"%d" % size) == go(scenario)


def test_messages_of_one_byte_give_every_byte(go: Go) -> None:
    data = bytes(range(256)) * 40

    async def handler(server: ServerConnection) -> None:
        for at, byte in enumerate(data):
            await server.send(bytes([1 + at % 2, byte]))

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel)

    with websocket_server(handler) as served:
        assert (data[::2], data[1::2]) == go(scenario)


def test_a_stream_may_be_cut_at_every_byte(go: Go) -> None:
    whole = (
        frame(b"\x01" + b"x" * 300)
        + frame(b"", 9)
        + frame(b"\x02ab", last=False)
        + frame(b"", 10)
        + frame(b"cd", 0)
        + frame(b"\x03\xe8", 8)
    )

    def talk(sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        upgrade(sock, whole[:1])
        for at in range(1, len(whole)):
            sock.sendall(whole[at : at + 1])
            taken.get(timeout=PATIENCE) if at % 50 == 0 else None
        sock.recv(1 << 16)

    async def scenario(world: World) -> Any:
        out = {STDOUT: b"", STDERR: b""}
        async with opened(world, served.uri) as channel:
            while True:
                taken.put(None)
                turn = await channel.exchange(until=world.now() + 0.002)
                for chunk in turn.chunks:
                    out[chunk.stream] += chunk.data
                if turn.closed:
                    return out

    taken: queue.Queue[None] = queue.Queue()
    with bare_server(talk) as served:
        assert go(scenario) == {STDOUT: b"x" * 300, STDERR: b"abcd"}
