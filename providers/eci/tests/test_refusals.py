"""Answers of an endpoint that make no websocket."""

from __future__ import annotations

import socket
import threading

import pytest

from sandboxkit.errors import ProviderError, ProviderUnavailable, Throttled
from sandboxkit.provider import World

from .channels import Go, holds_secret, open_and_close
from .endpoints import PATIENCE, bare_server, read_head

pytestmark = pytest.mark.usefixtures("dead_proxy")

ANSWERS: dict[str, tuple[bytes, type[ProviderError], str | None]] = {
    "expired": (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", ProviderUnavailable, "403"),
    "used": (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", ProviderUnavailable, "410"),
    "unknown": (b"HTTP/1.1 404 Not Found\r\n\r\n", ProviderUnavailable, "404"),
    "busy": (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n", Throttled, "429"),
    "broken": (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", ProviderUnavailable, "502"),
    "odd": (b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", ProviderError, "418"),
    "elsewhere": (
        b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        ProviderError,
        "302",
    ),
    "no upgrade": (b"HTTP/1.1 101 Fine\r\n\r\n", ProviderError, None),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", ProviderError, None),
    "nothing": (b"", ProviderUnavailable, None),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_no_websocket_is_a_typed_error_without_the_address(go: Go, case: str) -> None:
    answer, kind, code = ANSWERS[case]

    def talk(sock: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        sock.sendall(answer)

    with bare_server(talk) as served:
        with pytest.raises(ProviderError) as caught:
            go(lambda world: open_and_close(world, served.uri))
        assert served.seen == 1
    assert type(caught.value) is kind
    assert code is None or caught.value.provider_code == code
    assert "127.0.0.1" in str(caught.value)
    assert not holds_secret(caught.value)
    assert not isinstance(caught.value, Throttled) or caught.value.retry_after == 7.0


def test_a_refused_handshake_does_not_wait_for_the_peer_to_hang_up(go: Go) -> None:
    """Proxies keep a connection open behind an answer; closing it from here waits for nothing."""
    told = threading.Event()

    def talk(sock: socket.socket) -> None:
        read_head(sock)
        sock.sendall(ANSWERS["expired"][0])
        told.wait(PATIENCE)

    async def scenario(world: World) -> None:
        until = world.now() + PATIENCE / 2
        with pytest.raises(ProviderUnavailable, match="403"):
            await open_and_close(world, served.uri, until=until)
        assert world.now() < until

    with bare_server(talk) as served:
        go(scenario)
        told.set()
