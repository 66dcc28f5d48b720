"""The two worlds keep the same promises: waiting, calling, protecting."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time

import pytest

from sandboxkit import worlds
from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import DeadlineExceeded
from sandboxkit.worlds import BlockingWorld


def test_ready_tells_what_can_be_read_in_the_blocking_world() -> None:
    world = BlockingWorld()
    r, w = os.pipe()
    try:
        assert run(world.ready(read=[r], until=world.now())) == (frozenset(), frozenset())
        assert run(world.ready(read=[r], write=[w])) == (frozenset(), {w})
        os.write(w, b"x")
        assert run(world.ready(read=[r])) == ({r}, frozenset())
    finally:
        os.close(r)
        os.close(w)


def test_ready_tells_what_can_be_read_under_asyncio() -> None:
    async def main() -> None:
        world = AsyncioWorld()
        r, w = os.pipe()
        try:
            assert await world.ready(read=[r], until=world.now() + 0.01) == (frozenset(), frozenset())
            assert (await world.ready(read=[r], write=[w]))[1] == {w}
            asyncio.get_running_loop().call_soon(os.write, w, b"x")
            assert await world.ready(read=[r]) == ({r}, frozenset())
        finally:
            os.close(r)
            os.close(w)

    asyncio.run(main())


def test_ready_waits_as_long_as_it_is_told_however_long_one_poll_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        began = time.monotonic()
        monkeypatch.setattr(worlds, "_LONGEST_POLL", 10)
        assert run(BlockingWorld().ready(read=[ours.fileno()], until=began + 0.2)) == (frozenset(), frozenset())
        assert time.monotonic() >= began + 0.2
        monkeypatch.undo()
        theirs.sendall(b"x")
        found = run(BlockingWorld().ready(read=[ours.fileno()], until=began + 1e9))
        assert found == (frozenset([ours.fileno()]), frozenset())


def test_a_call_given_up_on_is_undone_when_it_returns_after_all() -> None:
    begun = threading.Event()
    undone = threading.Event()
    go = threading.Event()
    seen: list[str] = []

    def make() -> str:
        begun.set()
        go.wait(10)
        return "thing"

    def undo(thing: str) -> None:
        seen.append(thing)
        undone.set()

    async def main() -> None:
        world = AsyncioWorld()
        task = asyncio.create_task(world.call(make, undo=undo))
        assert await asyncio.to_thread(begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not seen
        go.set()
        assert await asyncio.to_thread(undone.wait, 10)
        await world.close()

    asyncio.run(main())
    assert seen == ["thing"]


def test_a_call_that_returned_in_time_is_not_undone() -> None:
    seen: list[int] = []

    async def main() -> int:
        world = AsyncioWorld()
        result = await world.call(lambda: 5, undo=seen.append)
        await world.close()
        return result

    assert asyncio.run(main()) == 5
    assert seen == []


def test_a_call_past_its_deadline_is_given_up() -> None:
    go = threading.Event()

    async def main() -> None:
        world = AsyncioWorld()
        with pytest.raises(DeadlineExceeded):
            await world.call(go.wait, 10, until=world.now() + 0.02)
        go.set()
        await world.close()

    asyncio.run(main())


def test_urgent_calls_go_ahead_while_all_other_threads_are_busy() -> None:
    go = threading.Event()

    async def main() -> str:
        world = AsyncioWorld()
        busy = [asyncio.create_task(world.call(go.wait, 10)) for _ in range(100)]
        await asyncio.sleep(0.01)
        answer = await world.call(lambda: "killed", urgent=True)
        go.set()
        await asyncio.gather(*busy)
        await world.close()
        return answer

    assert asyncio.run(main()) == "killed"


def test_protected_work_ends_although_its_caller_is_cancelled_twice() -> None:
    done: list[str] = []

    async def main() -> None:
        world = AsyncioWorld()

        async def clean() -> None:
            await asyncio.sleep(0.05)
            done.append("clean")

        async def work() -> None:
            try:
                await asyncio.sleep(10)
            finally:
                await world.protect(clean(), until=world.now() + 5)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert done == ["clean"]


def test_a_cancellation_during_protected_work_arrives_after_it() -> None:
    done: list[str] = []

    async def main() -> None:
        world = AsyncioWorld()

        async def finish() -> None:
            await asyncio.sleep(0.05)
            done.append("finished")

        async def work() -> None:
            await world.protect(finish(), until=world.now() + 5)
            done.append("went on")

        task = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert done == ["finished"]


def test_protected_work_is_given_up_at_its_limit() -> None:
    async def main() -> object:
        world = AsyncioWorld()
        return await world.protect(asyncio.sleep(60, "late"), until=world.now() + 0.02)

    assert asyncio.run(main()) is None


def test_a_client_is_bound_to_one_loop() -> None:
    world = AsyncioWorld()

    async def use() -> None:
        await world.call(int)

    asyncio.run(use())
    with pytest.raises(RuntimeError, match="belongs to the event loop"):
        asyncio.run(use())
    asyncio.run(world.close())


def test_an_event_wakes_who_waits_in_another_thread() -> None:
    world = BlockingWorld()
    event = world.event()
    assert run(event.wait(until=world.now() + 0.01)) is False
    thread = threading.Timer(0.05, event.set)
    thread.start()
    assert run(event.wait(until=world.now() + 30)) is True
    thread.join()
    assert run(event.wait(until=world.now())) is True


def test_an_event_wakes_who_waits_on_the_loop_and_outlives_who_is_cancelled() -> None:
    async def main() -> None:
        world = AsyncioWorld()
        event = world.event()
        assert await event.wait(until=world.now() + 0.01) is False
        gone, stays = (asyncio.create_task(event.wait(until=world.now() + 30)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        event.set()
        event.set()
        assert await stays is True
        assert gone.cancelled()
        assert await event.wait(until=world.now()) is True

    asyncio.run(main())


def test_what_is_to_be_done_later_is_done_beside_all_else() -> None:
    async def main() -> None:
        world = AsyncioWorld()
        done: list[str] = []
        first = asyncio.Event()

        async def work(name: str, seconds: float) -> None:
            await asyncio.sleep(seconds)
            done.append(name)
            first.set()

        world.later(0.01, lambda: work("first", 0.0))
        world.later(0.01, lambda: work("called off", 0.0))()
        world.later(0.01, lambda: work("under way at the end", 60.0))
        await first.wait()
        await asyncio.sleep(0.1)
        await world.close()
        assert done == ["first"]
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())


def test_what_is_to_be_done_later_without_a_loop_is_done_in_a_thread_that_ends() -> None:
    done: list[tuple[str, bool]] = []
    told = threading.Event()

    async def work(name: str) -> None:
        done.append((name, threading.current_thread().daemon))
        told.set()

    world, before = BlockingWorld(), threading.active_count()
    world.later(60.0, lambda: work("called off"))()
    world.later(0.01, lambda: work("done"))
    assert told.wait(20)
    until = time.monotonic() + 20
    while threading.active_count() > before:
        assert time.monotonic() < until, "a thread is left"
        time.sleep(0.01)
    assert done == [("done", True)]
