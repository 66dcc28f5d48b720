"""Other ways to the daemon: TCP and TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sandboxkit_docker.channel import DockerChannel
from sandboxkit_docker.connection import DaemonConnection, take_connection
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.options import ConnectOptions

import sandboxkit
from sandboxkit.driver import run
from sandboxkit.errors import (
    AuthenticationFailed,
)
from sandboxkit.model import Chunk
from sandboxkit.provider import Exchange
from sandboxkit.sync import Sandbox
from sandboxkit.worlds import BlockingWorld

from .conftest import USUAL
from .proxy import Proxy


@contextlib.contextmanager
def relayed(upstream: str, context: ssl.SSLContext | None) -> Iterator[int]:
    """Relay a TCP port, with TLS if there is a context, to the daemon's socket."""
    stopping = threading.Event()
    threads = []

    def relay(plain: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as daemon:
            daemon.connect(upstream)
            try:
                client = context.wrap_socket(plain, server_side=True) if context else plain
            except OSError:
                plain.close()
                return
            with client:
                while not stopping.is_set():
                    pending = isinstance(client, ssl.SSLSocket) and client.pending()
                    ready = [client] if pending else select.select([client, daemon], [], [], 0.05)[0]
                    for sock in ready:
                        try:
                            data = sock.recv(1 << 16)
                            if not data:
                                return
                            (daemon if sock is client else client).sendall(data)
                        except OSError:
                            return

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while not stopping.is_set():
                if select.select([listener], [], [], 0.05)[0]:
                    thread = threading.Thread(target=relay, args=(listener.accept()[0],))
                    threads.append(thread)
                    thread.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            acceptor.join(10)
            for thread in threads:
                thread.join(10)


def use(box: Sandbox) -> None:
    """Put much through a connection in both directions at once."""
    data = os.urandom(3 << 20)
    assert box.exec("cat; echo err >&2; exit 5", input=data).stdout == data
    assert box.exec("sleep 0.2; echo out").text == "out\n"
    with box.spawn("cat", stdin=True) as process:
        process.write(b"x" * 10)
        assert next(iter(process)).data == b"x" * 10


def test_a_daemon_is_reached_over_tcp(proxy: Proxy, remains: Any) -> None:
    with relayed(proxy.upstream, None) as port:
        url = f"tcp://127.0.0.1:{port}"
        with (
            sandboxkit.connect("docker", image=USUAL, owner=remains.owner, base_url=url) as client,
            client.create(ttl=120) as box,
        ):
            use(box)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, and its key."""
    place = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", f"{place}/key.pem", "-out", f"{place}/cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    return place


@contextlib.contextmanager
def accepting_one(context: ssl.SSLContext) -> Iterator[tuple[int, queue.Queue[ssl.SSLSocket]]]:
    """Give a port, and behind it the one connection that it takes."""
    taken: queue.Queue[ssl.SSLSocket] = queue.Queue()
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as stack:

        def take() -> None:
            taken.put(stack.enter_context(context.wrap_socket(listener.accept()[0], server_side=True)))

        thread = threading.Thread(target=take)
        thread.start()
        yield listener.getsockname()[1], taken
        thread.join(20)


@pytest.fixture
def tls(certificate: Path, proxy: Proxy) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with relayed(proxy.upstream, context) as port:
        yield port


def test_a_daemon_is_reached_over_tls(tls: int, certificate: Path, remains: Any) -> None:
    options = {"base_url": f"tcp://127.0.0.1:{tls}", "tls_ca": str(certificate / "cert.pem")}
    with (
        sandboxkit.connect("docker", image=USUAL, owner=remains.owner, **options) as client,
        client.create(ttl=120) as box,
    ):
        use(box)

    async def body() -> None:
        async with (
            sandboxkit.connect_async("docker", image=USUAL, owner=remains.owner, **options) as client,
            client.create(ttl=120) as box,
        ):
            data = os.urandom(1 << 20)
            results = await asyncio.gather(*(box.exec("cat", input=data) for _ in range(5)))
            assert all(result.stdout == data for result in results)

    asyncio.run(body())


def test_a_certificate_that_is_not_trusted_is_refused(tls: int) -> None:
    with (
        sandboxkit.connect("docker", image=USUAL, base_url=f"https://127.0.0.1:{tls}") as client,
        pytest.raises(AuthenticationFailed, match="TLS"),
    ):
        client.create(ttl=60).__enter__()


@pytest.mark.parametrize("cut", [0, 3, 8, 10])
def test_what_comes_with_the_answer_to_the_upgrade_is_not_lost(tmp_path: Path, cut: int) -> None:
    head = b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\n\r\n"
    stream = b"\1\0\0\0\0\0\0\3abc" + b"\2\0\0\0\0\0\0\1e"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "d.sock"))
        listener.listen(4)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK")
                while not peer.recv(4096).endswith(b"{}"):
                    pass
                peer.sendall(head + stream[:cut])
                time.sleep(0.05)
                peer.sendall(stream[cut:])

        thread = threading.Thread(target=serve)
        thread.start()
        daemon = Daemon(ConnectOptions(base_url=f"unix://{tmp_path}/d.sock"))
        until = time.monotonic() + 20
        response = daemon.send("POST", "/exec/x/start", until=until, body={}, upgrade=True)
        channel = DockerChannel(BlockingWorld(), take_connection(response), "x")
        got: list[tuple[int, bytes]] = []
        while not (turn := run(channel.exchange(until=until))).closed:
            got += [(chunk.stream, chunk.data) for chunk in turn.chunks]
        assert b"".join(data for number, data in got if number == 1) == b"abc"
        assert b"".join(data for number, data in got if number == 2) == b"e"
        run(channel.close())
        daemon.close()
        thread.join(10)


@pytest.mark.parametrize("said", [b"", b"\1\0\0\0\0\0\0\3abc"], ids=["silence", "a frame"])
def test_a_thread_that_reads_while_its_channel_closes_is_given_no_ciphertext(certificate: Path, said: bytes) -> None:
    """What it is given are the peer's frames, or that the channel was closed: no bytes and no end of the peer's."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with accepting_one(server) as (port, peers):
        context = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
        sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1")
        sock.setblocking(False)
        connection = DaemonConnection(sock)
        channel = DockerChannel(BlockingWorld(), connection, "c")
        got: list[Exchange | Exception] = []

        def read() -> None:
            try:
                got.append(run(channel.exchange()))
            except Exception as exc:  # noqa: BLE001 - what was wrong was a ValueError
                got.append(exc)

        thread = threading.Thread(target=read)
        with connection._tls:
            peers.get(timeout=20).sendall(said)
            assert not said or select.select([sock], [], [], 20)[0]
            thread.start()
            while not connection.users:
                pass
            time.sleep(0.05)  # it is about to read, and waits for its turn with OpenSSL
            run(channel.close())
        thread.join(20)
    (one,) = got
    assert "was closed" in str(one) or (said and one == Exchange(chunks=(Chunk(1, b"abc"),)))
    assert sock.fileno() == -1
