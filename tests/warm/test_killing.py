"""A kill that is still at it, or that does not come through, while its command ends in another way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import launched, warm
from sandboxkit.aio import AsyncioWorld
from sandboxkit.errors import CommandTimeout, ProviderUnavailable
from sandboxkit.process import AsyncProcess
from sandboxkit.provider import ByteChannel, Exchange
from tests.support.hostshell import HostShell
from tests.support.warmside import Stage, alive, check_clean, check_opened, ended_at_last, eventually, needle, stage


class KillHost(HostShell):
    """Whose channels for kills are opened when told to, and may break once their script has been sent."""

    def __init__(self, *args: object) -> None:
        super().__init__(AsyncioWorld())
        self.may_open = asyncio.Event()
        self.may_open.set()
        self.break_next = False
        self.urgent = 0
        self.asked = {True: asyncio.Event(), False: asyncio.Event()}

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        self.asked[urgent].set()
        if urgent:
            self.urgent += 1
            await self.may_open.wait()
        inner = await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        breaks, self.break_next = urgent and self.break_next, False
        return Breaking(inner) if breaks else inner


class Breaking:
    """A channel that breaks once all was sent."""

    def __init__(self, inner: ByteChannel) -> None:
        self.inner = inner

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        turn = await self.inner.exchange(outgoing, receive=receive, until=until)
        if turn.sent == len(outgoing):
            raise ProviderUnavailable("the connection broke")
        return turn

    async def close(self) -> None:
        await self.inner.close()


@pytest.fixture
def killing() -> Iterator[tuple[Stage, KillHost]]:
    host = KillHost()
    with stage(host) as made:
        yield made, host


async def ended(process: AsyncProcess) -> None:
    async for _ in process:
        pass
    await process.close()


def test_a_kill_that_is_under_way_when_its_command_ends_finds_no_other(
    killing: tuple[Stage, KillHost], tmp_path: Path
) -> None:
    place, host = killing
    go = tmp_path / "go"

    async def use() -> None:
        process = await place.box.spawn(f"until [ -e {go} ]; do sleep 0.02; done; echo out")
        host.may_open.clear()
        kill = asyncio.create_task(process.kill())
        await host.asked[True].wait()
        go.touch()
        await ended(process)
        following = asyncio.create_task(place.box.exec("sleep 0.5; echo next"))
        await asyncio.sleep(0.1)
        host.may_open.set()
        assert await kill is True
        assert (await following).text == "next\n"

    place.exec(["true"])
    place.go(use())
    check_clean(place)
    assert host.opened == 3, host.opened  # the first, the next one's, the kill's


def test_a_kill_that_was_cancelled_finds_no_other(killing: tuple[Stage, KillHost]) -> None:
    place, host = killing

    async def use(number: str) -> None:
        process = await place.box.spawn(f"sleep {number}")
        await asyncio.sleep(0.1)
        host.may_open.clear()
        kill = asyncio.create_task(process.kill())
        await host.asked[True].wait()
        kill.cancel()
        await asyncio.gather(kill, return_exceptions=True)
        # Whatever ends it now: nobody knows what became of the script.
        host.may_open.set()
        await place.box.exec(["pkill", "-f", f"^sleep {number}"])
        await ended(process)

    with ended_at_last(needle()) as number:
        place.exec(["true"])
        place.go(use(number))
    opened = host.opened
    check_clean(place)
    assert opened == 2
    check_opened(place, 2)
    eventually(
        lambda: len([process for process in host.processes if process.poll() is None]) == 1,
        "a channel that was given up lives on",
    )


def test_a_kill_that_was_tried_again_leaves_the_channel_to_nobody(killing: tuple[Stage, KillHost]) -> None:
    place, host = killing

    async def use(number: str) -> None:
        process = await place.box.spawn(f"sleep {number}")
        await asyncio.sleep(0.1)
        host.break_next = True
        assert await process.kill() is True
        assert host.urgent == 2
        await process.close()

    place.exec(["true"])
    with ended_at_last(needle()) as number:
        place.go(use(number))
        assert alive(number) == []
    check_clean(place)
    assert host.processes[0].wait(timeout=10) is not None


@pytest.mark.parametrize("warmth", [True, False], ids=["kept", "of its own"])
def test_a_channel_is_closed_though_the_kill_does_not_come_through(
    warmth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launched, "ABANDON_LIMIT", 0.3)
    monkeypatch.setattr(warm, "ABANDON_LIMIT", 0.3)
    host = KillHost()
    with stage(host, warm=warmth) as place:

        async def use() -> None:
            host.may_open.clear()
            running = asyncio.create_task(place.box.exec("sleep 0.1"))
            await host.asked[False].wait()
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

        place.go(use())
        assert [process.wait(timeout=10) is not None for process in host.processes] == [True]
        host.may_open.set()


FLOOD = "p=$PPID; for i in 1 2 3; do (while :; do kill -USR1 $p; done) & done; exec sleep 20"


@pytest.mark.parametrize("warmth", [True, False], ids=["kept", "of its own"])
def test_signals_to_who_waits_do_not_hide_a_timeout(place: Stage, warmth: bool) -> None:
    place.host.keep_warm(warmth)
    for _ in range(6):
        with pytest.raises(CommandTimeout) as caught:
            place.exec(FLOOD, timeout=0.3)
        assert caught.value.killed is True
    check_clean(place)
