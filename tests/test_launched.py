"""What a launched command writes is all given, however early it comes."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import ProviderUnavailable, Throttled
from sandboxkit.launched import launch
from sandboxkit.model import Chunk, Command
from sandboxkit.provider import ByteChannel, Exchange
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell


class Slow:
    """A channel whose client is held up between sending and receiving, as on a busy machine."""

    def __init__(self, inner: ByteChannel, held_up: Callable[[], object] = lambda: time.sleep(0.3)) -> None:
        self.inner = inner
        self.held_up = held_up

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        sent = 0
        while outgoing and sent < len(outgoing):
            turn = await self.inner.exchange(outgoing[sent:], receive=False, until=until)
            sent += turn.sent
        if not sent or not receive:
            return await self.inner.exchange(receive=receive, until=until) if receive else Exchange(sent)
        self.held_up()
        chunks: tuple[Chunk, ...] = ()
        closed, now = False, time.monotonic()
        while not closed:
            turn = await self.inner.exchange(until=now)
            chunks, closed = chunks + turn.chunks, turn.closed
            if not turn.chunks:
                break
        return Exchange(sent, chunks, closed)

    async def close(self) -> None:
        await self.inner.close()


class SlowHost(HostShell):
    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        inner = await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        return Slow(inner)


class LateHost(HostShell):
    """One whose client comes back when all is over."""

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        inner = await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        return Slow(inner, self.processes[-1].wait)


@pytest.mark.parametrize(
    "command", ["printf early; printf error >&2; exit 3", "printf early; sleep 1; printf error >&2; exit 3"]
)
def test_output_that_comes_with_the_scripts_last_bytes_is_not_lost(command: str) -> None:
    host = SlowHost(BlockingWorld(), (shutil.which("sh") or "/bin/sh",), os.environ["PATH"])
    result = Client(AsyncClient(host, "test")).get("host").exec(command)
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"early", b"error")
    run(host.close())


def test_an_end_that_comes_with_the_scripts_last_bytes_is_seen() -> None:
    host = SlowHost(BlockingWorld(), (shutil.which("sh") or "/bin/sh",), os.environ["PATH"])
    began = time.monotonic()
    result = Client(AsyncClient(host, "test")).get("host").exec("sleep 20 & exit 4")
    assert result.exit_code == 4
    # Its child holds the pipes on: their end is not what tells the command's.
    assert time.monotonic() - began < 15
    run(host.close())


def test_a_report_waits_for_the_output_that_came_with_it() -> None:
    host = LateHost(BlockingWorld(), (shutil.which("sh") or "/bin/sh",), os.environ["PATH"])

    async def fast() -> None:
        process = await launch(host, "host", Command(argv=(b"sh", b"-c", b"printf early; exit 5")), until=None)
        # The end is known; but whoever sees it now would ask for no output.
        shown_early = process.report
        turn = await process.exchange()
        await process.close()
        assert shown_early is None
        assert b"".join(chunk.data for chunk in turn.chunks) == b"early"
        assert process.report is not None
        assert process.report.exit_code == 5

    run(fast())
    run(host.close())


class Broken:
    """A channel that breaks as soon as it is used, or ends without a word."""

    def __init__(self, inner: ByteChannel, error: Exception | None) -> None:
        self.inner = inner
        self.error = error

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        if self.error is not None:
            raise self.error
        return Exchange(closed=True)

    async def close(self) -> None:
        await self.inner.close()


class Unlucky(HostShell):
    """Whose kills meet a fault each before one gets through."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.faults: list[str] = []

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        fault = self.faults.pop(0) if urgent and self.faults else ""
        if fault == "refused":
            raise Throttled("too many calls")
        inner = await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        if not fault:
            return inner
        return Broken(inner, ProviderUnavailable("it broke") if fault == "broken" else None)


@pytest.mark.parametrize("faults", [["refused", "refused"], ["broken"], ["ended"], ["refused", "broken", "ended"]])
def test_a_kill_that_meets_passing_faults_is_tried_again(faults: list[str]) -> None:
    host = Unlucky(BlockingWorld(), (shutil.which("sh") or "/bin/sh",), os.environ["PATH"])
    host.faults = faults

    async def kill() -> tuple[bool | None, int | None]:
        process = await launch(host, "host", Command(argv=(b"sleep", b"30")), until=None)
        while process.started is None:
            await process.exchange()
        killed = await process.kill(until=time.monotonic() + 10)
        while process.report is None and not (await process.exchange()).closed:
            pass
        await process.close()
        return killed, process.report.exit_code if process.report is not None else None

    killed, code = run(kill())
    assert killed is True
    assert code in (None, 128 + 9, 128 + 15)
    assert host.faults == []
    run(host.close())
