"""Two revisions can be held against each other; which is faster is nobody's business here."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.trial import ROOT, output, require


def test_a_revision_is_held_against_the_working_tree() -> None:
    require("docker")
    if not (ROOT / ".git").exists():
        pytest.skip("this is no git clone")
    printed = output("tests.benchmarks.before", "HEAD", "--rounds=1")
    found = json.loads(printed)
    assert len(found["operations"]) == 6
    assert all(each["ours_ms"] > 0 and each["least_ms"] > 0 for each in found["operations"])
