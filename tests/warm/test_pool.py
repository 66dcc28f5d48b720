"""Many commands on few channels, and channels that nothing uses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandboxkit import pool as pools
from sandboxkit import warm, warmchannel
from sandboxkit.driver import run
from sandboxkit.model import Capability, SandboxInfo
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell
from tests.support.warmside import (
    PATIENCE,
    Stage,
    check_clean,
    check_opened,
    descriptors,
    make_host,
    stage,
)


def test_many_commands_at_once_share_a_few_channels(loop_stage: Stage) -> None:
    async def many() -> list[str]:
        results = await asyncio.gather(
            *[loop_stage.box.exec(["printf", "%s", f"{number}" * 1000]) for number in range(4 * pools.MOST)]
        )
        return [result.text for result in results]

    assert [f"{number}" * 1000 for number in range(4 * pools.MOST)] == loop_stage.go(many())
    assert loop_stage.pool.count <= pools.MOST


async def take_all(pool: pools.Pool) -> list[warmchannel.WarmChannel]:
    taken = [await pool.take(until=None) for _ in range(pools.MOST)]
    pool._patience = 20.0
    pool._moved = pool.provider.world.now()
    return [channel for channel in taken if channel is not None]


def test_who_waits_longest_for_a_channel_is_served_first(loop_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "RECENT", 1000.0)

    async def queue() -> list[int]:
        pool = loop_stage.pool
        channels, served = await take_all(pool), []

        async def wait(number: int) -> None:
            channel = await pool.take(until=None)
            served.append(number)
            assert channel is not None
            await pool.give_back(channel, "ready")

        waiting = [asyncio.create_task(wait(number)) for number in range(20)]
        await asyncio.sleep(0.05)
        assert served == []
        await pool.give_back(channels.pop(), "ready")
        await asyncio.gather(*waiting)
        for channel in channels:
            await pool.give_back(channel, "ready")
        assert len(pool._idle) == pool.count == pools.MOST
        return served

    assert list(range(20)) == loop_stage.go(queue())
    check_opened(loop_stage, pools.MOST)


@pytest.mark.parametrize("when", ["waiting", "handed one"])
def test_who_is_cancelled_in_the_queue_loses_no_channel(
    loop_stage: Stage, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(pools, "RECENT", 1000.0)

    async def cancel() -> None:
        pool = loop_stage.pool
        channels = await take_all(pool)
        first, second = (asyncio.create_task(pool.take(until=None)) for _ in range(2))
        await asyncio.sleep(0.05)
        if when == "waiting":
            first.cancel()
            await asyncio.sleep(0)
        await pool.give_back(channels.pop(), "ready")
        first.cancel()
        channels += [each for each in [await second] if each is not None]
        assert (
            await asyncio.gather(first, return_exceptions=True) == [first.exception()]
            if not first.cancelled()
            else True
        )
        assert len(channels) == pools.MOST
        for channel in channels:
            await pool.give_back(channel, "ready")
        assert len(pool._idle) == pool.count == pools.MOST

    loop_stage.go(cancel())


def test_who_is_cancelled_with_a_channel_of_a_pool_that_was_closed_closes_it(
    loop_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "RECENT", 1000.0)
    before = descriptors()

    async def cancel() -> None:
        pool = loop_stage.pool
        channels = await take_all(pool)
        waiting = asyncio.create_task(pool.take(until=None))
        await asyncio.sleep(0.05)
        await pool.give_back(channels.pop(), "ready")
        await pool.close()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        for channel in channels:
            await pool.give_back(channel, "ready")
        assert pool.count == 0

    loop_stage.go(cancel())
    assert descriptors() <= before + 3  # the loop's own


def test_channels_that_nothing_uses_are_closed(loop_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm, "UPKEEP", 0.05)
    monkeypatch.setattr(pools, "IDLE_LIMIT", 1000.0)

    async def use() -> None:
        await asyncio.gather(*[loop_stage.box.exec(["true"]) for _ in range(4)])
        await loop_stage.pool.upkeep()
        kept = loop_stage.host.opened
        assert [process.poll() for process in loop_stage.host.processes] == [None] * kept
        monkeypatch.setattr(pools, "IDLE_LIMIT", -1.0)
        async with asyncio.timeout(PATIENCE):
            while loop_stage.host._pools is None or loop_stage.host._pools._pools:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.01)

    before = descriptors()
    loop_stage.go(use())
    for process in loop_stage.host.processes:
        process.wait(timeout=10)
    assert descriptors() <= before + 3  # the loop's own
    assert loop_stage.host._pools is not None
    assert loop_stage.host._pools._pools == {}
    loop_stage.exec(["true"])


def test_a_channel_that_is_looked_at_is_waited_for(loop_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    real = warmchannel.WarmChannel.is_there

    async def use() -> None:
        pool = loop_stage.pool
        channel = await pool.take(until=None)
        assert channel is not None
        await pool.give_back(channel, "ready")
        looking, go = asyncio.Event(), asyncio.Event()

        async def slow(self: warmchannel.WarmChannel, *, now: float) -> bool:
            looking.set()
            await go.wait()
            return await real(self, now=now)

        monkeypatch.setattr(warmchannel.WarmChannel, "is_there", slow)
        pool._patience = 60.0
        upkeep = asyncio.create_task(pool.upkeep())
        await looking.wait()
        taking = asyncio.create_task(pool.take(until=None))
        await asyncio.sleep(0)
        go.set()
        assert await taking is channel
        await upkeep
        await pool.give_back(channel, "ready")

    loop_stage.go(use())
    check_opened(loop_stage, 1)


def test_without_a_loop_the_next_command_closes_what_was_not_used(
    shell: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "UPKEEP", 0.05)
    monkeypatch.setattr(pools, "IDLE_LIMIT", 0.1)
    shell.exec(["true"])
    time.sleep(0.2)
    shell.exec(["true"])
    check_opened(shell, 2)
    shell.host.processes[0].wait(timeout=10)


def test_letting_go_of_many_channels_closes_all_and_an_interruption_leaves_them_known(
    loop_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    async def slowly(self: pools.Pool) -> None:
        await asyncio.sleep(0.1)
        closed.append(self.sandbox_id)

    monkeypatch.setattr(pools.Pool, "close", slowly)
    monkeypatch.setattr(warm, "ABANDON_LIMIT", 0.3)
    names = [f"box-{number}" for number in range(8)]
    every = warm.Pools(loop_stage.host)

    async def let_go() -> None:
        for name in names:
            every._pool(name, None)
        cooling = asyncio.create_task(every.cool())
        await asyncio.sleep(0.15)
        cooling.cancel()
        await asyncio.gather(cooling, return_exceptions=True)
        assert closed == names[: len(closed)]
        assert [key[0] for key in every._pools] == names[len(closed) :]
        await every.cool()

    loop_stage.go(let_go())
    assert closed == names


class Restarted(HostShell):
    """Which may be restarted: nothing happens."""

    @property
    def capabilities(self) -> Any:
        return {**super().capabilities, "restart": Capability(True)}

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return await self.get(sandbox_id, until=until)


@pytest.mark.parametrize("world", ["blocking", "asyncio"])
@pytest.mark.parametrize("end", ["cool", "cool one", "close", "delete", "restart"])
def test_letting_go_leaves_no_descriptor_and_no_process(
    end: str, world: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with stage(make_host("dash", world, tmp_path_factory, Restarted)) as place:
        ends: dict[str, Callable[[], Any]] = {
            "cool": place.client.cool,
            "cool one": lambda: place.client.cool("host"),
            "close": place.client.close,
            "delete": place.box.delete,
            "restart": place.box.restart,
        }
        before = descriptors()
        check_clean(place)

        async def leave() -> None:
            # One in use is closed at its end. The host's own close waits for what runs there.
            async with await place.box.spawn("sleep 0.2") as process:
                if end != "close":
                    await ends[end]()
                assert await process.wait() == 0
            await ends[end]()

        place.go(leave())
        for process in place.host.processes:
            assert process.wait(timeout=10) is not None
        assert descriptors() == before
        check_clean(place)


def test_however_many_begin_at_once_the_upkeep_comes_back_once(monkeypatch: pytest.MonkeyPatch) -> None:
    due: set[object] = set()

    class Counting(BlockingWorld):
        def later(self, seconds: float, work: Callable[[], Any]) -> Callable[[], object]:
            due.add(work)
            return lambda: due.discard(work)

    monkeypatch.setattr(HostShell, "channel_idle_timeout", 10.0)
    kept = warm.Pools(HostShell(Counting()))
    # Two threads that both saw that it was not due yet, and the upkeep itself.
    kept._come_back()
    kept._come_back()
    kept._pool("host", None).never = True
    run(kept.look_after())
    assert len(due) == 1
    run(kept.cool())
    assert not due


FORKS = """
import os, sys
from sandboxkit.client import AsyncClient
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell

host = HostShell(BlockingWorld())
host.keep_warm(True)
client = Client(AsyncClient(host, "test"))
box = client.get("host")
assert box.exec("echo parent").text == "parent\\n"
own = host.processes[0]
child = os.fork()
if not child:
    assert box.exec("echo child").text == "child\\n"
    assert box.exec("echo child").text == "child\\n"
    assert host.opened == 2, host.opened
    host.processes.clear()
    client.close()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert own.poll() is None
assert box.exec("echo parent").text == "parent\\n"
assert host.opened == 1, host.opened
client.close()
print("done")
"""


def test_a_fork_of_the_client_neither_uses_nor_closes_its_parents_channels() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", FORKS], env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
