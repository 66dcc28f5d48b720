"""Transfers that do not come to their end: cancelled, interrupted, stalled, cut off by a client that died."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit import filewriter
from sandboxkit.aio import AsyncioWorld
from sandboxkit.driver import run
from sandboxkit.errors import CommandLost, DeadlineExceeded
from sandboxkit.fileprograms import WRITE
from sandboxkit.files import AsyncFiles
from sandboxkit.filewriter import FRAME
from sandboxkit.programs import start_program
from sandboxkit.shellfiles import ShellFiles
from sandboxkit.sync import Files
from tests.support.shellbox import SHELLS, Disturb, Disturbed, ShellBox, entries, leftovers, make_box, undisturbed

STREAM = b"3\nabc2\nde70000\n" + b"f" * 70_000 + b"0\n"
WHOLE = b"abcde" + b"f" * 70_000
NEW = os.urandom(FRAME + 50_000)


@pytest.fixture(scope="module", params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellBox]:
    made = make_box(request.param, tmp_path_factory)
    yield made
    run(made.close())


@pytest.fixture
def files(box: ShellBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.chdir(tmp_path)
    yield box.face
    box.disturb = undisturbed
    assert leftovers(tmp_path) == []
    assert all(channel.closed for channel in box.channels)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("new").write_bytes(NEW)
    return tmp_path


def finished(box: ShellBox) -> None:
    """Wait until every process that the box started has ended."""
    for process in box.processes:
        process.wait(timeout=10)


async def _send(box: ShellBox, data: bytes) -> None:
    program = await start_program(
        box, "host", "write", WRITE, (b"./f", b".sandboxkit-test", b""), stdin="raw", patience=10
    )
    await program.send(data)
    if data == STREAM:
        await program.finish()
    await program.channel.close()


@pytest.mark.parametrize("sent", [0, 1, 2, 3, 5, 6, 7, 8, 9, 14, 15, 16, 60_000, len(STREAM) - 2, len(STREAM) - 1])
def test_a_client_that_vanishes_commits_nothing(files: Files, box: ShellBox, sent: int) -> None:
    Path("f").write_bytes(b"old")
    run(_send(box, STREAM[:sent]))
    finished(box)
    assert (Path("f").read_bytes(), entries()) == (b"old", ["f"])


def test_only_the_whole_stream_commits(files: Files, box: ShellBox) -> None:
    run(_send(box, STREAM))
    assert (Path("f").read_bytes(), entries()) == (WHOLE, ["f"])


async def _vanish_unread(box: ShellBox) -> None:
    """Close the channel after the program has started and before it can say that the file is open."""
    args = (b"./l", b".sandboxkit-test", b"")
    program = await start_program(box, "host", "write", WRITE, args, stdin="raw", patience=10)
    while not program.channel.started:
        await program.channel.exchange(until=time.monotonic() + 0.1)
    await program.channel.close()


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_a_client_that_vanishes_unread_leaves_nothing(
    shell: str, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    box = make_box(shell, tmp_path_factory)
    slow = tmp_path_factory.mktemp("slow") / "readlink"
    slow.write_text("#!/bin/sh\nsleep 0.5\necho f\n")
    slow.chmod(0o755)
    box.path = f"{slow.parent}:{box.path}"
    Path("l").symlink_to("f")
    run(_vanish_unread(box))
    finished(box)
    assert entries() == ["l", "new"]
    assert leftovers(place) == []


@pytest.mark.parametrize("garbage", [b"x\n", b"\n", b"-1\n", b"3 \nabc0\n", b"3\r\nabc0\n", b"0x1\na0\n"])
def test_what_is_no_frame_commits_nothing(files: Files, box: ShellBox, garbage: bytes) -> None:
    run(_send(box, b"3\nabc" + garbage))
    finished(box)
    assert entries() == []


class Vanished(BaseException):
    """Stands for Ctrl-C: no ``except Exception`` may swallow it."""


def at_turn(number: int, action: Callable[[], object]) -> Disturb:
    def disturb(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
        if channel.turns == number and channel is channel.box.channels[0] and not channel.killed:
            action()
        # Small pieces, so that there are many moments between them.
        return outgoing[:100_000]

    return disturb


def vanish() -> None:
    raise Vanished


async def write(files: AsyncFiles) -> None:
    await files.write("f", NEW)


async def stream(files: AsyncFiles) -> None:
    async with files.open_write("f") as writer:
        await writer.write(NEW[:FRAME])
        await writer.write(NEW[FRAME:])


async def read(files: AsyncFiles) -> None:
    async with files.open_read("/dev/zero", length=200_000) as reader:
        assert sum([len(piece) async for piece in reader]) == 200_000


async def copy(files: AsyncFiles) -> None:
    await files.copy("new", "f")


Operation = Callable[[AsyncFiles], Coroutine[Any, Any, None]]


def check_nothing_left(box: ShellBox, began: float) -> None:
    assert time.monotonic() - began < 5
    assert entries() == ["f", "new"]
    assert Path("f").read_bytes() in (b"old", NEW)
    assert all(channel.closed for channel in box.channels)
    finished(box)


@pytest.mark.parametrize(
    ("shell", "operation"),
    [*((shell, write) for shell in SHELLS), ("busybox", stream), ("dash", read), ("dash", copy)],
)
def test_an_interrupt_at_any_turn_leaves_old_or_new_and_nothing_running(
    shell: str, operation: Operation, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    box = make_box(shell, tmp_path_factory)
    for number in range(1, 40):
        Path("f").write_bytes(b"old")
        box.channels.clear()
        began = 0.0

        def at_once() -> None:
            nonlocal began
            began = time.monotonic()
            vanish()

        box.disturb = at_turn(number, at_once)
        try:
            run(operation(AsyncFiles(box.files("host"), box, "host")))
        except Vanished:
            check_nothing_left(box, began)
        else:
            break
    finished(box)
    assert 1 < number < 39


def test_an_interrupt_within_a_frame_fills_it_up_and_aborts_without_a_kill(
    files: Files, box: ShellBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filewriter, "ABORT_LIMIT", 4.0)
    for size in (len(NEW), len(NEW) - 1):
        box.channels.clear()
        box.disturb = at_turn(3, vanish)
        with pytest.raises(Vanished):
            files.write("f", NEW[:size])
        assert [channel.killed for channel in box.channels] == [False]
        assert entries() == []


def test_a_program_that_hears_no_more_is_killed_and_its_temporary_file_removed(files: Files, box: ShellBox) -> None:
    def go_deaf(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
        first = channel is channel.box.channels[0]
        if first and channel.turns == 3:
            for _ in range(1000):
                if leftovers(Path.cwd()):
                    break
                time.sleep(0.01)
            assert leftovers(Path.cwd()) != []
            began.append(time.monotonic())
            raise Vanished
        return b"" if first and channel.turns > 3 else outgoing[:100_000]

    began: list[float] = []
    box.channels.clear()
    box.disturb = go_deaf
    with pytest.raises(Vanished):
        files.write("f", NEW)
    assert time.monotonic() - began[0] < 5
    assert box.channels[0].killed
    assert entries() == []
    finished(box)


def test_a_write_in_place_that_is_given_up_leaves_what_was_sent_and_no_more(files: Files, box: ShellBox) -> None:
    for append in (False, True):
        Path("f").write_bytes(b"")
        box.channels.clear()
        box.disturb = at_turn(3, vanish)
        with pytest.raises(Vanished):
            files.append("f", NEW) if append else files.write("f", NEW, atomic=False)
        assert NEW.startswith(Path("f").read_bytes())
        finished(box)


def test_an_exception_in_the_block_aborts_without_a_kill(
    files: Files, box: ShellBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filewriter, "ABORT_LIMIT", 60.0)
    monkeypatch.setattr(filewriter, "CLEANUP_LIMIT", 60.0)
    Path("f").write_bytes(b"old")
    box.channels.clear()
    writer = files.open_write("f")
    with contextlib.suppress(Vanished), writer:
        writer.write(NEW)
        raise Vanished
    assert (Path("f").read_bytes(), entries()) == (b"old", ["f"])
    assert [channel.killed for channel in box.channels] == [False]


def patient(box: ShellBox, patience: float) -> Files:
    return Files(AsyncFiles(ShellFiles(box, "host", patience=patience, tree_limit=patience), box, "host"))


def test_what_stands_still_is_given_up(files: Files, box: ShellBox) -> None:
    os.mkfifo("p")
    impatient = patient(box, 0.4)
    for operation in (
        lambda: impatient.read("p"),
        lambda: impatient.open_read("p").__enter__(),
        lambda: impatient.write("p", b"x", atomic=False),
        lambda: impatient.open_write("p", atomic=False).__enter__(),
    ):
        started = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            operation()
        assert time.monotonic() - started < 5.4
        assert box.channels[-1].killed
    finished(box)


def test_a_slow_transfer_that_moves_is_not_given_up(
    files: Files, box: ShellBox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, passed = box.world.now, 0.0

    def slow(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
        nonlocal passed
        passed += 15.0
        return outgoing[:10_000]

    monkeypatch.setattr(box.world, "now", lambda: real() + passed)
    box.disturb = slow
    patient(box, 20.0).write("f", b"x" * 400_000)
    assert Path("f").stat().st_size == 400_000
    assert passed >= 40 * 15


def test_a_program_that_reports_nothing_is_lost_and_commits_nothing(files: Files, box: ShellBox) -> None:
    def kill_all(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
        if channel.turns == 3 and not channel.killed:
            # The launcher and the program at once: nobody is left to report.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(box.processes[-1].pid, signal.SIGKILL)
        return outgoing[:20_000]

    Path("f").write_bytes(b"old")
    box.channels.clear()
    box.disturb = kill_all
    with pytest.raises(CommandLost) as caught:
        files.write("f", b"x" * 1_000_000)
    assert caught.value.dispatched is not False
    assert (Path("f").read_bytes(), entries()) == (b"old", ["f"])


def test_an_error_reaches_a_client_that_is_still_sending(files: Files, box: ShellBox) -> None:
    Path("d").mkdir()
    started = time.monotonic()
    with pytest.raises(IsADirectoryError):
        files.write("d", bytes(50_000_000))
    assert time.monotonic() - started < 5
    assert box.channels[-1].sent < 10_000_000


@pytest.mark.parametrize("operation", [write, stream, read, copy])
def test_a_cancellation_at_any_await_leaves_old_or_new_and_nothing_running(
    operation: Operation, place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    asyncio.run(_cancel_everywhere(operation, tmp_path_factory))


async def _cancel_everywhere(operation: Operation, factory: pytest.TempPathFactory) -> None:
    world = AsyncioWorld()
    box = make_box("dash", factory, world)
    files = AsyncFiles(box.files("host"), box, "host")
    cancelled = 0
    # At the first steps of the loop (before there is a channel), then at every turn of the channel.
    for step, turn in [*((step, 0) for step in range(1, 6)), *((0, turn) for turn in range(1, 30))]:
        await asyncio.to_thread(Path("f").write_bytes, b"old")
        box.channels.clear()
        began = time.monotonic()
        task = asyncio.create_task(operation(files))
        box.disturb = at_turn(turn, task.cancel)
        for _ in range(step):
            await asyncio.sleep(0)
        if step:
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            cancelled += 1
        else:
            break
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await asyncio.to_thread(check_nothing_left, box, began)
    assert 5 < cancelled < 34
    await box.close()
    await world.close()
