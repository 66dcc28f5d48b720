"""Timeouts, kills and cancellations on a kept channel."""

from __future__ import annotations

import asyncio
import time

import pytest

from sandboxkit.errors import CommandTimeout
from tests.support.expiry import expiring
from tests.support.warmside import (
    INPUTS,
    Stage,
    alive,
    check_clean,
    check_opened,
    ended_at_last,
    eventually,
    needle,
)


@pytest.mark.parametrize("size", INPUTS)
def test_a_timeout_on_a_kept_channel_ends_the_tree_and_keeps_the_channel(place: Stage, size: str) -> None:
    options = {"input": INPUTS[size]} if INPUTS[size] else {}
    place.exec(["true"])
    with ended_at_last(needle()) as number:
        tree = f"cat >/dev/null; echo out; (setsid sleep {number} &); (trap '' TERM; sleep {number}) &"
        text, timeout = expiring(tree)
        with pytest.raises(CommandTimeout) as caught:
            place.exec(text, timeout=timeout, **options)
        assert (caught.value.killed, caught.value.stdout, alive(number)) == (True, b"out\n", [])
        check_clean(place)
        check_opened(place, 1)


def test_commands_in_time_neither_leave_a_watchdog_nor_wait_for_one(place: Stage) -> None:
    with ended_at_last(f"{10_000 + time.time_ns() % 10**6}") as seconds:
        for turn in range(300):
            options = {"input": b"x"} if turn % 3 == 1 else {"input": b"x" * 5000} if turn % 3 == 2 else {}
            command = ["true"] if turn % 3 == 0 else ["cat"]
            assert place.exec(command, timeout=float(seconds) + 0.25, **options).exit_code == 0
        # More than one where much else is started on this host meanwhile; see check_opened().
        assert place.host.opened < 30
        # What was killed a moment ago may not have noticed on a busy machine; what was missed sleeps for hours.
        eventually(lambda: not alive(seconds), "a watchdog is left of a command in time")


def test_a_killed_process_is_no_harm_to_the_next_command(place: Stage) -> None:
    async def kill(number: str) -> bool | None:
        async with await place.box.spawn(f"echo out; sleep {number}") as process:
            await process.__anext__()
            return await process.kill()

    for _ in range(3):
        with ended_at_last(needle()) as number:
            assert place.go(kill(number)) is True
            assert alive(number) == []
        check_clean(place)


def test_a_cancelled_command_is_the_end_of_what_it_may_have_left_on_its_channel(loop_stage: Stage) -> None:
    async def cancel(after: float) -> None:
        flood = "while :; do echo flood; echo flood >&2; done"
        running = asyncio.create_task(loop_stage.box.exec(flood, input=b"x" * 500_000))
        await asyncio.sleep(after)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    for after in (0.0, 0.001, 0.01, 0.1):
        loop_stage.go(cancel(after))
        check_clean(loop_stage)
