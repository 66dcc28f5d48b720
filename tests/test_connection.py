"""Connections that are used, woken and closed at once, plain and over TLS; the test holds the other end."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import sys
import threading
from collections.abc import Iterator

import attrs
import pytest
from sandboxkit_eci.emulator.tls import context, make_certificate

from sandboxkit.connection import Connection
from sandboxkit.errors import ProviderUnavailable

PATIENCE = 20.0

RESETS_ARE_ENDS = (3, 10) <= sys.version_info < (3, 12, 3)
"""To these versions of Python a reset is the end of a TLS connection (https://github.com/python/cpython/issues/115627)."""


@attrs.frozen
class Ends:
    """One connection over TCP."""

    ours: Connection
    theirs: socket.socket

    def wait(self) -> None:
        """Wait until the kernel has something for us."""
        assert select.select([self.ours.raw], [], [], PATIENCE)[0]

    def take(self, size: int) -> bytes:
        """Wait, and receive once."""
        self.wait()
        data = self.ours.receive(size)
        assert data is not None
        return data


@pytest.fixture(scope="module")
def contexts(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    certificate, key = make_certificate(tmp_path_factory.mktemp("tls"), "127.0.0.1")
    client = ssl.create_default_context(cafile=str(certificate))
    # Tickets, which come after the handshake, would be bytes that no test has sent.
    server = context(certificate, key)
    server.num_tickets = 0
    return client, server


@pytest.fixture
def tls(contexts: tuple[ssl.SSLContext, ssl.SSLContext]) -> Iterator[Ends]:
    ours, theirs = connected()
    secured: list[socket.socket] = []
    server = threading.Thread(target=lambda: secured.append(contexts[1].wrap_socket(theirs, server_side=True)))
    server.start()
    yield from ends(contexts[0].wrap_socket(ours, server_hostname="127.0.0.1"), server, secured)


@pytest.fixture
def plain() -> Iterator[Ends]:
    ours, theirs = connected()
    server = threading.Thread()
    server.start()
    yield from ends(ours, server, [theirs])


@pytest.fixture(params=["plain", "tls"])
def either(request: pytest.FixtureRequest) -> Ends:
    found: Ends = request.getfixturevalue(request.param)
    return found


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        return ours, listener.accept()[0]


def ends(ours: socket.socket, server: threading.Thread, theirs: list[socket.socket]) -> Iterator[Ends]:
    server.join(PATIENCE)
    ours.setblocking(False)
    with ours, theirs[0]:
        yield Ends(Connection(ours), theirs[0])


def test_what_has_arrived_is_given_and_nothing_is_waited_for(either: Ends) -> None:
    assert either.ours.receive(10) is None
    either.theirs.sendall(b"abc")
    assert either.take(10) == b"abc"
    assert either.ours.receive(10) is None
    assert either.ours.send(b"def") == 3
    assert either.theirs.recv(10) == b"def"
    either.theirs.shutdown(socket.SHUT_RDWR)
    assert either.take(10) == b""


def test_a_peer_that_takes_nothing_is_not_waited_for(either: Ends) -> None:
    while either.ours.send(bytes(1 << 16)):
        pass


def test_what_tls_holds_back_is_given_too(tls: Ends) -> None:
    """No poll would tell of it: who then waits for the descriptor would wait for ever."""
    for _ in range(2):
        tls.theirs.sendall(bytes(10_000))
    tls.wait()
    while len(socket.socket.recv(tls.ours.raw, 1 << 16, socket.MSG_PEEK)) < 20_000:
        pass
    assert len(tls.take(15_000)) == 20_000


def test_what_came_before_a_reset_is_given_before_it(either: Ends) -> None:
    either.theirs.sendall(b"last")
    either.wait()
    either.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    either.theirs.close()
    poll = select.poll()
    poll.register(either.ours.raw, 0)  # hang-ups and errors are always told
    assert poll.poll(PATIENCE * 1000)
    assert either.ours.receive(100) == b"last"
    if isinstance(either.ours.raw, ssl.SSLSocket) and RESETS_ARE_ENDS:
        assert either.ours.receive(100) == b""
    else:
        with pytest.raises(ConnectionResetError):
            either.ours.receive(100)


def test_who_reads_while_it_is_closed_reads_what_the_peer_wrote(either: Ends) -> None:
    with either.ours.use():
        either.theirs.sendall(b"output")
        either.wait()
        either.ours.close()
        assert either.ours.receive(100) == b"output"


def test_who_writes_while_it_is_closed_writes_nothing_more(either: Ends) -> None:
    with either.ours.use():
        either.ours.close()
        with pytest.raises(OSError, match=r"pipe|EOF|closed"):
            either.ours.send(b"input")
    assert either.theirs.recv(100) == b""


def test_closing_wakes_who_waits_and_the_last_one_out_closes(either: Ends) -> None:
    woken = threading.Event()
    leave = threading.Event()

    def wait() -> None:
        with either.ours.use():
            select.select([either.ours.descriptor], [], [], PATIENCE)
            woken.set()
            leave.wait(PATIENCE)

    threads = [threading.Thread(target=wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    while either.ours.users < 2:
        pass
    either.ours.close()
    assert woken.wait(PATIENCE)
    either.ours.close()
    assert either.ours.descriptor >= 0
    leave.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert either.ours.descriptor == -1


def test_a_closed_connection_takes_no_user(plain: Ends) -> None:
    plain.ours.close()
    plain.ours.close()
    assert plain.ours.descriptor == -1
    with pytest.raises(ProviderUnavailable, match="closed"), plain.ours.use():
        pytest.fail("it was used")


def test_a_retired_connection_still_sends(plain: Ends) -> None:
    """A channel says goodbye while nobody may begin to use it, and its last user may leave meanwhile."""
    with plain.ours.use():
        assert plain.ours.retire()
        assert not plain.ours.retire()
        with pytest.raises(ProviderUnavailable), plain.ours.use():
            pytest.fail("it was used")
    assert plain.ours.send(b"bye") == 3
    plain.ours.close()
    assert (plain.theirs.recv(10), plain.theirs.recv(10)) == (b"bye", b"")


def test_what_was_sent_arrives_although_bytes_were_left_unread(plain: Ends) -> None:
    plain.theirs.sendall(b"unread")
    plain.wait()
    left = 0
    while sent := plain.ours.send(bytes(1 << 16)):
        left += sent
    plain.ours.close()
    while got := plain.theirs.recv(1 << 16):
        left -= len(got)
    assert left == 0
