"""A process served over a real websocket on loopback, for tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web
from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.session import ExecWebSocket, SessionQuirks, serve
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

PATIENCE = 20.0
"""Seconds after which what should happen at once is taken to never happen."""


@asynccontextmanager
async def served(
    stream: Stream, *, tty: bool = False, quirks: SessionQuirks | None = None
) -> AsyncIterator[ClientConnection]:
    """Serve a process; give a client's side of its websocket. The session has ended when the block has."""
    over = asyncio.Event()
    failures: list[BaseException] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        websocket = ExecWebSocket()
        await websocket.prepare(request)
        try:
            await serve(websocket, stream, tty=tty, quirks=quirks)
        except Exception as exc:  # noqa: BLE001 - it is the test that must fail of it
            failures.append(exc)
        finally:
            over.set()
        return websocket

    app = web.Application()
    app.router.add_get("/exec/", handle)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}/exec/?s=token"
        async with connect(url, proxy=None, compression=None, max_size=None, ping_interval=None) as client:
            yield client
        await asyncio.wait_for(over.wait(), PATIENCE)
    finally:
        await runner.cleanup()
    assert failures == []


async def messages(client: ClientConnection) -> list[bytes | str]:
    """Give every message until the server ends the session."""
    found: list[bytes | str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                found.append(await client.recv())
    except ConnectionClosed:
        return found


async def output(client: ClientConnection) -> dict[int, bytes]:
    """Give all output, by channel."""
    return join(await messages(client))


def join(found: list[bytes | str]) -> dict[int, bytes]:
    """Join binary messages by channel."""
    joined: dict[int, list[bytes]] = {}
    for message in found:
        assert isinstance(message, bytes)
        if message:
            joined.setdefault(message[0], []).append(message[1:])
    return {channel: b"".join(parts) for channel, parts in joined.items()}


async def read_until(client: ClientConnection, wanted: bytes) -> bytes:
    """Read output of any channel until it holds something."""
    said = b""
    async with asyncio.timeout(PATIENCE):
        while wanted not in said:
            message = await client.recv()
            assert isinstance(message, bytes)
            said += message[1:]
    return said
