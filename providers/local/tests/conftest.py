"""What the tests of the local provider share. They run as root and as an ordinary user alike."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local import locks
from sandboxkit_local.probe import probe

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds after which what should happen at once is taken to never happen."""

TIMEOUTS = (0.4, 3.0, 12.0)
"""Seconds that a command may have, in turn, to come to its point."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "root: only root can arrange what this looks at")


@pytest.fixture(scope="session")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One state directory for all tests, so that the sandbox's side is compiled once."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the local provider needs Linux")
    answer = probe()
    if not answer.works:
        if "local" in os.environ.get("SANDBOXKIT_REQUIRE", "").split(","):
            pytest.fail(f"SANDBOXKIT_REQUIRE names local, but: {answer.reason}", pytrace=False)
        pytest.skip(answer.reason)
    return tmp_path_factory.mktemp("local") / "state"


@pytest.fixture(scope="session")
def client(state: Path) -> Iterator[Client]:
    with sandboxkit.connect("local", state_dir=str(state), owner="tests") as made:
        yield made
        for info in made.list():
            made.delete(info.id)


@pytest.fixture(scope="module")
def shared(client: Client) -> Iterator[Sandbox]:
    """A sandbox for tests that leave nothing in it."""
    with client.create(ttl=600) as made:
        yield made


@pytest.fixture
def box(client: Client) -> Iterator[Sandbox]:
    """A sandbox of the test's own."""
    with client.create(ttl=300) as made:
        yield made


@pytest.fixture
def first_pid(state: Path) -> Callable[[str], int]:
    """Give the pid of a sandbox's PID 1 as the host sees it, 0 for none."""

    def give(sandbox_id: str) -> int:
        return locks.holder(f"{state}/{sandbox_id}/lock", locks.ALIVE) or 0

    return give


def eventually(true: Callable[[], object], what: str) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < until, f"never: {what}"
        time.sleep(0.01)


def wait_for_end(pid: int) -> None:
    """Wait until a process is over, whoever its parent is."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        assert poll.poll(PATIENCE * 1000), f"process {pid} does not end"
    finally:
        os.close(fd)


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie does not, and may be gone while it is looked at."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except OSError:
        return False


def end_soon(client: Client, sandbox_id: str) -> None:
    """Bring a sandbox's deadline forward, now that all is arranged: on a busy machine an early one comes before."""
    provider = client._async.provider
    run(provider.extend(sandbox_id, expires_at=time.time() + 0.2, until=None))  # type: ignore[attr-defined]


def reaching(box: Sandbox, command: Callable[[float], T]) -> T:
    """Run a command with a timeout, and again with a longer one while it does not come to its point in time.

    There it makes the file ``reached`` in its working directory. A busy machine may take all of a short timeout from
    it; what is to be seen in time is seen for certain then.
    """
    for timeout in TIMEOUTS:
        ended = command(timeout)
        if box.files.exists("reached"):
            return ended
    raise AssertionError(f"the command did not come to its point in {timeout} s")


def processes(box: Sandbox) -> int:
    """Count the processes of a sandbox, without its PID 1 and the one that counts."""
    listed = box.exec("n=0; for p in /proc/[0-9]*; do n=$((n+1)); done; echo $n").text
    return int(listed) - 2


__all__ = [
    "PATIENCE",
    "AsyncClient",
    "alive",
    "end_soon",
    "eventually",
    "processes",
    "reaching",
    "wait_for_end",
]
