"""Channels that drop: nothing runs twice, and what is said of it is true."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandboxkit import runner, warmchannel
from sandboxkit.errors import CommandLost, SandboxError
from tests.support.warmside import (
    Stage,
    check_clean,
    check_opened,
)


def prepared(cut: Stage) -> Any:
    """Give a channel that the next command will be sent over."""
    cut.exec(["true"])
    while not cut.pool._idle:  # it was not kept: see check_opened()
        cut.exec(["true"])
    channel = cut.pool._idle[-1].channel
    # What the runner says of its last command is to come before the channel drops.
    cut.go(cut.pool.upkeep())
    return channel


def dropped(cut: Stage, channel: Any) -> None:
    """Wait until the runner behind a channel that has dropped is gone: it has run what it will."""
    number = cut.host.cuts.index(channel)  # type: ignore[attr-defined]
    cut.host.processes[number].wait(timeout=20)


@pytest.fixture
def told_to_drop(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any, int], None]:
    """Give what tells a channel to drop within the next request, so many bytes before its end."""

    def tell(channel: Any, missing: int) -> None:
        def request(*args: Any) -> bytes:
            data = runner.request(*args)
            monkeypatch.setattr(warmchannel, "request", runner.request)
            channel.sends = max(0, len(data) - missing)
            return data

        monkeypatch.setattr(warmchannel, "request", request)

    return tell


@pytest.mark.parametrize("length", ["short", "long"])
def test_a_channel_that_drops_before_the_request_was_sent_goes_unnoticed(
    cut: Stage, tmp_path: Path, length: str, told_to_drop: Callable[[Any, int], None]
) -> None:
    trace = tmp_path / "trace"
    command = f"echo run >>{trace}; echo out" + ("" if length == "short" else " #" + "x" * 5000)
    for missing in (*range(1, 60), *range(60, 500, 9), 2000, 5000, 6000):
        channel = prepared(cut)
        told_to_drop(channel, missing)
        trace.write_text("")
        assert (missing, 0, b"out\n", b"") == (missing, *cut.told(command))
        dropped(cut, channel)
        assert (missing, "run\n") == (missing, trace.read_text())


def test_a_channel_that_drops_when_the_request_was_sent_is_told_of(
    cut: Stage, tmp_path: Path, told_to_drop: Callable[[Any, int], None]
) -> None:
    trace = tmp_path / "trace"
    for command in (f"echo run >>{trace}", f"echo run >>{trace} #" + "x" * 5000):
        channel = prepared(cut)
        told_to_drop(channel, 0)
        trace.write_text("")
        with pytest.raises(CommandLost) as caught:
            cut.exec(command)
        assert caught.value.dispatched is None
        dropped(cut, channel)
        assert trace.read_text() in ("", "run\n")


@pytest.mark.parametrize("how", ["ends", "breaks"])
def test_a_command_whose_channel_drops_half_way_is_never_run_twice(cut: Stage, tmp_path: Path, how: str) -> None:
    trace = tmp_path / "trace"
    for received in range(1, 170, 7 if how == "ends" else 23):
        channel = prepared(cut)
        channel.gives, channel.raises = received, how == "breaks"
        trace.write_text("")
        opened = cut.host.opened
        told = cut.told(f"echo run >>{trace}; printf output; printf error >&2; exit 3")
        if told != (3, b"output", b"error"):
            kind, dispatched, *_, out, err = told
            assert dispatched or (dispatched is None and received < 60)
            assert kind == ("StatusUnreported" if how == "ends" and dispatched else "CommandLost")
            if dispatched:
                # What came of a record that was cut may be output, for all that can be known.
                assert b"output".startswith(out.partition(b"K")[0])
                assert b"error".startswith(err.partition(b"K")[0])
        else:
            assert received > 110
        # No other was opened for it, but to end what may still run.
        assert cut.host.opened - opened <= 1
        if not channel.dropped:
            cut.go(cut.client.cool())
        dropped(cut, channel)
        assert trace.read_text() == "run\n" or (dispatched is None and trace.read_text() == "")


def test_a_channel_that_breaks_while_the_request_is_sent_runs_nothing_twice(
    cut: Stage, tmp_path: Path, told_to_drop: Callable[[Any, int], None]
) -> None:
    trace = tmp_path / "trace"
    for missing in (*range(4), *range(5, 300, 17), 5000):
        channel = prepared(cut)
        told_to_drop(channel, missing)
        channel.raises = True
        trace.write_text("")
        try:
            cut.exec(f"echo run >>{trace}")
        except SandboxError:
            dropped(cut, channel)
            assert (missing, "") == (missing, trace.read_text()) or missing == 0
        else:
            dropped(cut, channel)
            assert (missing, "run\n") == (missing, trace.read_text())


def test_a_dead_channel_is_found_before_it_is_used(place: Stage) -> None:
    for _ in range(3):
        place.exec(["true"])
        place.host.processes[-1].kill()
        place.host.processes[-1].wait()
        check_clean(place)
    check_opened(place, 4)
