"""Many sandboxes at once, within the published limits: a small run of what is measured at scale.

The large one is ``python -m tests.benchmarks.eciscale``. How long anything takes is nobody's business here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
SANDBOXES = 60


def test_many_sandboxes_at_once_are_made_used_and_deleted_within_the_published_limits() -> None:
    command = [sys.executable, "-m", "tests.benchmarks.eciscale", f"--sandboxes={SANDBOXES}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["sandboxes"], found["left"], found["refused"]) == (SANDBOXES, 0, 0)
    # One more of each was made to begin with; none was made, run or deleted twice.
    once = ("CreateContainerGroup", "ExecContainerCommand", "DeleteContainerGroup")
    assert [found["calls"][action] for action in once] == [SANDBOXES + 1] * 3
    # How many looks there were depends on how the threads came; that they are shared is in test_lifecycle.py.
    assert found["callback_ms"] > 0  # it was measured
