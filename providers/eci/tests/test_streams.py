"""Exec streams over websockets, in both worlds, against endpoints that do what a test tells them."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import logging
import os
import queue
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest
from sandboxkit_eci.streams import connect, connect_terminal
from websockets.asyncio.server import ServerConnection

from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import (
    AuthenticationFailed,
    DeadlineExceeded,
    ProviderError,
    ProviderUnavailable,
    Throttled,
)
from sandboxkit.model import STDERR, STDOUT, Chunk, TerminalSize
from sandboxkit.provider import ByteChannel, World
from sandboxkit.worlds import BlockingWorld

from .endpoints import (
    PATIENCE,
    SECRET,
    bare_server,
    frame,
    make_certificate,
    proxy_server,
    read_frame,
    reset,
    upgrade,
    websocket_server,
)

T = TypeVar("T")
Scenario = Callable[[World], Awaitable[T]]
Go = Callable[[Scenario[Any]], Any]


@pytest.fixture(params=["blocking", "asyncio"])
def go(request: pytest.FixtureRequest) -> Go:
    """Run a scenario in one world, and see that nothing of it is left."""

    def in_blocking(scenario: Scenario[Any]) -> Any:
        async def whole() -> Any:
            return await scenario(BlockingWorld())

        return run(whole())

    def in_asyncio(scenario: Scenario[Any]) -> Any:
        async def whole() -> Any:
            world = AsyncioWorld()
            try:
                return await scenario(world)
            finally:
                await world.close()
                assert {asyncio.current_task()} == asyncio.all_tasks()

        return asyncio.run(whole())

    return in_blocking if request.param == "blocking" else in_asyncio


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


async def follow(
    world: World, channel: ByteChannel, data: bytes = b"", seconds: float = PATIENCE
) -> tuple[bytes, bytes]:
    """Send all of ``data`` and receive until the end; give stdout and stderr."""
    rest, out = memoryview(data), {STDOUT: bytearray(), STDERR: bytearray()}
    until = world.now() + seconds
    while True:
        turn = await channel.exchange(rest, until=until)
        rest = rest[turn.sent :]
        for chunk in turn.chunks:
            out[chunk.stream] += chunk.data
        if turn.closed:
            return bytes(out[STDOUT]), bytes(out[STDERR])
        assert world.now() < until, "the stream did not end"


@contextlib.asynccontextmanager
async def opened(world: World, uri: str, **options: Any) -> Any:
    channel = await connect(world, uri, until=world.now() + PATIENCE, **options)
    try:
        yield channel
    finally:
        await channel.close()


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


# -- connecting ---------------------------------------------------------------------------------------------------


def holds_secret(error: BaseException | None, secret: str = SECRET) -> bool:
    """Look through everything an error can show."""
    if error is None:
        return False
    shown = f"{error!r} {error} {error.args} {vars(error)}"
    return secret in shown or holds_secret(error.__cause__, secret) or holds_secret(error.__context__, secret)


async def open_and_close(world: World, uri: str, **options: Any) -> None:
    options.setdefault("until", world.now() + PATIENCE)
    channel = await connect(world, uri, **options)
    await channel.close()


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


# -- cancelling ---------------------------------------------------------------------------------------------------


class Cancelled:
    """A world that is cancelled at the n-th place where it could suspend."""

    def __init__(self, at: int) -> None:
        self.world = AsyncioWorld()
        self.left = at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.world, name)
        if name not in ("sleep", "ready", "call", "breathe"):
            return found

        async def suspending(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise asyncio.CancelledError
            return await found(*args, **kwargs)

        return suspending


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


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A proxy of the environment's, which is never to be asked."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    return
