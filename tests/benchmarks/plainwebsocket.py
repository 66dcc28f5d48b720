"""Clients of nothing but a websocket library: they open an exec's address, receive its messages and keep them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

import websocket
from alibabacloud_eci20180808 import models  # type: ignore[import-untyped]
from alibabacloud_eci20180808.client import Client  # type: ignore[import-untyped]
from alibabacloud_tea_openapi.models import Config  # type: ignore[import-untyped]
from websockets.asyncio.client import connect

ROOM = 1 << 20


def address(options: dict[str, Any], group: str, words: list[str]) -> str:
    """Ask the emulator at those connect options for an exec; give the address of its websocket."""
    config = Config(
        access_key_id=options["access_key_id"],
        access_key_secret=options["access_key_secret"],
        endpoint=urlsplit(options["endpoint"]).netloc,
        protocol="HTTP",
        region_id=options["region_id"],
        no_proxy="127.0.0.1",
    )
    asked = models.ExecContainerCommandRequest(
        region_id=options["region_id"],
        container_group_id=group,
        container_name="main",
        command=json.dumps(words),
        stdin=True,
        tty=False,
    )
    return str(Client(config).exec_container_command(asked).body.web_socket_uri)


def receive(uri: str) -> list[bytes]:
    """Receive with websocket-client."""
    messages: list[bytes] = []
    client = websocket.create_connection(uri)
    try:
        while True:
            opcode, data = client.recv_data()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return messages
            messages.append(data)
    finally:
        client.shutdown()  # type: ignore[no-untyped-call]


async def receive_async(uri: str) -> list[bytes | str]:
    """Receive with websockets."""
    async with connect(uri, max_size=None, proxy=None) as client:
        return [message async for message in client]


def joined(messages: Iterable[bytes | str]) -> bytes:
    """Make one of all, without the bytes that tell the channels."""
    return b"".join([memoryview(message)[1:] for message in messages if isinstance(message, bytes)])


def empty(uri: str, size: int) -> None:
    """Take ``size`` bytes from the socket and look at none: nobody can be faster."""
    client = websocket.create_connection(uri)
    room = bytearray(ROOM)
    try:
        while size > 0:
            assert client.sock is not None
            came = client.sock.recv_into(room)
            if not came:
                raise ConnectionError("the server sent less than it should")
            size -= came
    finally:
        client.shutdown()  # type: ignore[no-untyped-call]
