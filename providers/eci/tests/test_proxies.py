"""Tunnels through an HTTP proxy, in both worlds."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from sandboxkit.errors import AuthenticationFailed, ProviderError, ProviderUnavailable
from sandboxkit.provider import World

from .channels import Go, follow, holds_secret, open_and_close, opened
from .endpoints import SECRET, proxy_server, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_proxy_is_asked_for_a_tunnel(go: Go, tls: bool, certificate: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.send(b"\x01through")

    async def scenario(world: World) -> Any:
        through = proxy.replace("http://", "http://me:pass%20word@")
        async with opened(world, served.uri, ca=certificate[1], proxy=through) as channel:
            return await follow(world, channel)

    requests: list[bytes] = []
    with websocket_server(handler, certificate[0] if tls else None) as served, proxy_server(requests) as proxy:
        assert go(scenario) == (b"through", b"")
    (request,) = requests
    assert request.startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic bWU6cGFzcyB3b3Jk\r\n" in request
    assert SECRET.encode() not in request


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", AuthenticationFailed),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", ProviderUnavailable),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", ProviderError),
        (b"hello there\r\n\r\n", ProviderError),
        (b"HTTP/1.1 200", ProviderUnavailable),
    ],
)
def test_a_proxy_that_refuses_is_named(go: Go, answer: bytes, kind: type[ProviderError]) -> None:
    async def scenario(world: World) -> None:
        through = proxy.replace("http://", "http://me:hidden@")
        await open_and_close(world, f"ws://127.0.0.1:1/?s={SECRET}", proxy=through)

    with proxy_server([], answer) as proxy, pytest.raises(ProviderError, match="proxy") as caught:
        go(scenario)
    assert type(caught.value) is kind
    assert not holds_secret(caught.value)
    assert not holds_secret(caught.value, "hidden")
