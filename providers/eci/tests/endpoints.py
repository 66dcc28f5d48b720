"""Exec endpoints that do what a test tells them, on this host: a websocket server, a bare socket, a proxy."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import hashlib
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

SECRET = "ktHPxSECRET"

PATIENCE = 20.0
"""Seconds after which what should happen at once is taken to never happen."""

Handler = Callable[[ServerConnection], Awaitable[None]]


class Served:
    """What the tests ask a server."""

    def __init__(self, uri: str, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.uri = uri
        self.open = 0
        self.seen = 0
        self.opened: Callable[[], object] = lambda: None
        self._loop = loop
        self.connections: set[ServerConnection] = set()

    def abort(self) -> None:
        """Drop every websocket that is open now, without a word."""
        assert self._loop is not None
        for connection in tuple(self.connections):
            self._loop.call_soon_threadsafe(connection.transport.abort)


@contextlib.contextmanager
def websocket_server(handler: Handler, tls: ssl.SSLContext | None = None) -> Iterator[Served]:
    """Serve ``handler`` from a thread of its own; its exceptions are raised at the end."""
    loop = asyncio.new_event_loop()
    started: list[Served] = []
    ready, failures = threading.Event(), list[BaseException]()

    async def guarded(connection: ServerConnection) -> None:
        started[0].open += 1
        started[0].seen += 1
        started[0].connections.add(connection)
        started[0].opened()
        try:
            with contextlib.suppress(ConnectionClosed):
                await handler(connection)
        except Exception as exc:  # noqa: BLE001 - the test's own thread raises it
            failures.append(exc)
        finally:
            started[0].open -= 1
            started[0].connections.discard(connection)

    def check(connection: ServerConnection, request: Request) -> Response | None:
        return None if SECRET in request.path else connection.respond(403, "no such exec\n")

    async def main() -> None:
        server = await serve(
            guarded,
            "127.0.0.1",
            0,
            ssl=tls,
            compression=None,
            max_size=None,
            ping_interval=None,
            close_timeout=1,  # it does not read on while it waits for the client's goodbye
            process_request=check,
        )
        port = next(iter(server.sockets)).getsockname()[1]
        started.append(Served(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}/exec/?s={SECRET}", loop))
        ready.set()
        await stop.wait()
        server.close()
        await server.wait_closed()

    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        yield started[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        loop.close()
    if failures:
        raise failures[0]


@contextlib.contextmanager
def bare_server(talk: Callable[[socket.socket], None], scheme: str = "ws") -> Iterator[Served]:
    """Serve each connection's bare socket, in a thread, to ``talk``."""
    listener = socket.create_server(("127.0.0.1", 0))
    scheme_and_path = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}", f"/exec/?s={SECRET}"
    served = Served(scheme_and_path[0] + (scheme_and_path[1] if scheme == "ws" else ""))
    threads: list[threading.Thread] = []

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.settimeout(PATIENCE)
            talk(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                served.seen += 1
                threads.append(threading.Thread(target=one, args=(connection,)))
                threads[-1].start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield served
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in (acceptor, *threads):
            thread.join(PATIENCE)


def read_head(sock: socket.socket) -> bytes:
    """Read an HTTP head."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        data = sock.recv(1)
        if not data:
            raise ConnectionResetError
        head += data
    return head


def upgrade(sock: socket.socket, extra: bytes = b"") -> None:
    """Answer a websocket's handshake, and send ``extra`` with the answer."""
    lines = read_head(sock).decode().split("\r\n")
    key = next(line.split(": ")[1] for line in lines if line.lower().startswith("sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest())
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n" + extra
    )


def frame(data: bytes, opcode: int = 2, *, last: bool = True) -> bytes:
    """Give a server's frame."""
    head = bytes([(0x80 if last else 0) | opcode])
    if len(data) < 126:
        return head + bytes([len(data)]) + data
    if len(data) < 65536:
        return head + struct.pack("!BH", 126, len(data)) + data
    return head + struct.pack("!BQ", 127, len(data)) + data


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    """Read one of the client's frames: its opcode and its bytes."""
    first, second = _exactly(sock, 2)
    size = second & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", _exactly(sock, 2))
    elif size == 127:
        (size,) = struct.unpack("!Q", _exactly(sock, 8))
    assert second & 0x80, "a client's frame must be masked"
    mask = _exactly(sock, 4)
    data = _exactly(sock, size)
    key = (mask * (size // 4 + 1))[:size]
    return first & 0x0F, (int.from_bytes(data) ^ int.from_bytes(key)).to_bytes(size)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return bytes(data)


def reset(sock: socket.socket) -> None:
    """Close the connection with a reset."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


@contextlib.contextmanager
def proxy_server(requests: list[bytes], answer: bytes = b"") -> Iterator[str]:
    """Serve CONNECT requests, or answer each with ``answer``; gives the proxy's address."""

    def talk(client: socket.socket) -> None:
        head = read_head(client)
        requests.append(head)
        if answer:
            client.sendall(answer)
            return
        host, port = head.split()[1].decode().rsplit(":", 1)
        with socket.create_connection((host, int(port))) as server:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(server, client))
            back.start()
            _pump(client, server)
            back.join(PATIENCE)

    with bare_server(talk, "http") as served:
        yield served.uri


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def make_certificate(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Make a certificate for this host; give the server's context and that of a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandboxkit test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(path)
    return server, client
