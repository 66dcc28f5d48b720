"""Ctrl-C during clean-up: held back once, never lost."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest

from sandboxkit.driver import run
from sandboxkit.interrupts import interrupts_held
from sandboxkit.worlds import BlockingWorld


@pytest.fixture(autouse=True)
def usual_handler() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def press() -> None:
    signal.raise_signal(signal.SIGINT)


def test_protected_work_ends_although_ctrl_c_is_pressed() -> None:
    done = []

    async def work() -> None:
        press()
        done.append("after")

    with pytest.raises(KeyboardInterrupt):
        run(BlockingWorld().protect(work(), until=0.0))
    assert done == ["after"]


def test_a_second_ctrl_c_goes_through_at_once() -> None:
    done = []

    @interrupts_held()
    def work() -> None:
        press()
        done.append("first")
        press()
        done.append("second")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["first"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_went_wrong_in_the_work_is_told_with_the_interrupt() -> None:
    @interrupts_held()
    def work() -> None:
        press()
        raise ValueError("the work's own")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_one_inside_the_other_holds_to_the_outer_end() -> None:
    done = []

    @interrupts_held()
    def work() -> None:
        with interrupts_held():
            press()
        done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["outer"]


def test_another_thread_and_an_ignored_signal_are_left_alone() -> None:
    seen = []

    def look() -> None:
        with interrupts_held():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    look()
    assert seen == [signal.default_int_handler, signal.SIG_IGN]
