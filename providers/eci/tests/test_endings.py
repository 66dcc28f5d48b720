"""How a channel ends: in order, broken, refused, or closed from here."""

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
from sandboxkit.driver import run
from sandboxkit.errors import ProviderError, ProviderUnavailable
from sandboxkit.model import STDOUT, Chunk
from sandboxkit.provider import World
from sandboxkit.worlds import BlockingWorld

from .channels import Go, follow, opened
from .endpoints import PATIENCE, bare_server, frame, read_frame, reset, upgrade, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


@pytest.mark.parametrize("code", [1000, 1001, None])
def test_a_close_in_order_is_an_end(go: Go, code: int | None) -> None:
    def talk(sock: socket.socket) -> None:
        upgrade(sock, frame(b"\x01last") + frame(b"" if code is None else code.to_bytes(2, "big"), 8))
        assert read_frame(sock)[0] == 8

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            first = await channel.exchange(until=world.now() + PATIENCE)
            assert ((Chunk(STDOUT, b"last"),), False) == (first.chunks, first.closed)
            for _ in range(2):
                assert (await channel.exchange(b"ignored", until=world.now() + PATIENCE)).closed

    with bare_server(talk) as served:
        go(scenario)


ENDS: dict[str, tuple[bytes, bool]] = {
    "no close frame": (b"", False),
    "in the middle of a frame": (frame(b"\x01lost")[:4], False),
    "a reset": (b"", True),
    "code 1011": (frame((1011).to_bytes(2, "big"), 8), False),
    "code 1006, which none may send": (frame((1006).to_bytes(2, "big"), 8), False),
    "no websocket": (b"\xff\xff\xff\xff", False),
}


@pytest.mark.parametrize("early", [True, False], ids=["with the handshake", "later"])
@pytest.mark.parametrize("end", ENDS)
def test_a_connection_that_breaks_is_an_error_after_what_came_before_it(go: Go, end: str, early: bool) -> None:
    rest, with_reset = ENDS[end]

    def talk(sock: socket.socket) -> None:
        upgrade(sock, frame(b"\x01before") + rest if early else b"")
        if not early:
            read_frame(sock)
            sock.sendall(frame(b"\x01before") + rest)
        taken.wait(PATIENCE)
        if with_reset:
            reset(sock)

    async def scenario(world: World) -> None:
        async with opened(world, served.uri) as channel:
            await channel.exchange(b"begin", receive=False, until=world.now() + PATIENCE)
            first = await channel.exchange(until=world.now() + PATIENCE)
            assert ((Chunk(STDOUT, b"before"),), False) == (first.chunks, first.closed)
            taken.set()
            for _ in range(2):
                with pytest.raises(ProviderUnavailable):
                    await channel.exchange(until=world.now() + PATIENCE)

    taken = threading.Event()
    with bare_server(talk) as served:
        go(scenario)


def test_output_outlives_a_reset_that_meets_the_sender(go: Go) -> None:
    """A command that ends without its input: what it wrote is on its way when nobody takes the rest."""

    def talk(sock: socket.socket) -> None:
        upgrade(sock, frame(b"\x01done") + frame(b"\x03\xe8", 8))
        sock.recv(1)
        sock.close()  # with unread bytes: that is a reset

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            limit = world.now() + 0.2
            while world.now() < limit:
                await channel.exchange(bytes(1 << 16), receive=False, until=limit)
            return await follow(world, channel, bytes(1 << 20))

    with bare_server(talk) as served:
        assert go(scenario) == (b"done", b"")


@pytest.mark.parametrize(
    ("said", "refused"),
    [
        (b"OCI runtime exec failed: no /bin/sh", True),
        (b'{"status":"Failure","message":"container not found","reason":"NotFound"}', True),
        (b'{"status":"Failure","message":"exit 3","reason":"NonZeroExitCode"}', False),
        (b'{"status":"Success"}', False),
        (b"command terminated with non-zero exit code: exit status 137", False),
    ],
)
def test_a_command_that_could_not_be_started_is_an_error_in_the_services_words(
    go: Go, said: bytes, refused: bool
) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(b"\x03" + said)

    async def scenario(world: World) -> Any:
        async with opened(world, served.uri) as channel:
            return await follow(world, channel)

    with websocket_server(handler) as served:
        if refused:
            with pytest.raises(ProviderError, match=r"could not start a process.*(no /bin/sh|container not found)"):
                go(scenario)
        else:
            assert go(scenario) == (b"", b"")


def test_closing_says_goodbye_and_may_be_repeated(go: Go) -> None:
    frames: list[tuple[int, bytes]] = []

    def talk(sock: socket.socket) -> None:
        upgrade(sock)
        frames.append(read_frame(sock))
        assert sock.recv(1) == b""

    async def scenario(world: World) -> None:
        channel = await connect(world, served.uri, until=world.now() + PATIENCE)
        await channel.close()
        await channel.close()
        with pytest.raises(ProviderUnavailable):
            await channel.exchange(until=world.now())

    with bare_server(talk) as served:
        go(scenario)
    assert frames == [(8, b"\x03\xe8")]


def silent(sock: socket.socket) -> None:
    """Say nothing until the client has gone."""
    upgrade(sock)
    while sock.recv(1 << 16):
        pass


def test_a_task_that_waits_is_woken_by_close() -> None:
    async def scenario() -> None:
        world = AsyncioWorld()
        channel: Any = await connect(world, served.uri, until=world.now() + PATIENCE)
        waiting = asyncio.create_task(channel.exchange(until=world.now() + PATIENCE))
        while not channel._waiting:  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0)
        await channel.close()
        with pytest.raises(ProviderUnavailable, match="was closed"):
            await waiting
        assert world.now() < until
        await world.close()

    until = BlockingWorld().now() + PATIENCE
    with bare_server(silent) as served:
        asyncio.run(scenario())


def test_a_thread_that_waits_is_woken_by_close() -> None:
    with bare_server(silent) as served:
        world = BlockingWorld()
        until = world.now() + PATIENCE
        channel: Any = run(connect(world, served.uri, until=until))
        errors: queue.Queue[BaseException] = queue.Queue()

        def wait() -> None:
            try:
                run(channel.exchange(until=until))
            except ProviderUnavailable as exc:
                errors.put(exc)

        thread = threading.Thread(target=wait)
        thread.start()
        while not channel._waiting:
            pass
        run(channel.close())
        assert "was closed" in str(errors.get(timeout=PATIENCE))
        assert world.now() < until
        thread.join(PATIENCE)
