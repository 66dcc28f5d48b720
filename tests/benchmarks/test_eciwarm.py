"""The benchmark of ``eci``'s kept channels runs, and its counts add up; how long it takes is nobody's business."""

from __future__ import annotations

import json

from tests.benchmarks.trial import output, require


def test_a_small_run_gives_every_figure() -> None:
    require("local")
    small = ["--rounds=1", "--round-trip=2", "--fleet=3", "--idle=3", "--seconds=2"]
    printed = output("tests.benchmarks.eciwarm", *small)
    found = json.loads(printed)
    names = [each["name"] for each in found["far"]]
    assert names == ["run true", "run true, timeout", "write 1 KB", "read 1 KB", "tmux poll"]
    # Without a kept channel each is a call of the API, a connection, the websocket's handshake and the command.
    assert all(each["cold_round_trips"] >= 4 and each["cold_api_calls"] == 1 for each in found["far"])
    assert all(each["round_trips"] >= 1 for each in found["far"])
    assert found["fleet"]["polls"] == 6
    assert found["fleet"]["otherwise"] == 18
    assert found["fleet"]["calls"]["CreateContainerGroup"] == 3
    assert found["fleet"]["calls"]["ExecContainerCommand"] >= 3
    assert found["idle"]["sandboxes"] == 3
    assert found["idle"]["busy"] >= 0
