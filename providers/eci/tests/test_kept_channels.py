"""Channels that are kept outlast what ECI does to silent ones, and are let go of in the end, in both worlds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from sandboxkit_eci import dialing
from sandboxkit_eci.emulator.testing import Emulator, emulator
from sandboxkit_eci.provider import EciProvider

import sandboxkit
from sandboxkit import pool

from .endpoints import bare_server

IDLE_CLOSE = 3.0
"""Seconds of silence after which the emulator closes a session; ECI takes about 60."""

EXEC = "ExecContainerCommand"

PONG = b"\x8a\x00"
"""A server's pong, without the bytes that our pings do not have."""


@pytest.fixture(autouse=True)
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes a minute with ECI takes seconds."""
    monkeypatch.setattr(EciProvider, "channel_idle_timeout", IDLE_CLOSE)
    monkeypatch.setattr(EciProvider, "ping_interval", IDLE_CLOSE / 3)


def options(eci: Emulator) -> dict[str, Any]:
    return {**eci.options, "image": "busybox:1"}


def helpers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "sandboxkit-later"}


def test_a_blocking_client_that_does_nothing_keeps_its_channel() -> None:
    others = helpers()
    with emulator("local", quirks={"idle-close": IDLE_CLOSE}) as eci:
        with sandboxkit.connect("eci", **options(eci)) as client, client.create() as box:
            assert box.exec(["true"]).exit_code == 0
            time.sleep(2 * IDLE_CLOSE)
            assert box.exec(["echo", "kept"]).text == "kept\n"
            assert eci.requests[EXEC] == 1
        for thread in helpers() - others:
            thread.join(timeout=10)
        assert helpers() <= others


def test_an_asyncio_client_that_does_nothing_keeps_its_channel() -> None:
    async def use(eci: Emulator) -> None:
        async with sandboxkit.connect_async("eci", **options(eci)) as client, client.create() as box:
            assert (await box.exec(["true"])).exit_code == 0
            await asyncio.sleep(2 * IDLE_CLOSE)
            assert (await box.exec(["echo", "kept"])).text == "kept\n"
            assert eci.requests[EXEC] == 1

    others = helpers()
    with emulator("local", quirks={"idle-close": IDLE_CLOSE}) as eci:
        asyncio.run(use(eci))
        assert helpers() <= others


def test_a_blocking_terminal_that_is_listened_to_is_not_hung_up() -> None:
    script = 'trap "exit 3" HUP; while :; do echo x; sleep 0.2; done'
    others = helpers()
    with emulator("local", quirks={"idle-close": IDLE_CLOSE}) as eci:
        with (
            sandboxkit.connect("eci", **options(eci)) as client,
            client.create() as box,
            box.spawn(script, terminal=(10, 60)) as process,
        ):
            assert process.wait(timeout=3 * IDLE_CLOSE) is None
            process.write(b"\x03")
            assert process.wait(timeout=60) == 130
        for thread in helpers() - others:
            thread.join(timeout=10)
        assert helpers() <= others


def test_a_blocking_terminal_that_is_left_alone_is_not_hung_up() -> None:
    with (
        emulator("local", quirks={"idle-close": IDLE_CLOSE}) as eci,
        sandboxkit.connect("eci", **options(eci)) as client,
        client.create() as box,
        box.spawn(["head", "-n", "1"], terminal=(10, 60)) as process,
    ):
        time.sleep(2 * IDLE_CLOSE)
        process.write(b"still there\n")
        assert process.wait(timeout=60) == 0
        assert b"".join(chunk.data for chunk in process).count(b"still there") == 2


def test_an_asyncio_terminal_that_is_left_alone_is_not_hung_up() -> None:
    async def use(eci: Emulator) -> None:
        async with (
            sandboxkit.connect_async("eci", **options(eci)) as client,
            client.create() as box,
            box.spawn(["head", "-n", "1"], terminal=(10, 60)) as process,
        ):
            await asyncio.sleep(2 * IDLE_CLOSE)
            await process.write(b"still there\n")
            assert await process.wait(timeout=60) == 0

    with emulator("local", quirks={"idle-close": IDLE_CLOSE}) as eci:
        asyncio.run(use(eci))


def test_a_blocking_client_that_does_nothing_lets_go_of_its_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "IDLE_LIMIT", 0.5)
    others = helpers()
    with (
        emulator("local", quirks={"idle-close": 60.0}) as eci,
        sandboxkit.connect("eci", **options(eci)) as client,
        client.create() as box,
    ):
        assert box.exec(["true"]).exit_code == 0
        until = time.monotonic() + 20
        while helpers() - others:
            assert time.monotonic() < until, "the channel is still kept"
            time.sleep(0.05)
        assert box.exec(["true"]).exit_code == 0
        assert eci.requests[EXEC] == 2


@attrs.define(eq=False)
class Flow:
    """A connection through a relay that may go deaf."""

    deaf: bool = False
    answered: threading.Event = attrs.field(factory=threading.Event)
    """Set when the client was given a pong."""
    ended: threading.Event = attrs.field(factory=threading.Event)
    """Set when the client has closed it."""

    def carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.deaf:
                    target.sendall(data)
                if data == PONG:
                    self.answered.set()

    def go_deaf_behind_a_pong(self) -> None:
        assert self.answered.wait(60), "no ping is answered"
        self.deaf = True

    def wait_for_its_end(self) -> None:
        assert self.ended.wait(60), "the channel is still kept"


@contextlib.contextmanager
def relay(eci: Emulator, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Flow]]:
    """Take the execs' connections over a relay; gives them."""
    flows: list[Flow] = []
    open_directly = dialing._open

    def talk(client: socket.socket) -> None:
        client.settimeout(None)
        with socket.create_connection(("127.0.0.1", int(eci.endpoint.rsplit(":", 1)[1]))) as server:
            flow = Flow()
            flows.append(flow)
            back = threading.Thread(target=flow.carry, args=(server, client))
            back.start()
            flow.carry(client, server)
            flow.ended.set()
            server.shutdown(socket.SHUT_RDWR)
            back.join()

    async def through(world: Any, _: tuple[str, int], until: float, urgent: bool) -> socket.socket:
        host, port = served.uri.removeprefix("http://").split(":")
        return await open_directly(world, (host, int(port)), until, urgent)

    with bare_server(talk, "http") as served:
        monkeypatch.setattr(dialing, "_open", through)
        yield flows


def test_a_blocking_client_finds_a_channel_that_died_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        emulator("local") as eci,
        relay(eci, monkeypatch) as flows,
        sandboxkit.connect("eci", **options(eci)) as client,
        client.create() as box,
    ):
        assert box.exec(["true"]).exit_code == 0
        flows[0].go_deaf_behind_a_pong()
        flows[0].wait_for_its_end()
        assert box.exec(["echo", "another"], timeout=60).text == "another\n"
        assert eci.requests[EXEC] == 2


def test_an_asyncio_client_finds_a_channel_that_died_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(eci: Emulator, flows: list[Flow]) -> None:
        async with sandboxkit.connect_async("eci", **options(eci)) as client, client.create() as box:
            assert (await box.exec(["true"])).exit_code == 0
            await asyncio.to_thread(flows[0].go_deaf_behind_a_pong)
            await asyncio.to_thread(flows[0].wait_for_its_end)
            assert (await box.exec(["echo", "another"], timeout=60)).text == "another\n"
            assert eci.requests[EXEC] == 2

    with emulator("local") as eci, relay(eci, monkeypatch) as flows:
        asyncio.run(use(eci, flows))
