"""What stands in for a sandbox's shell speaks as the shell does: the client cannot tell that nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import sandboxkit
from sandboxkit import TmuxStatus
from tests.support.emulated import emulated
from tests.support.launcherside import PRINTED, written

EMULATOR = ("--backend=none", "--responder=tests.support.launcherside:LauncherSide")


@pytest.fixture(scope="module")
def options() -> Iterator[dict[str, Any]]:
    with emulated(*EMULATOR) as leading:
        yield leading


@pytest.mark.parametrize("warm", [True, False])
def test_it_says_what_the_commands_would(options: dict[str, Any], warm: bool) -> None:
    with sandboxkit.connect("eci", image="busybox:1", warm=warm, **options) as client, client.create() as box:
        for timeout in (None, 60.0):
            assert box.exec(["true"], timeout=timeout).exit_code == 0
            assert box.exec(["false"], timeout=timeout).exit_code == 1
            said = box.exec(["echo", "it's", "two\nlines"], timeout=timeout)
            assert (said.exit_code, said.stdout, said.stderr) == (0, b"it's two\nlines\n", b"")
            assert box.exec(["output", "100000", "7000"], timeout=timeout).stdout == written(100_000)
            assert box.exec(["none-such"], timeout=timeout).exit_code == 127


def test_a_session_runs_for_ever(options: dict[str, Any]) -> None:
    with sandboxkit.connect("eci", image="busybox:1", **options) as client, client.create() as box:
        session = box.tmux.start("echo " + "x" * 10_000)
        for _ in range(3):
            found = session.poll()
            assert (found.status, found.output) == (TmuxStatus.RUNNING, PRINTED)
