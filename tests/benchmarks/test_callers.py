"""The benchmark of many callers runs, and its shares can be true; how fast it is is nobody's business."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from sandboxkit import plugins

ROOT = Path(__file__).parents[2]


def test_a_small_run_gives_every_figure() -> None:
    probe = plugins.probe("docker")
    if not probe.works:
        if "docker" in os.environ.get("SANDBOXKIT_REQUIRE", ""):
            pytest.fail(f"docker does not work here: {probe.reason}")
        pytest.skip(f"docker does not work here: {probe.reason}")
    small = ["--rounds=1", "--part=0.1", "--idle=1"]
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.benchmarks.callers", *small],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    ways = {(each["world"], each["callers"], each["warm"]) for each in found["rates"]}
    assert ways == set(product(("blocking", "asyncio"), (1, 4, 8), (True, False)))
    for each in found["rates"]:
        assert each["per_second"] > 0
        assert 0 < each["client"] <= found["machine"]["cores"] + 1
    assert sum(each["sandbox"] for each in found["rates"]) > 0
    assert [each["world"] for each in found["memory"]] == ["blocking", "asyncio"]
