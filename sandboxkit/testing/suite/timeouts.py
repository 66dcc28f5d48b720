"""Timeouts: kept in the sandbox, told with the output so far: X5, X6."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import TIMEOUTS, alive, gone, has, needle, outcome, present, reaching
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

BOUND = 5.0
"""Seconds past its timeout within which the caller of a command has its answer."""

TREE = """\
echo begun
sleep N &
(trap '' TERM HUP INT; sleep N) &
sh -c '(sleep N &) &'
env -i /bin/sh -c 'PATH=/bin:/usr/bin; export PATH; (trap "" TERM; sleep N) & exec >/dev/null 2>&1; exec sleep N' &
trap '' TERM
if command -v setsid >/dev/null; then
  setsid sleep N &
  setsid sh -c '(setsid sleep N </dev/null >/dev/null 2>&1 &) &'
fi
while :; do sleep N; done
"""
"""A family that is hard to end: TERM ignored, sessions and environment shed, parents gone. N: seconds to sleep."""

MEMBERS = 6
"""Sleepers that it has at least."""


async def timed_out(box: AsyncSandbox, script: str, timeout: float, **options: Any) -> sandboxkit.CommandTimeout:
    """Run a command that does not end in time; give the error."""
    began = time.monotonic()
    with pytest.raises(sandboxkit.CommandTimeout) as caught:
        await box.exec(script, timeout=timeout, **options)
    assert timeout <= time.monotonic() - began <= timeout + BOUND
    return caught.value


class Timeouts:
    """Tests of commands whose time is up."""

    @promise("X5", "X6", delta=True)
    async def test_the_whole_tree_is_ended_and_the_caller_told(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        members = MEMBERS + 2 * await has(box, "setsid")
        for timeout in (2.0, *TIMEOUTS[1:]):
            running = stage.start(partial(timed_out, box, TREE.replace("N", number), timeout))
            try:
                whole = await stage.eventually(present(box, number, members), within=timeout - 0.2)
            finally:
                caught = await running.finish()
            assert isinstance(caught, TimeoutError)
            assert (caught.killed, caught.dispatched) == (True, True)
            assert await alive(box, number) == 0
            assert (await box.exec("echo usable")).text == "usable\n"
            if whole:  # else it had no time for that
                assert caught.stdout == b"begun\n"
                return
        pytest.fail("the tree was never whole")

    @promise("X5", needs="kill_tree_strict", delta=True)
    async def test_what_shed_its_mark_and_its_session_is_ended_too(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        shed = (
            f"(ulimit -S -x 7 2>/dev/null || ulimit -S -w 7; setsid sh -c '(setsid sleep {number} &) </dev/null "
            f">/dev/null 2>&1'); sleep {number}"
        )
        with pytest.raises(sandboxkit.CommandTimeout) as caught:
            await box.exec(shed, timeout=1.0)
        assert caught.value.killed is True
        assert await alive(box, number) == 0

    @promise("X5", delta=True)
    async def test_a_timeout_holds_when_the_client_is_dead(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        for timeout in (2.5, *TIMEOUTS[1:]):
            with stage.child(acts.execute, box.id, TREE.replace("N", number), {"timeout": timeout}) as child:
                assert child.line() == "executing"
                began = time.monotonic()
                await stage.eventually(present(box, number, MEMBERS), within=timeout - 0.2)
                child.kill()
            outlived = await alive(box, number) >= MEMBERS
            assert await stage.eventually(gone(box, number), within=began + timeout + BOUND - time.monotonic())
            if outlived:  # else it had no time for that
                return
        pytest.fail("the tree was never seen without its client")

    @promise("X5", delta=True)
    async def test_one_commands_end_is_no_other_commands(self, stage: Stage, box: AsyncSandbox) -> None:
        left, beside, timed = needle(), needle(), needle()
        await box.exec(f"sleep {left} >/dev/null 2>&1 &")
        async with box.spawn(f"sleep {beside}; echo never") as process:
            with pytest.raises(sandboxkit.CommandTimeout):
                await box.exec(f"sleep {timed}", timeout=1.0)
            assert await alive(box, timed) == 0
            assert await alive(box, left) == 1
            assert await alive(box, beside) == 1
            assert await process.wait(timeout=0.1) is None
        assert await stage.eventually(gone(box, beside))
        assert await alive(box, left) == 1

    @promise("X5")
    async def test_a_command_that_is_in_time_is_left_alone(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        for timeout in TIMEOUTS:
            script = f"sleep {number} >/dev/null 2>&1 & echo done; exit 3"
            ended = await outcome(box.exec(script, timeout=timeout))
            if isinstance(ended, sandboxkit.CommandError):
                continue
            assert (ended.exit_code, ended.text) == (3, "done\n")
            await stage.pause(timeout + 0.2)
            # What a command leaves behind lives on; its watchdog does not come back for it.
            assert await alive(box, number) == 1
            return
        pytest.fail("the command was never in time")

    @promise("X5", delta=True)
    async def test_a_timeout_may_be_of_years(self, box: AsyncSandbox) -> None:
        result = await box.exec("cat; exit 3", input=b"in", timeout=1e9)
        assert (result.exit_code, result.text) == (3, "in")
        async with box.spawn("echo out; exit 4", timeout=1e9) as process:
            assert await process.wait() == 4

    @promise("X5", delta=True)
    async def test_no_watchdog_is_left_of_a_command_in_time(self, stage: Stage, box: AsyncSandbox) -> None:
        count = "n=0; for p in /proc/[0-9]*/stat; do n=$((n+1)); done; echo $n"
        before = 0

        async def flat() -> bool:
            return int((await box.exec(count)).text) <= before

        # Channels that are kept come to an end of their growth, one by one on a busy machine; watchdogs that are left
        # would not.
        for _ in range(10):
            before = int((await box.exec(count)).text)
            await stage.gather(*[lambda: box.exec("true", timeout=600.0)] * 10)
            if await stage.eventually(flat, within=3):
                return
        pytest.fail("processes are left of commands that ended in time")

    @promise("X6", delta=True)
    async def test_output_before_the_timeout_is_kept(self, box: AsyncSandbox) -> None:
        script = (
            "printf 'out\\303'; printf err >&2; dd if=/dev/zero bs=1000 count=100 2>/dev/null; "
            ': >"$REACHED"; exec sleep 600'
        )
        caught = await reaching(box, lambda timeout, env: timed_out(box, script, timeout, env=env))
        assert caught.stdout == b"out\xc3" + bytes(100_000)
        assert (caught.stderr, caught.killed) == (b"err", True)

    @promise("X6", delta=True)
    async def test_a_flood_is_ended_in_time(self, box: AsyncSandbox) -> None:
        script = 'yes flood | { head -c 100000; : >"$REACHED"; cat; }'
        caught = await reaching(box, lambda timeout, env: timed_out(box, script, timeout, env=env, max_output=1000))
        assert caught.stdout.startswith(b"flood\nflood\n")
        assert len(caught.stdout) <= 1000
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("X6", delta=True)
    async def test_input_that_nobody_reads_delays_no_timeout(self, box: AsyncSandbox) -> None:
        script, data = 'echo out; : >"$REACHED"; sleep 600', b"x" * (5 << 20)
        caught = await reaching(box, lambda timeout, env: timed_out(box, script, timeout, env=env, input=data))
        assert caught.stdout == b"out\n"

    @promise("X6", delta=True)
    async def test_a_stopped_family_delays_no_timeout(self, stage: Stage) -> None:
        # It stops whatever it may: its launcher, its watchdog, and itself.
        async with stage.create() as box:
            began = time.monotonic()
            with pytest.raises(sandboxkit.CommandTimeout):
                await box.exec("echo out; kill -STOP -1 $PPID; kill -STOP $$; sleep 600", timeout=1.0)
            assert time.monotonic() - began <= 1.0 + BOUND

    @promise("X6")
    async def test_a_spawned_command_times_out_after_its_output(self, box: AsyncSandbox) -> None:
        async def streamed(timeout: float, env: dict[str, str]) -> dict[int, bytes]:
            streams = {1: b"", 2: b""}
            script = 'echo out; echo err >&2; : >"$REACHED"; exec sleep 600'
            with pytest.raises(sandboxkit.CommandTimeout) as caught:  # noqa: PT012
                async with box.spawn(script, timeout=timeout, env=env) as process:
                    async for chunk in process:
                        streams[chunk.stream] += chunk.data
            assert caught.value.killed is True
            return streams

        assert await reaching(box, streamed) == {1: b"out\n", 2: b"err\n"}
        process = await box.spawn("sleep 600", timeout=0.5)
        async with process:
            with pytest.raises(sandboxkit.CommandTimeout):
                await process.wait()

    @promise("X6")
    async def test_an_exit_just_in_time_is_one_or_the_other(self, stage: Stage, box: AsyncSandbox) -> None:
        async def one(timeout: float) -> None:
            ended = await outcome(box.exec("sleep 1; echo out; exit 3", timeout=timeout))
            if isinstance(ended, sandboxkit.CommandError):
                assert isinstance(ended, sandboxkit.CommandTimeout)
                assert ended.killed is True
            else:
                assert (ended.exit_code, ended.text) == (3, "out\n")

        await stage.gather(*[lambda t=t: one(t) for t in (0.98, 1.0, 1.01, 1.02, 1.05, 1.1)])
