"""The benchmark of many callers runs, and its shares can be true; how fast it is is nobody's business."""

from __future__ import annotations

import json
from itertools import product

from tests.benchmarks.trial import output, require


def test_a_small_run_gives_every_figure() -> None:
    require("docker")
    small = ["--rounds=1", "--part=0.1", "--idle=1"]
    printed = output("tests.benchmarks.callers", *small)
    found = json.loads(printed)
    ways = {(each["world"], each["callers"], each["warm"]) for each in found["rates"]}
    assert ways == set(product(("blocking", "asyncio"), (1, 4, 8), (True, False)))
    for each in found["rates"]:
        assert each["per_second"] > 0
        assert 0 < each["client"] <= found["machine"]["cores"] + 1
    assert sum(each["sandbox"] for each in found["rates"]) > 0
    assert [each["world"] for each in found["memory"]] == ["blocking", "asyncio"]
