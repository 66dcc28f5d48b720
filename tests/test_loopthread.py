"""Coroutines on a thread with a loop: results, errors, Ctrl-C, and the end of it all."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

import sandboxkit
from sandboxkit import plugins
from sandboxkit.errors import ProviderError
from sandboxkit.loopthread import LoopThread
from tests.support.warmside import alive


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    made = LoopThread()
    yield made
    made.close()
    assert not [each for each in threading.enumerate() if each.name == "sandboxkit-loop"]


async def _give(value: int) -> int:
    await asyncio.sleep(0)
    return value


def test_results_and_errors_come_back(thread: LoopThread) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    async def stop() -> None:
        raise StopAsyncIteration

    assert thread.run(_give(5)) == 5
    with pytest.raises(KeyError):
        thread.run(fail())
    with pytest.raises(StopAsyncIteration):
        thread.run(stop())


def test_threads_share_it(thread: LoopThread) -> None:
    found: list[int] = []
    threads = [threading.Thread(target=lambda n=n: found.append(thread.run(_give(n)))) for n in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(found) == list(range(20))


def test_it_works_inside_a_running_loop(thread: LoopThread) -> None:
    async def main() -> int:
        return thread.run(_give(7))

    assert asyncio.run(main()) == 7


def _interrupt_when(event: threading.Event) -> threading.Thread:
    def interrupt() -> None:
        event.wait()
        os.kill(os.getpid(), signal.SIGINT)

    made = threading.Thread(target=interrupt)
    made.start()
    return made


def test_ctrl_c_cancels_and_waits_for_the_clean_up(thread: LoopThread) -> None:
    begun = threading.Event()
    cleaned = []

    async def work() -> None:
        try:
            begun.set()
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            cleaned.append(True)

    interrupting = _interrupt_when(begun)
    with pytest.raises(KeyboardInterrupt):
        thread.run(work())
    interrupting.join()
    assert cleaned == [True]


def test_what_was_made_after_all_is_undone(thread: LoopThread) -> None:
    begun = threading.Event()
    undone: list[int] = []

    async def work() -> int:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        return 9  # too late: it is made

    async def undo(made: int) -> None:
        await asyncio.sleep(0.1)
        undone.append(made)

    interrupting = _interrupt_when(begun)
    with pytest.raises(KeyboardInterrupt):
        thread.run(work(), undo=undo)
    interrupting.join()
    assert undone == [9]


def test_closing_ends_what_still_runs(thread: LoopThread) -> None:
    begun = threading.Event()
    errors: list[BaseException] = []

    async def work() -> None:
        begun.set()
        await asyncio.sleep(60)

    def call() -> None:
        try:
            thread.run(work())
        except BaseException as exc:  # noqa: BLE001 - looked at below
            errors.append(exc)

    other = threading.Thread(target=call)
    other.start()
    begun.wait()
    thread.close()
    other.join(10)
    assert [type(error) for error in errors] == [ProviderError]
    thread.close()
    with pytest.raises(ProviderError, match="closed"):
        thread.run(_give(1))


def test_a_forked_process_is_told_to_connect_again(thread: LoopThread) -> None:
    assert thread.run(_give(1)) == 1
    pid = os.fork()
    if pid == 0:
        try:
            thread.run(_give(2))
        except ProviderError:
            os._exit(42)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
    assert thread.run(_give(3)) == 3


def test_a_client_that_is_not_closed_keeps_no_process_alive() -> None:
    program = (
        "from sandboxkit.loopthread import LoopThread\nasync def one(): return 1\nt=LoopThread();print(t.run(one()))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n", "")


def _probe() -> None:
    if not plugins.probe("loopbound").works:
        pytest.skip("provider 'local' does not work here")


def test_a_provider_that_knows_only_asyncio_serves_blocking_clients() -> None:
    _probe()
    with sandboxkit.connect("loopbound") as client, client.create(ttl=60) as box:
        assert box.exec("echo hi").text == "hi\n"
        assert box.info().provider == "loopbound"
        box.files.write("f", b"x" * 100_000)
        with box.files.open_read("f") as reader:
            assert sum(len(piece) for piece in reader) == 100_000
        assert box.restart().status is sandboxkit.Status.RUNNING
    assert not [each for each in threading.enumerate() if each.name == "sandboxkit-loop"]


def test_ctrl_c_ends_a_command_of_such_a_provider() -> None:
    _probe()
    with sandboxkit.connect("loopbound") as client, client.create(ttl=60) as box:
        interrupted: list[float] = []

        def interrupt() -> None:
            while not alive("sleep\0004711"):
                time.sleep(0.01)
            interrupted.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            box.exec(["sleep", "4711"])
        assert time.monotonic() - interrupted[0] < 10
        thread.join()
        assert box.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").text.count("4711") == 0
