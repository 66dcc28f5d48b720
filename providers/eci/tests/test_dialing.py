"""Reaching an exec's endpoint, in both worlds: addresses, hosts, deadlines, certificates."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading

import pytest
from websockets.asyncio.server import ServerConnection

from sandboxkit.aio import AsyncioWorld
from sandboxkit.errors import DeadlineExceeded, ProviderError, ProviderUnavailable
from sandboxkit.provider import World

from .channels import Go, holds_secret, open_and_close
from .endpoints import PATIENCE, SECRET, bare_server, websocket_server

pytestmark = pytest.mark.usefixtures("dead_proxy")


def test_an_endpoint_that_is_not_there_is_unavailable(go: Go) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ProviderUnavailable, match=f"127.0.0.1:{port}") as caught:
        go(lambda world: open_and_close(world, f"ws://127.0.0.1:{port}/exec/?s={SECRET}"))
    assert not holds_secret(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        f"https://host/exec/?s={SECRET}",
        f"ws:///?s={SECRET}",
        f"ws://h:x/?s={SECRET}",
        f"ws://h/#?s={SECRET}",
        f"ws://user@h/?s={SECRET}",
        f"ws://[h/?s={SECRET}",
    ],
)
def test_an_address_of_another_kind_is_refused_without_being_repeated(go: Go, uri: str) -> None:
    with pytest.raises(ProviderError, match="no websocket URI") as caught:
        go(lambda world: open_and_close(world, uri))
    assert not holds_secret(caught.value)


def test_a_host_that_is_not_known_is_unavailable(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(ProviderUnavailable, match="host nowhere is not known"):
        go(lambda world: open_and_close(world, f"ws://nowhere/?s={SECRET}"))


def test_a_lookup_that_stalls_keeps_the_deadline_under_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: done.wait(PATIENCE))

    async def scenario() -> None:
        world = AsyncioWorld()
        try:
            await open_and_close(world, f"ws://nowhere/?s={SECRET}", until=world.now() + 0.05)
        finally:
            done.set()
            await world.close()

    with pytest.raises(DeadlineExceeded):
        asyncio.run(scenario())


def test_the_next_of_a_hosts_addresses_is_tried(go: Go, monkeypatch: pytest.MonkeyPatch) -> None:
    async def handler(server: ServerConnection) -> None:
        await server.wait_closed()

    with websocket_server(handler) as served, socket.create_server(("127.0.0.1", 0)) as closed:
        dead, live = closed.getsockname(), ("127.0.0.1", int(served.uri.split(":")[2].split("/")[0]))
        closed.close()
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in (dead, live)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
        go(lambda world: open_and_close(world, f"ws://somewhere:1/?s={SECRET}"))


@pytest.mark.parametrize("scheme", ["ws", "wss"])
def test_an_endpoint_that_stalls_keeps_the_deadline(go: Go, scheme: str) -> None:
    done = threading.Event()

    def talk(sock: socket.socket) -> None:
        done.wait(PATIENCE)

    async def scenario(world: World) -> None:
        with pytest.raises(DeadlineExceeded) as caught:
            await open_and_close(world, served.uri.replace("ws:", f"{scheme}:"), until=world.now() + 0.1)
        assert not holds_secret(caught.value)
        done.set()

    with bare_server(talk) as served:
        go(scenario)


def test_a_certificate_that_is_not_trusted_is_an_error(
    go: Go, certificate: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    async def handler(server: ServerConnection) -> None:
        raise AssertionError("nothing may get here")

    with websocket_server(handler, certificate[0]) as served, pytest.raises(ProviderError, match="cert") as caught:
        go(lambda world: open_and_close(world, served.uri))
    assert not caught.value.retryable
    assert not holds_secret(caught.value)
