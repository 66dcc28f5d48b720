"""Commands on a terminal: X13."""

from __future__ import annotations

import time

import pytest

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.model import STDOUT
from sandboxkit.process import AsyncProcess
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import TIMEOUTS, alive, gone, needle, present, until
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage
from sandboxkit.testing.stepping import at_each_step
from sandboxkit.testing.suite.timeouts import BOUND, MEMBERS, TREE

SIZE = (33, 101)


async def rest(process: AsyncProcess) -> bytes:
    """Read a process to its end."""
    return b"".join([chunk.data async for chunk in process])


async def end(box: AsyncSandbox, number: str) -> None:
    """End what sleeps that long."""
    await box.exec(
        "cd /proc; for p in [0-9]*; do "
        '[ "$(tr "\\000" " " <$p/cmdline)" = "sleep $N " ] && kill -9 $p; done 2>/dev/null; :',
        env={"N": number},
    )


class Terminals:
    """Tests of processes that are spawned with a terminal."""

    @promise("X13", needs="pty", delta=True)
    async def test_a_command_finds_a_terminal(self, box: AsyncSandbox) -> None:
        script = "test -t 0 && test -t 1 && test -t 2 && echo all; : </dev/tty && echo own; exit 5"
        async with box.spawn(script, terminal=SIZE) as process:
            assert await rest(process) == b"all\r\nown\r\n"
            assert await process.wait() == 5
        # The control: without one there is none.
        assert (await box.exec("test -t 0 || test -t 1 || (: </dev/tty) 2>/dev/null || echo none")).text == "none\n"

    @promise("X13", needs="pty", delta=True)
    async def test_its_size_and_kind_are_known_at_its_start(self, box: AsyncSandbox) -> None:
        async with box.spawn("stty size; echo $TERM", terminal=sandboxkit.TerminalSize(40, 132)) as process:
            assert await rest(process) == b"40 132\r\nxterm-256color\r\n"
        async with box.spawn(["sh", "-c", "stty size; echo $TERM"], terminal=SIZE, env={"TERM": "vt100"}) as process:
            assert await rest(process) == b"33 101\r\nvt100\r\n"

    @promise("X13", needs="pty", delta=True)
    async def test_a_resize_is_seen_and_signalled(self, box: AsyncSandbox) -> None:
        script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.1 || sleep 1; done"
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"ready\r\n")
            await process.resize(10, 20)
            assert await rest(process) == b"10 20\r\n"
            assert await process.wait() == 6
            await process.resize(11, 22)

    @promise("X13", needs="pty", delta=True)
    async def test_bytes_are_raw_in_both_directions(self, box: AsyncSandbox) -> None:
        data = bytes(range(256)) * 1000
        script = f"stty raw -echo; echo ready; dd bs=1000 count={len(data) // 1000} iflag=fullblock 2>/dev/null"
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"ready\n")
            await process.write(data)
            output = b""
            async for chunk in process:
                assert chunk.stream == STDOUT
                output += chunk.data
            assert await process.wait() == 0
        assert output == data

    @promise("X13", needs="pty", delta=True)
    async def test_it_echoes_and_edits_lines_as_terminals_do(self, box: AsyncSandbox) -> None:
        async with box.spawn(["cat"], terminal=SIZE) as process:
            await process.write("aé\x7fb\n")
            await until(process, b"ab\r\n")
            await process.write(b"\x04")
            assert await process.wait() == 0

    @promise("X13", needs="pty", delta=True)
    async def test_all_output_is_one_stream_and_complete(self, stage: Stage, box: AsyncSandbox) -> None:
        async def one(number: int) -> None:
            script = f"printf {number}; printf error >&2; printf '%03000d' 0; printf last; exit 3"
            async with box.spawn(script, terminal=SIZE) as process:
                assert await rest(process) == b"%derror" % number + b"0" * 3000 + b"last"
                assert await process.wait() == 3

        await stage.gather(*[lambda n=n: one(n) for n in range(12)], at_once=4)

    @promise("X13", needs="pty", delta=True)
    async def test_output_that_nobody_reads_before_the_end_arrives(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        script = f"printf '%03000d' 0; printf last; exec sleep {number}"
        async with box.spawn(script, terminal=SIZE) as process:
            assert await stage.eventually(present(box, number))
            await end(box, number)
            assert await stage.eventually(gone(box, number))
            assert await rest(process) == b"0" * 3000 + b"last"
            assert await process.wait() == 137

    @promise("X13", needs="pty", delta=True)
    async def test_much_output_arrives_whole(self, box: AsyncSandbox) -> None:
        script = "n=0; while [ $n -lt 200 ]; do printf '%010000d' $n; n=$((n+1)); done; exit 4"
        async with box.spawn(script, terminal=SIZE) as process:
            assert await rest(process) == b"".join(b"%010000d" % n for n in range(200))
            assert await process.wait() == 4

    @promise("X13", needs="pty", delta=True)
    async def test_ctrl_c_reaches_the_foreground(self, box: AsyncSandbox) -> None:
        async with box.spawn(
            "trap 'echo caught; exit 6' INT; echo ready; while :; do sleep 1; done", terminal=SIZE
        ) as p:
            await until(p, b"ready\r\n")
            await p.write(b"\x03")
            await until(p, b"caught\r\n")
            assert await p.wait() == 6
        async with box.spawn("echo ready; exec sleep 600", terminal=SIZE) as p:
            await until(p, b"ready\r\n")
            await p.write(b"\x03")
            assert await p.wait() == 130

    @promise("X13", needs="pty", delta=True)
    async def test_an_interactive_shell_controls_jobs(self, box: AsyncSandbox) -> None:
        number = needle()
        async with box.spawn(["sh"], terminal=SIZE, env={"PS1": "$ "}) as process:
            await process.write(f"sleep {number}\n")
            while await alive(box, number) == 0:
                await process.wait(timeout=0.05)
            await process.write(b"\x1a")
            await until(process, b"topped")
            # What is stopped is put into the background, and what is in the foreground ends alone.
            await process.write("bg; sleep 600\n")
            await process.wait(timeout=0.3)
            await process.write(b"\x03")
            await process.write("echo ended=$?\n")
            await until(process, b"ended=130\r\n")
            assert await alive(box, number) == 1
            await process.write("kill -9 %1; wait; exit 7\n")
            assert await process.wait() == 7
        assert await alive(box, number) == 0

    @promise("X13", "X2", needs="pty", delta=True)
    async def test_ends_are_exact_and_failures_have_names(self, stage: Stage, box: AsyncSandbox) -> None:
        async def code(command: list[str] | str, expected: int) -> None:
            async with box.spawn(command, terminal=SIZE) as process:
                assert await process.wait() == expected

        cases: list[tuple[list[str] | str, int]] = [(f"exit {n}", n) for n in (0, 1, 125, 255)]
        cases += [("kill -9 $$", 137), (["/no/such/program"], 127), (["/"], 126)]
        await stage.gather(*[lambda c=c, e=e: code(c, e) for c, e in cases], at_once=4)
        with pytest.raises(sandboxkit.WorkingDirectoryError):
            async with box.spawn("true", terminal=SIZE, cwd="/no/such/directory") as process:
                await process.wait()

    @promise("X13", "X5", needs="pty", delta=True)
    async def test_a_timeout_ends_the_tree(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        for timeout in (2.0, *TIMEOUTS[1:]):
            began = time.monotonic()
            process = await box.spawn(TREE.replace("N", number), terminal=SIZE, timeout=timeout)
            async with process:
                whole = await stage.eventually(present(box, number, MEMBERS), within=timeout - 0.2)
                with pytest.raises(sandboxkit.CommandTimeout) as caught:
                    await process.wait()
            assert time.monotonic() - began <= timeout + BOUND
            assert caught.value.killed is True
            assert await alive(box, number) == 0
            if whole:  # else it had no time for that
                return
        pytest.fail("the tree was never whole")

    @promise("X13", "X9", needs="pty", delta=True)
    async def test_kill_and_leaving_the_block_end_the_tree(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        script = f"trap '' HUP; (trap '' TERM; sleep {number}) & echo out; sleep {number}"
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"out\r\n")
            assert await stage.eventually(present(box, number, 2))
            assert await process.kill() is True
            assert await alive(box, number) == 0
            assert await process.wait() == 137
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"out\r\n")
            assert await stage.eventually(present(box, number, 2))
        assert await alive(box, number) == 0

    @promise("X13", "X7", needs="pty")
    async def test_interrupting_who_follows_it_ends_it(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()

        async def follow() -> None:
            async with box.spawn(f"sleep {number} & sleep {number}", terminal=SIZE) as process:
                async for _ in process:
                    pass

        took = await stage.interrupted(follow, lambda: stage.eventually(present(box, number, 2)))
        assert took <= BOUND
        assert await alive(box, number) == 0

    @promise("X13", "X7", needs="pty")
    async def test_a_start_cancelled_anywhere_leaves_no_process(self, stage: Stage) -> None:
        # A sandbox of its own: what is counted is everything in it.
        async with stage.create() as box:
            count = "n=0; for p in /proc/[0-9]*/stat; do n=$((n+1)); done; echo $n"
            before = int((await box.exec(count)).text)

            async def run(client: AsyncClient) -> None:
                same = await client.get(box.id)
                async with same.spawn("sleep 600 & echo out; sleep 600", terminal=SIZE) as process:
                    await until(process, b"out\r\n")

            async def tidy() -> bool:
                return int((await box.exec(count)).text) <= before

            async for step in at_each_step(stage, most=14):
                await step.interrupt(run)
                assert await stage.eventually(tidy, within=BOUND), f"interrupted at step {step.number}"

    @promise("X13", "X9", needs="pty", delta=True)
    async def test_signals_reach_a_command_on_a_terminal(self, box: AsyncSandbox) -> None:
        script = "trap 'echo usr1; exit 6' USR1; echo ready; while :; do sleep 0.1 || sleep 1; done"
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"ready\r\n")
            await process.signal(10)
            await until(process, b"usr1\r\n")
            assert await process.wait() == 6

    @promise("X13", needs="pty", delta=True)
    async def test_it_is_hung_up_when_its_client_is_dead(self, stage: Stage, box: AsyncSandbox) -> None:
        hung_up, kept = needle(), needle()
        script = f"(trap '' HUP; exec sleep {kept} >/dev/null 2>&1) & sleep {hung_up}"
        with stage.child(acts.follow_terminal, box.id, script) as child:
            assert child.line() == "following"
            assert await stage.eventually(present(box, hung_up))
            assert await stage.eventually(present(box, kept))
            child.kill()
        assert await stage.eventually(gone(box, hung_up), within=BOUND)
        # As everywhere, what ignores a hang-up stays.
        assert await alive(box, kept) == 1
        await end(box, kept)

    @promise("X13", needs="pty", delta=True)
    async def test_what_it_leaves_behind_delays_nothing(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        began = time.monotonic()
        script = f"stty -echo; (trap '' HUP; echo ready; exec sleep {number}) & read x; exit 3"
        async with box.spawn(script, terminal=SIZE) as process:
            await until(process, b"ready\r\n")
            await process.write("\n")
            assert await rest(process) == b""
            assert await process.wait() == 3
        assert time.monotonic() - began < 20
        assert await alive(box, number) == 1
        await end(box, number)

    @promise("X13", needs="pty")
    async def test_one_reads_while_another_writes_and_resizes(self, stage: Stage, box: AsyncSandbox) -> None:
        async with box.spawn("stty -echo; echo ready; cat", terminal=SIZE) as process:
            await until(process, b"ready\r\n")

            async def write() -> None:
                for n in range(100):
                    await process.write(f"line {n}\n")
                    if n % 10 == 0:
                        await process.resize(10 + n, 80)
                await process.write(b"\x04")

            writing = stage.start(write)
            output = await rest(process)
            await writing.finish()
            assert await process.wait() == 0
        assert output == "".join(f"line {n}\r\n" for n in range(100)).encode()

    @promise("X13")
    async def test_terminals_that_cannot_be_are_refused(self, stage: Stage, box: AsyncSandbox) -> None:
        if not stage.client.capabilities.get("pty"):
            with pytest.raises(sandboxkit.Unsupported) as refused:
                await box.spawn("true", terminal=SIZE)
            assert refused.value.capability == "pty"
            return
        for size in ((0, 80), (24, 70_000)):
            with pytest.raises(sandboxkit.InvalidCommand):
                await box.spawn("true", terminal=size)
        async with box.spawn("read x", stdin=True) as process:
            with pytest.raises(sandboxkit.InvalidCommand):
                await process.resize(24, 80)
            await process.close_stdin()
        async with box.spawn("read x", terminal=SIZE) as process:
            with pytest.raises(sandboxkit.InvalidCommand):
                await process.close_stdin()
