"""Thousands of commands on kept channels: descriptors, threads, memory and processes stay as they are."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import attrs
import pytest
from sandboxkit_docker import keepalive

from sandboxkit import pool as pools
from sandboxkit.sync import Client, Sandbox

GROWTH = 4096
"""KiB of memory that the client may grow by: allocators keep some of what they were given."""


@attrs.frozen
class Held:
    """What the client and the sandbox hold."""

    descriptors: int
    threads: int
    processes: int
    memory: int

    @classmethod
    def by(cls, box: Sandbox) -> Held:
        """Count."""
        gc.collect()
        processes = int(box.exec("n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n").text)
        status = Path("/proc/self/status").read_text().partition("VmRSS:")[2]
        return cls(len(os.listdir("/proc/self/fd")), threading.active_count(), processes, int(status.split()[0]))  # noqa: PTH208


def soak(box: Sandbox, count: int) -> None:
    """Run so many commands of all kinds, and compare what is held before and after."""
    data = b"line of input\n" * 500

    def round_of_ten(number: int) -> None:
        for turn in range(7):
            word = f"{number}-{turn}"
            assert box.exec(["printf", "%s", word]).text == word
        assert box.exec("cat; printf err >&2; exit 3", input=b"small", timeout=60).exit_code == 3
        assert box.exec(["cat"], input=data).stdout == data
        assert box.files.exists("/etc/passwd")

    for number in range(10):
        round_of_ten(number)
    before = Held.by(box)
    for number in range(count // 10):
        round_of_ten(number)
    after = Held.by(box)
    # Growth is what is looked for: what closes a little late may have been counted the first time only.
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.processes <= before.processes
    assert after.memory <= before.memory + GROWTH


@pytest.fixture
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing be replaced while it is counted: no sleep of the timer's, and no channel whose runner is late."""
    program = keepalive.PROGRAM.replace(f"{keepalive.RECHECK} ]||s={keepalive.RECHECK}", "9999 ]||s=9999")
    assert program != keepalive.PROGRAM
    monkeypatch.setattr(keepalive, "PROGRAM", program)
    monkeypatch.setattr(pools, "READY_LIMIT", 60.0)


@pytest.mark.usefixtures("calm")
def test_five_hundred_commands_leave_everything_as_it_was(client: Client) -> None:
    with client.create(ttl=300) as box:
        soak(box, 500)


@pytest.mark.usefixtures("calm")
@pytest.mark.heavy
@pytest.mark.timeout(900)
def test_twenty_thousand_commands_leave_everything_as_it_was(client: Client, request: pytest.FixtureRequest) -> None:
    if not request.config.getoption("sandboxkit_full"):
        pytest.skip("heavy: runs with --full")
    with client.create(ttl=3000) as box:
        soak(box, 20_000)
