"""The core's launcher over exec streams: a websocket server starts real shells, as poor in ECI's way."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from sandboxkit_eci.streams import connect
from websockets.asyncio.server import ServerConnection

from sandboxkit.aio import AsyncioWorld
from sandboxkit.client import AsyncClient
from sandboxkit.errors import CommandLost, CommandTimeout, SandboxNotFound
from sandboxkit.provider import ByteChannel, World
from sandboxkit.sync import Client, Sandbox
from sandboxkit.testing.looking import TIMEOUTS
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell

from .endpoints import PATIENCE, Served, websocket_server

DRAIN = 0.2
"""Seconds that a shell's output is followed after its end: a child may hold its pipes."""


async def serve_shell(server: ServerConnection) -> None:
    """Start what the address names; tell nothing of how it ended."""
    assert server.request is not None
    argv = json.loads(parse_qs(urlsplit(server.request.path).query)["argv"][0])
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    await server.send(b"\x01")
    reading = asyncio.create_task(_stdin(server, process))
    writing = [
        asyncio.create_task(_output(server, b"\x01", process.stdout)),
        asyncio.create_task(_output(server, b"\x02", process.stderr)),
    ]
    await process.wait()
    await asyncio.wait(writing, timeout=DRAIN)
    if process.returncode:
        with contextlib.suppress(Exception):
            await server.send(b"\x03command terminated with non-zero exit code")
    for task in (*writing, reading):
        task.cancel()
    await asyncio.gather(*writing, reading, return_exceptions=True)
    process._transport.close()  # type: ignore[attr-defined]


async def _stdin(server: ServerConnection, process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    with contextlib.suppress(ConnectionError):
        async for message in server:
            assert isinstance(message, bytes)
            if message[:1] == b"\x00":
                process.stdin.write(message[1:])
                await process.stdin.drain()
    process.stdin.close()


async def _output(server: ServerConnection, channel: bytes, pipe: asyncio.StreamReader) -> None:
    while data := await pipe.read(1 << 16):
        with contextlib.suppress(Exception):
            await server.send(channel + data)


class StreamedShell(HostShell):
    """A shell of this host behind a websocket."""

    def __init__(self, world: World, uri: str) -> None:
        super().__init__(world)
        self.uri = uri

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        if sandbox_id != "host":
            raise SandboxNotFound(f"no sandbox {sandbox_id!r}")
        return await connect(self.world, f"{self.uri}&argv={quote(json.dumps(argv))}", until=until)


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with websocket_server(serve_shell) as made:
        yield made


@pytest.fixture
def box(served: Served) -> Sandbox:
    return Client(AsyncClient(StreamedShell(BlockingWorld(), served.uri), "test")).get("host")


@contextlib.asynccontextmanager
async def async_box(served: Served) -> AsyncIterator[Any]:
    world = AsyncioWorld()
    try:
        yield await AsyncClient(StreamedShell(world, served.uri), "test").get("host")
    finally:
        await world.close()


def test_a_command_has_its_output_and_its_exit_code(box: Sandbox) -> None:
    result = box.exec("printf out; printf err >&2; exit 3")
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out", b"err")


def test_20_mib_of_input_come_back(box: Sandbox) -> None:
    data = os.urandom(1 << 20) * 20
    result = box.exec(["cat"], input=data, max_output=None, timeout=100)
    assert data == result.stdout


def test_the_last_byte_of_many_fast_commands(box: Sandbox) -> None:
    for number in range(50):
        assert box.exec(f"printf {number}; printf e >&2").stdout == b"%d" % number


def test_a_command_that_takes_none_of_its_input_ends_in_order(box: Sandbox) -> None:
    assert box.exec("head -c 3", input=b"x" * (10 << 20)).stdout == b"xxx"


def test_a_timeout_ends_the_command(box: Sandbox, tmp_path: Path) -> None:
    reached = tmp_path / "reached"
    for timeout in TIMEOUTS:  # as reaching() does: a busy machine may take all of a short one from the command
        with pytest.raises(CommandTimeout) as caught:
            box.exec(f"printf early; : >{reached}; sleep 60", timeout=timeout)
        if reached.exists():
            break
    assert (caught.value.stdout, caught.value.killed) == (b"early", True)


def test_a_process_is_talked_to(box: Sandbox) -> None:
    with box.spawn("while read -r line; do echo got $line; done; exit 4", stdin=True) as process:
        process.write(b"one\n")
        assert next(iter(process)).data == b"got one\n"
        process.close_stdin()
        assert process.wait(PATIENCE) == 4


def test_the_same_under_asyncio(served: Served) -> None:
    async def main() -> None:
        async with async_box(served) as box:
            results = await asyncio.gather(*(box.exec(f"printf {n}; exit {n}") for n in range(20)))
            assert [(n, b"%d" % n) for n in range(20)] == [(r.exit_code, r.stdout) for r in results]
            data = os.urandom(1 << 20) * 20
            assert data == (await box.exec(["cat"], input=data, max_output=None, timeout=100)).stdout
            with pytest.raises(CommandTimeout):
                await box.exec("sleep 60", timeout=0.3)
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(main())


def test_a_cancelled_command_is_ended_and_its_socket_closed(served: Served) -> None:
    async def main() -> None:
        loop, began = asyncio.get_running_loop(), asyncio.Event()
        served.opened = lambda: loop.call_soon_threadsafe(began.set)
        async with async_box(served) as box:
            task = asyncio.create_task(box.exec("sleep 60"))
            await began.wait()
            served.opened = lambda: None
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert {asyncio.current_task()} == asyncio.all_tasks()

    asyncio.run(main())


def test_a_connection_that_is_dropped_is_a_lost_command(box: Sandbox, served: Served) -> None:
    def follow() -> None:
        with box.spawn("echo started; sleep 60") as process:
            for chunk in process:
                assert chunk.data == b"started\n"
                served.abort()

    with pytest.raises(CommandLost) as caught:
        follow()
    assert caught.value.dispatched is True
