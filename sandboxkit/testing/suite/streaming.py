"""Following a command while it runs: X9."""

from __future__ import annotations

import random
import signal
import time

import pytest

from sandboxkit.errors import InvalidCommand
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import alive, gone, needle, present, until, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage


class Streaming:
    """Tests of processes."""

    @promise("X9", delta=True)
    async def test_output_arrives_while_the_command_runs(self, box: AsyncSandbox) -> None:
        async with box.spawn("echo first; read x; echo got $x; exit 5", stdin=True) as process:
            assert await until(process, b"\n") == b"first\n"
            # It waits for this, so it cannot have ended before.
            assert process.exit_code is None
            await process.write(b"it\n")
            assert await until(process, b"\n") == b"got it\n"
            assert await process.wait() == 5
            assert process.exit_code == 5

    @promise("X9", delta=True)
    async def test_chunks_are_tagged_and_in_order(self, box: AsyncSandbox) -> None:
        script = "n=0; while [ $n -lt 200 ]; do echo out $n; echo err $n >&2; n=$((n+1)); done"
        streams = {1: b"", 2: b""}
        async with box.spawn(script) as process:
            async for chunk in process:
                assert chunk.data
                streams[chunk.stream] += chunk.data
            assert await process.wait() == 0
        assert streams[1] == "".join(f"out {n}\n" for n in range(200)).encode()
        assert streams[2] == "".join(f"err {n}\n" for n in range(200)).encode()

    @promise("X4", "X9", delta=True)
    async def test_stdin_is_streamed_and_closed(self, box: AsyncSandbox) -> None:
        for timeout in (None, 30.0):
            async with box.spawn(["cat"], stdin=True, timeout=timeout) as process:
                for data in (b"a", b"0\n", b"\0", b"12\n", "é\n", b""):
                    await process.write(data)
                await process.close_stdin()
                await process.close_stdin()
                output = b"".join([chunk.data async for chunk in process])
                assert output == b"a0\n\x0012\n" + "é\n".encode()
                assert await process.wait() == 0

    @promise("X9")
    async def test_what_is_written_is_text_or_bytes_of_any_kind(self, box: AsyncSandbox) -> None:
        async with box.spawn("cat", stdin=True) as process:
            for odd in (5, None, "\ud800", ["x"]):
                with pytest.raises(InvalidCommand):
                    await process.write(odd)  # type: ignore[arg-type]
            for data in (b"a", bytearray(b"b"), memoryview(b"c.d.")[::2], "\udcff"):
                await process.write(data)
            await process.close_stdin()
            assert b"".join([chunk.data async for chunk in process]) == b"abcd\xff"

    @promise("X4", "X9", delta=True)
    async def test_without_stdin_it_is_closed_at_once(self, box: AsyncSandbox) -> None:
        async with box.spawn("cat; echo end") as process:
            with pytest.raises(InvalidCommand):
                await process.write("echo this is no command\n")
            assert b"".join([chunk.data async for chunk in process]) == b"end\n"

    @promise("X9", delta=True)
    async def test_both_directions_flow_at_once(self, box: AsyncSandbox) -> None:
        data = random.Random(9).randbytes(6 << 20)
        async with box.spawn(["cat"], stdin=True, max_output=None) as process:
            # Nobody reads meanwhile: what comes back is set aside, or both ends would wait for the other.
            for start in range(0, len(data), 100_000):
                await process.write(data[start : start + 100_000])
            await process.close_stdin()
            output = b"".join([chunk.data async for chunk in process])
            assert await process.wait() == 0
        assert output == data

    @promise("X9")
    async def test_one_reads_while_another_writes(self, stage: Stage, box: AsyncSandbox) -> None:
        data = random.Random(10).randbytes(2 << 20)
        async with box.spawn(["cat"], stdin=True) as process:

            async def write() -> None:
                for start in range(0, len(data), 50_000):
                    await process.write(data[start : start + 50_000])
                await process.close_stdin()

            writing = stage.start(write)
            output = b"".join([chunk.data async for chunk in process])
            await writing.finish()
            assert await process.wait() == 0
        assert output == data

    @promise("X9", delta=True)
    async def test_a_slow_reader_holds_the_command_back(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        script = 'dd if=/dev/zero bs=65536 count=1000 2>/dev/null; echo done >"$D/done"'
        async with box.spawn(script, env={"D": directory}) as process:
            await process.__anext__()
            await stage.pause(1.0)
            assert not await box.files.exists(f"{directory}/done")
            read = sum([len(chunk.data) async for chunk in process])
            assert 0 < 65536 * 1000 - read <= 65536 * 100
            assert await process.wait() == 0
        assert await box.files.exists(f"{directory}/done")

    @promise("X7", "X9", delta=True)
    async def test_a_cancelled_read_loses_nothing(self, stage: Stage, box: AsyncSandbox) -> None:
        async with box.spawn("n=0; while [ $n -lt 300 ]; do echo line $n; n=$((n+1)); done; exit 3") as process:

            async def read() -> bytes:
                try:
                    return (await process.__anext__()).data
                except StopAsyncIteration:
                    return b""

            output, tries, data = b"", 0, b"more"
            while data:
                # Every fourth try may take as long as it wants.
                tries += 1
                data = await stage.cut_short(read, tries % 4) or (b"" if tries % 4 == 0 else b"more")
                output += data if data != b"more" else b""
            assert await process.wait() == 3
        assert output == "".join(f"line {n}\n" for n in range(300)).encode()

    @promise("X9", delta=True)
    async def test_signals_arrive(self, box: AsyncSandbox) -> None:
        script = (
            "trap 'echo usr1' USR1; trap 'echo term; exit 6' TERM; echo ready; while :; do sleep 0.1 || sleep 1; done"
        )
        async with box.spawn(script) as process:
            await until(process, b"ready\n")
            await process.signal(signal.SIGUSR1)
            await until(process, b"usr1\n")
            await process.signal(15)
            await until(process, b"term\n")
            assert await process.wait() == 6
            await process.signal(15)
        async with box.spawn(["sleep", "600"]) as process:
            for number in (0, -9, 65, 2**40, 1.5, "TERM"):
                with pytest.raises(InvalidCommand):
                    await process.signal(number)  # type: ignore[arg-type]
            # A shell may not have become the sleep yet; only SIGKILL ends both alike.
            await process.signal(9)
            assert await process.wait() == 137

    @promise("X9", delta=True)
    async def test_kill_ends_the_whole_tree(self, box: AsyncSandbox) -> None:
        number = needle()
        async with box.spawn(f"trap '' TERM; sleep {number} & echo out; sleep {number}") as process:
            await until(process, b"out\n")
            assert await process.kill() is True
            assert await alive(box, number) == 0
            assert await process.wait() == 137
            assert await process.kill() is True

    @promise("X9")
    async def test_wait_gives_none_at_its_limit_and_kills_nothing(self, box: AsyncSandbox) -> None:
        async with box.spawn("read x; echo $x; exit 3", stdin=True) as process:
            began = time.monotonic()
            assert await process.wait(timeout=0.3) is None
            assert time.monotonic() - began >= 0.3
            await process.write("on\n")
            assert await process.wait(timeout=20) == 3
            assert await process.wait() == 3
            assert b"".join([chunk.data async for chunk in process]) == b"on\n"

    @promise("X9")
    async def test_leaving_the_block_ends_it(self, stage: Stage, box: AsyncSandbox) -> None:
        number = needle()
        async with box.spawn(f"echo out; sleep {number}") as process:
            await until(process, b"out\n")
            assert await stage.eventually(present(box, number))
            assert await process.wait(timeout=0) is None
            with pytest.raises(InvalidCommand):
                await process.wait(timeout=float("nan"))
        assert await stage.eventually(gone(box, number), within=5)
        process = await box.spawn(f"echo out; sleep {number}")
        await process.close()
        await process.close()
        assert await stage.eventually(gone(box, number), within=5)

    @promise("X9")
    async def test_writing_to_one_that_has_ended_is_a_broken_pipe(self, box: AsyncSandbox) -> None:
        async with box.spawn("exit 3", stdin=True) as process:
            assert await process.wait() == 3
            with pytest.raises(BrokenPipeError):
                await process.write(b"x")
            await process.close_stdin()
            assert await process.wait() == 3

    @promise("X8", "X9")
    async def test_what_is_set_aside_is_bounded(self, box: AsyncSandbox) -> None:
        async with box.spawn("dd if=/dev/zero bs=65536 count=50 2>/dev/null; exit 3", max_output=1000) as process:
            assert await process.wait() == 3
            kept = sum([len(chunk.data) async for chunk in process])
            assert kept + process.dropped == 65536 * 50
            assert kept <= 1000
