"""Connections that died without a word are found, in both worlds, by a clock that is moved."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from sandboxkit.aio import AsyncioWorld
from sandboxkit.provider import Exchange, World
from sandboxkit.warmchannel import WarmChannel
from sandboxkit.worlds import BlockingWorld

from .channels import Go, opened
from .endpoints import PATIENCE, bare_server, frame, read_frame, upgrade

pytestmark = pytest.mark.usefixtures("dead_proxy")

INTERVAL = 1000.0
"""Seconds between pings, so that no ping is due before the clock is moved."""

PING, PONG = 9, 10


@attrs.define(eq=False)
class Peer:
    """Answers the pings whose numbers it is given, and reads the others."""

    answers: Callable[[int], bool]
    arrived: threading.Semaphore = attrs.field(factory=lambda: threading.Semaphore(0))

    def __call__(self, sock: socket.socket) -> None:
        upgrade(sock)
        number = 0
        while (taken := read_frame(sock))[0] != 8:
            assert taken[0] == PING
            if self.answers(number):
                sock.sendall(frame(taken[1], PONG))
            number += 1
            self.arrived.release()

    def has_pinged(self) -> None:
        """Wait until it did with a ping what it does."""
        assert self.arrived.acquire(timeout=PATIENCE)


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Move both worlds' clocks on."""
    moved = 0.0

    def on(seconds: float) -> None:
        nonlocal moved
        moved += seconds

    for world in (BlockingWorld, AsyncioWorld):
        monkeypatch.setattr(world, "now", lambda _: time.monotonic() + moved)
    return on


Move = Callable[[float], None]


def looking(peer: Peer, go: Go, look: Callable[[World, WarmChannel], Any]) -> None:
    async def scenario(world: World) -> None:
        async with opened(world, served.uri, ping_interval=INTERVAL) as channel:
            await look(world, WarmChannel(channel))

    with bare_server(peer) as served:
        go(scenario)


def test_a_peer_that_answers_pings_no_more_is_not_there(go: Go, move: Move) -> None:
    peer = Peer(lambda number: number < 2)

    async def look(world: World, warm: WarmChannel) -> None:
        for _ in range(3):
            move(1.25 * INTERVAL)
            assert await warm.is_there(now=world.now())
            peer.has_pinged()
        move(0.5 * INTERVAL)
        assert await warm.is_there(now=world.now())
        move(0.75 * INTERVAL)
        assert not await warm.is_there(now=world.now())
        # Who polls a command is told nothing of it: a peer that waits for the command to read takes no pings.
        assert await warm.channel.exchange(until=world.now()) == Exchange()

    looking(peer, go, look)


def test_a_peer_that_never_answered_a_ping_is_there(go: Go, move: Move) -> None:
    peer = Peer(lambda _: False)

    async def look(world: World, warm: WarmChannel) -> None:
        for _ in range(4):
            move(1.25 * INTERVAL)
            assert await warm.is_there(now=world.now())
            peer.has_pinged()

    looking(peer, go, look)


def test_a_channel_that_was_not_read_for_long_is_there_if_its_peer_answered(go: Go, move: Move) -> None:
    peer = Peer(lambda _: True)

    async def look(world: World, warm: WarmChannel) -> None:
        for _ in range(4):
            # Sends what is due, and reads nothing.
            await warm.channel.exchange(receive=False, until=world.now())
            move(10 * INTERVAL)
            assert await warm.is_there(now=world.now())
            peer.has_pinged()

    looking(peer, go, look)
