"""Running a benchmark as its tests do: in a process of its own, in which a warning is an error."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxkit import plugins

ROOT = Path(__file__).parents[2]


def require(provider: str) -> None:
    """Skip the test where a provider does not work; that is a failure where it must (``SANDBOXKIT_REQUIRE``)."""
    probe = plugins.probe(provider)
    if probe.works:
        return
    reason = f"{provider} does not work here: {probe.reason}"
    if provider in os.environ.get("SANDBOXKIT_REQUIRE", "").split(","):
        pytest.fail(reason)
    pytest.skip(reason)


def output(module: str, *arguments: str) -> str:
    """Run a benchmark; give what it printed."""
    command = [sys.executable, "-W", "error", "-m", module, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
