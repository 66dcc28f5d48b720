"""The benchmarks still run, and what they do is still right; how long it takes is nobody's business here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmarks.trial import output, require

COMMANDS = {
    "run true",
    "run true, timeout",
    "10 MB of output",
    "write 1 KB",
    "read 1 KB",
    "write 10 MB",
    "read 10 MB",
    "tmux poll",
    "100 MB of output",
}
OPERATIONS = COMMANDS | {
    "create",
    "delete",
    "upload 2,000 files",
    "download 2,000 files",
    "upload 100 MB",
    "download 100 MB",
}
WAYS = {
    "local": {"local": OPERATIONS},
    "docker": {
        "docker": OPERATIONS,
        "docker, in a row": {
            "run true",
            "run true, timeout",
            "write 1 KB",
            "write 1 KB, new file",
            "read 1 KB",
            "tmux poll",
        },
        "docker, cold": COMMANDS,
        "docker, warm over cold": {"10 MB of output", "write 10 MB", "read 10 MB"},
    },
}


@pytest.mark.parametrize("provider", ["local", "docker"])
def test_one_round_of_the_benchmarks_gives_every_figure(provider: str, tmp_path: Path) -> None:
    require(provider)
    files = ["--json", str(tmp_path / "json"), "--markdown", str(tmp_path / "markdown")]
    printed = output("tests.benchmarks", "--provider", provider, "--rounds", "1", *files)
    found = json.loads((tmp_path / "json").read_text())
    for way, names in WAYS[provider].items():
        assert {row["name"] for row in found["operations"] if row["provider"] == way} == names
    assert all(row["ours_ms"] > 0 for row in found["operations"])
    assert [memory["output_mb"] for memory in found["memory"]] == [10, 100]
    assert all(memory["growth_mib"] > 0 for memory in found["memory"])
    assert (tmp_path / "markdown").read_text() == printed
