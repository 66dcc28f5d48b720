"""The emulator as a program of its own, for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any


@contextmanager
def command(
    *options: str, end: str = "SIGTERM", killed: bool = False, env: Mapping[str, str] | None = None
) -> Iterator[Any]:
    """Run the program until the block ends; give what its clients need, and its output."""
    argv = [sys.executable, "-m", "sandboxkit_eci.emulator", "--port", "0", "--time-scale", "0", *options]
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONWARNINGS": "error", **(env or {})}
    ) as it:
        assert it.stdout is not None
        try:
            # The first line is all that a client has to read.
            first = it.stdout.readline().rstrip("\n")
            assert first.startswith("listening on http"), first or "it ended"
            endpoint = first.removeprefix("listening on ")
            given = {"endpoint": endpoint, "access_key_id": "emulator", "access_key_secret": "emulator-secret"}
            options = {**given, "region_id": "cn-hangzhou"}
            yield SimpleNamespace(**given, options=options, output=it.stdout, process=it)
            it.send_signal(signal.SIGKILL if killed else signal.Signals[end])
            assert it.wait(60) == (-signal.SIGKILL if killed else 0)
        finally:
            it.kill()
