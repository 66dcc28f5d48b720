"""Opening the stream of an exec, in both worlds: what it gives, what it leaves behind and what it tells."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import ssl
import threading
from typing import Any

import pytest
from sandboxkit_eci.streams import connect_terminal
from websockets.asyncio.server import ServerConnection

from sandboxkit.model import TerminalSize
from sandboxkit.provider import World

from .cancelled import Cancelled
from .channels import Go, follow, open_and_close, opened
from .endpoints import PATIENCE, SECRET, proxy_server, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


def test_a_terminal_is_given_another_size(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        message = await server.recv()
        assert isinstance(message, bytes)
        await server.send(b"\x01" + message[1:])

    async def scenario(world: World) -> Any:
        channel = await connect_terminal(world, served.uri, until=world.now() + PATIENCE)
        await channel.resize(TerminalSize(rows=40, columns=100))
        out, _ = await follow(world, channel)
        await channel.resize(TerminalSize(rows=1, columns=1))
        await channel.close()
        await channel.resize(TerminalSize(rows=1, columns=1))
        return out

    with websocket_server(handler) as served:
        assert go(scenario) == b'{"Width":100,"Height":40}'


def test_200_connections_leave_nothing_behind(go: Go) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(b"\x01" + await server.recv())  # type: ignore[operator]

    def held() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208

    async def scenario(world: World) -> None:
        await open_and_close(world, served.uri)
        files, threads = held()
        for _ in range(200):
            async with opened(world, served.uri) as channel:
                await follow(world, channel, b"x")
        # The server's sockets are this process's too: wait until it has let go of them.
        until = world.now() + PATIENCE
        while (now := held())[0] > files or now[1] > threads:
            assert world.now() < until, f"left: {now} after {files, threads}"
            await world.sleep(0.01)

    with websocket_server(handler) as served:
        go(scenario)


def test_no_log_has_the_address_or_what_is_sent(go: Go, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.recv()

    async def scenario(world: World) -> None:
        async with opened(world, served.uri) as channel:
            await follow(world, channel, b"PASSWORD=hidden")

    with websocket_server(handler) as served:
        caplog.set_level(logging.DEBUG)
        logging.getLogger("websockets.server").setLevel(logging.WARNING)
        go(scenario)
    assert SECRET not in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_connect_cancelled_anywhere_leaves_no_connection(
    tls: bool, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()

    async def scenario() -> int:
        for at in range(1, 100):
            world: Any = Cancelled(at)
            try:
                await open_and_close(world, served.uri, ca=certificate[1] if tls else None, proxy=proxy)
            except asyncio.CancelledError:
                continue
            finally:
                await world.world.close()
                gc.collect()
            return at
        raise AssertionError("it never ended")

    with websocket_server(handler, certificate[0] if tls else None) as served, proxy_server([]) as proxy:
        # Sockets that are left open are warnings, which are errors.
        # Sometimes an answer is there before it is waited for.
        assert asyncio.run(scenario()) > 1
