"""Two revisions can be held against each other; which is faster is nobody's business here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandboxkit import plugins

ROOT = Path(__file__).parents[2]


def test_a_revision_is_held_against_the_working_tree() -> None:
    probe = plugins.probe("docker")
    if not probe.works:
        if "docker" in os.environ.get("SANDBOXKIT_REQUIRE", ""):
            pytest.fail(f"docker does not work here: {probe.reason}")
        pytest.skip(f"docker does not work here: {probe.reason}")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git clone")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.benchmarks.before", "HEAD", "--rounds=1"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found["operations"]) == 6
    assert all(each["ours_ms"] > 0 and each["least_ms"] > 0 for each in found["operations"])
