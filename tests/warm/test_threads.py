"""Threads that are at a command which another thread hears out and closes meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from sandboxkit.driver import run
from sandboxkit.launched import LaunchedProcess
from sandboxkit.process import AsyncProcess
from sandboxkit.warmchannel import WarmProcess
from tests.support.warmside import Stage, check_clean, make_host, stage


@pytest.fixture
def blocking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with stage(make_host("dash", "blocking", tmp_path_factory)) as made:
        yield made


@attrs.define
class Late:
    """Holds up the thread that is told to be late, before what it calls."""

    hold: threading.local = attrs.field(factory=threading.local)
    there: threading.Event = attrs.field(factory=threading.Event)
    go: threading.Event = attrs.field(factory=threading.Event)

    def before(self, method: Callable[..., Any]) -> Callable[..., Any]:
        """Make the method one that waits at its beginning, in that thread."""

        async def held(*args: Any, **kwargs: Any) -> Any:
            if getattr(self.hold, "late", False):
                self.hold.late = False
                self.there.set()
                assert self.go.wait(20)
            return await method(*args, **kwargs)

        return held

    def call(self, method: Callable[[], Any]) -> Any:
        """Call something in a thread that is to be late."""
        self.hold.late = True
        return run(method())


async def spawn(place: Stage, command: str) -> AsyncProcess:
    return await place.box.spawn(command)


async def end(process: AsyncProcess) -> None:
    async for _ in process:
        pass
    await process.close()


def follow(place: Stage, late: Late, go: Path, method: Callable[[AsyncProcess], Callable[[], Any]]) -> Any:
    """Have a thread call something of a command's, and come to it when the next command is on the channel."""
    place.exec(["true"])
    process = run(spawn(place, f"until [ -e {go} ]; do sleep 0.02; done"))
    with ThreadPoolExecutor(2) as threads:
        called = threads.submit(late.call, method(process))
        assert late.there.wait(20)
        go.touch()
        run(end(process))
        following = threads.submit(place.exec, "echo begun; sleep 0.5; echo next")
        threading.Timer(0.2, late.go.set).start()
        assert following.result().text == "begun\nnext\n"
        result = called.result()
    check_clean(place)
    return result


def test_a_kill_that_comes_when_the_channel_was_given_back_ends_no_other(
    blocking: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = Late()
    monkeypatch.setattr(WarmProcess, "_kill_once", late.before(WarmProcess._kill_once))
    assert follow(blocking, late, tmp_path / "go", lambda process: process.kill) is True


def test_a_reader_that_comes_when_the_channel_was_given_back_takes_nothing(
    blocking: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    late = Late()
    monkeypatch.setattr(LaunchedProcess, "exchange", late.before(LaunchedProcess.exchange))
    until = blocking.host.world.now() + 10
    follow(blocking, late, tmp_path / "go", lambda process: partial(process._channel.exchange, until=until))
