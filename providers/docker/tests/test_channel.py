"""The byte channel over a socket whose other end the test holds."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest
from sandboxkit_docker.channel import DockerChannel
from sandboxkit_docker.connection import DaemonConnection
from sandboxkit_docker.frames import HEADER

from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import InvalidSpec, NoCapacity, ProviderError, ProviderUnavailable, SandboxNotRunning
from sandboxkit.model import Chunk
from sandboxkit.provider import Exchange
from sandboxkit.worlds import BlockingWorld


def frame(stream: int, data: bytes) -> bytes:
    return HEADER.pack(stream, len(data)) + data


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def channel(ends: tuple[socket.socket, socket.socket]) -> Iterator[DockerChannel]:
    made = DockerChannel(BlockingWorld(), DaemonConnection(ends[0]), "c" * 64)
    yield made
    run(made.close())


@pytest.fixture
def peer(ends: tuple[socket.socket, socket.socket]) -> socket.socket:
    return ends[1]


def soon() -> float:
    return BlockingWorld().now() + 0.05


def test_what_arrives_is_given_by_stream(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"out") + frame(2, b"err"))
    assert Exchange(chunks=(Chunk(1, b"out"), Chunk(2, b"err"))) == run(channel.exchange())


def test_bytes_that_came_with_the_http_answer_come_first(ends: tuple[socket.socket, socket.socket]) -> None:
    channel = DockerChannel(BlockingWorld(), DaemonConnection(ends[0], frame(1, b"ea")[:9]), "c")
    ends[1].sendall(frame(1, b"ea")[9:])
    assert (Chunk(1, b"e"),) == run(channel.exchange()).chunks
    assert (Chunk(1, b"a"),) == run(channel.exchange()).chunks


def test_the_end_is_told_after_what_came_before_it(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"last"))
    peer.close()
    assert Exchange(chunks=(Chunk(1, b"last"),)) == run(channel.exchange())
    assert Exchange(closed=True) == run(channel.exchange())


def test_nothing_happens_until_the_deadline(channel: DockerChannel) -> None:
    assert Exchange() == run(channel.exchange(until=soon()))
    assert Exchange() == run(channel.exchange(until=0.0))


def test_a_stream_cut_in_a_frame_is_an_error(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"whole")[:-1])
    peer.close()
    assert (Chunk(1, b"whol"),) == run(channel.exchange()).chunks
    with pytest.raises(ProviderUnavailable, match="middle"):
        run(channel.exchange())


def test_what_is_no_stream_is_an_error(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(b"HTTP/1.1 500\r\n")
    with pytest.raises(ProviderError, match="cannot be read"):
        run(channel.exchange())


def test_the_daemons_own_error_is_an_error(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(3, b"disk on fire"))
    with pytest.raises(ProviderError, match="disk on fire"):
        run(channel.exchange())


def test_sending_and_receiving_happen_in_one_turn(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"x"))
    assert Exchange(sent=5, chunks=(Chunk(1, b"x"),)) == run(channel.exchange(b"hello"))
    assert peer.recv(10) == b"hello"


def test_a_full_pipe_takes_nothing_until_the_deadline_and_output_meanwhile(
    channel: DockerChannel, peer: socket.socket
) -> None:
    while run(channel.exchange(b"x" * 65536, until=soon())).sent:
        pass
    assert Exchange() == run(channel.exchange(b"x", until=soon()))
    peer.sendall(frame(2, b"busy"))
    assert Exchange(chunks=(Chunk(2, b"busy"),)) == run(channel.exchange(b"x"))


def test_input_that_was_not_read_does_not_make_an_end_a_break(channel: DockerChannel, peer: socket.socket) -> None:
    assert run(channel.exchange(b"unread")).sent == 6
    peer.sendall(frame(1, b"bye"))
    peer.close()
    assert run(channel.exchange()).chunks == (Chunk(1, b"bye"),)
    assert run(channel.exchange()).closed


def test_without_receive_nothing_is_taken(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"later"))
    assert Exchange(sent=2) == run(channel.exchange(b"in", receive=False))
    assert Exchange() == run(channel.exchange(receive=False, until=soon()))
    assert (Chunk(1, b"later"),) == run(channel.exchange()).chunks


def test_input_that_nobody_takes_does_not_hide_the_output(channel: DockerChannel, peer: socket.socket) -> None:
    peer.sendall(frame(1, b"bye"))
    peer.close()
    assert Exchange() == run(channel.exchange(b"in", receive=False, until=soon()))
    assert (Chunk(1, b"bye"),) == run(channel.exchange(b"in")).chunks
    assert run(channel.exchange(b"in")).closed
    assert run(channel.exchange(b"in", receive=False)).closed


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (b"OCI runtime exec failed: exec failed: cannot exec in a stopped state: unknown", SandboxNotRunning),
        (b"unable to find user nosuch: no matching entries in passwd file", InvalidSpec),
        (b"OCI runtime exec failed: exec failed: read init-p: connection reset by peer: unknown", NoCapacity),
        (b'OCI runtime exec failed: exec: "sh": executable file not found in $PATH: unknown', ProviderError),
    ],
)
def test_what_the_daemon_writes_instead_of_starting_is_an_error(
    channel: DockerChannel, peer: socket.socket, words: bytes, kind: type[Exception]
) -> None:
    peer.sendall(frame(1, words + b"\r\n"))
    peer.close()
    with pytest.raises(kind):
        run(channel.exchange())


def test_the_same_words_from_a_command_are_output(channel: DockerChannel, peer: socket.socket) -> None:
    words = b"OCI runtime exec failed: not really\r\n"
    peer.sendall(frame(1, words))
    assert Exchange() == run(channel.exchange(until=soon()))
    peer.sendall(frame(2, b"."))
    assert (Chunk(1, words), Chunk(2, b".")) == run(channel.exchange()).chunks
    peer.sendall(frame(1, words))
    assert (Chunk(1, words),) == run(channel.exchange()).chunks


def test_a_closed_channel_is_an_error_and_closing_again_is_not(channel: DockerChannel) -> None:
    run(channel.close())
    run(channel.close())
    with pytest.raises(ProviderUnavailable, match="closed"):
        run(channel.exchange())


def test_closing_wakes_a_thread_that_waits(channel: DockerChannel) -> None:
    errors: list[BaseException | Exchange] = []

    def wait() -> None:
        try:
            errors.append(run(channel.exchange()))
        except ProviderError as exc:
            errors.append(exc)

    thread = threading.Thread(target=wait)
    thread.start()
    while not channel._connection.users:
        pass
    run(channel.close())
    thread.join(10)
    assert not thread.is_alive()
    (one,) = errors
    assert "was closed" in str(one)


def test_closing_wakes_a_task_that_waits(ends: tuple[socket.socket, socket.socket]) -> None:
    async def body() -> object:
        channel = DockerChannel(AsyncioWorld(), DaemonConnection(ends[0]), "c")
        waiting = asyncio.create_task(channel.exchange())
        await asyncio.sleep(0.01)
        await channel.close()
        return (await asyncio.wait_for(asyncio.gather(waiting, return_exceptions=True), 10))[0]

    got = asyncio.run(body())
    assert "was closed" in str(got)
    assert ends[0].fileno() == -1, "the last one out closes"


def test_one_task_sends_while_another_receives(ends: tuple[socket.socket, socket.socket]) -> None:
    total = 3 << 20

    def echo() -> None:
        left = total
        while left:
            data = ends[1].recv(65536)
            left -= len(data)
            ends[1].sendall(frame(1, data))
        ends[1].close()

    async def body() -> int:
        channel = DockerChannel(AsyncioWorld(), DaemonConnection(ends[0]), "c")

        async def send() -> None:
            rest = memoryview(bytes(total))
            while rest:
                rest = rest[(await channel.exchange(rest, receive=False)).sent :]

        sending = asyncio.create_task(send())
        got = 0
        while not (turn := await channel.exchange()).closed:
            got += sum(len(chunk.data) for chunk in turn.chunks)
        await sending
        await channel.close()
        return got

    thread = threading.Thread(target=echo)
    thread.start()
    assert total == asyncio.run(body())
    thread.join(10)
