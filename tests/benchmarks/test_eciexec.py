"""The benchmark of ``eci``'s output runs and fails when a byte is wrong; how long it takes is nobody's business."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from sandboxkit import Chunk, Result
from sandboxkit.model import STDERR, STDOUT
from tests.benchmarks.eciexec import expect
from tests.benchmarks.plainwebsocket import joined
from tests.benchmarks.trial import output


def test_a_small_run_gives_every_figure() -> None:
    sizes = (4_000, 300_000)
    messages = [f"--message={size}" for size in sizes]
    printed = output("tests.benchmarks.eciexec", "--megabytes=1", "--rounds=2", *messages)
    found = json.loads(printed)
    measured = {(each["message"], each["world"], each["doing"]) for each in found["output"]}
    assert measured == set(product(sizes, ("blocking", "asyncio"), ("spawn", "exec", "exec, joined")))
    libraries = {(each["world"], each["library"].partition(" ")[0]) for each in found["output"]}
    assert libraries == {("blocking", "websocket-client"), ("asyncio", "websockets")}
    assert all(each[figure] > 0 for each in found["output"] for figure in ("ratio", "cpu_ratio"))
    assert all(each[side]["mb_per_second"] > 0 for each in found["output"] for side in ("ours", "alone"))
    assert all(found["server"][str(size)]["mb_per_second"] > 0 for size in sizes)


@pytest.mark.parametrize(
    "right",
    [
        Result(exit_code=0, stdout=b"abcd", stderr=b""),
        [Chunk(STDOUT, b"ab"), Chunk(STDOUT, b"cd")],
        [b"\x01ab", b"\x01cd"],
        [b"\x01", b"\x01abcd"],
        joined([b"\x01ab", b"\x01cd"]),
    ],
)
def test_the_right_output_passes(right: Any) -> None:
    expect(b"abcd")(right)


@pytest.mark.parametrize(
    "wrong",
    [
        Result(exit_code=0, stdout=b"abdc", stderr=b""),
        Result(exit_code=0, stdout=b"abcd", stderr=b"x"),
        Result(exit_code=0, stdout=b"abcd", stderr=b"", stdout_dropped=1),
        Result(exit_code=1, stdout=b"abcd", stderr=b""),
        [Chunk(STDOUT, b"cd"), Chunk(STDOUT, b"ab")],
        [Chunk(STDOUT, b"abcd"), Chunk(STDERR, b"x")],
        [b"\x01ab"],
        [b"\x01abcd", b"\x02x"],
        [b"\x01abcd", b"\x03exit status 1"],
        [],
    ],
)
def test_any_other_output_does_not(wrong: Any) -> None:
    with pytest.raises(AssertionError):
        expect(b"abcd")(wrong)
