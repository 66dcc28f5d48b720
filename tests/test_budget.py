"""Output is kept by head and tail, exactly within the budget."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.budget import HeadTail, Output
from sandboxkit.model import STDERR, STDOUT, Chunk


@given(st.integers(0, 50), st.lists(st.binary(max_size=30), max_size=20))
def test_head_and_tail_are_what_a_whole_copy_would_give(limit: int, pieces: list[bytes]) -> None:
    kept = HeadTail(limit)
    for piece in pieces:
        kept.add(piece)
    whole = b"".join(pieces)
    head = limit - limit // 2
    expected = whole if len(whole) <= limit else whole[:head] + whole[len(whole) - limit // 2 :]
    assert kept.value() == (expected, len(whole) - len(expected))


def test_without_a_limit_all_is_kept() -> None:
    kept = HeadTail(None)
    for _ in range(100):
        kept.add(b"x" * 1000)
    assert kept.value() == (b"x" * 100_000, 0)


def test_memory_stays_within_the_budget_and_one_piece() -> None:
    kept = HeadTail(1000)
    for _ in range(10_000):
        kept.add(b"y" * 100)
    assert sum(map(len, kept._tail)) + sum(map(len, kept._head)) <= 1100
    assert kept.value()[1] == 1_000_000 - 1000


def test_one_stream_does_not_crowd_out_the_other() -> None:
    output = Output(100)
    output.add([Chunk(STDOUT, b"a" * 1000), Chunk(STDERR, b"the reason")])
    result = output.result(1)
    assert result.stderr == b"the reason"
    assert (result.stdout_dropped, result.stderr_dropped) == (900, 0)
    assert result.truncated
