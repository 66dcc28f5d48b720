"""The launcher's records are found wherever the stream is cut, and nothing that imitates one is."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.records import Record, RecordScanner

TOKEN = b"K0123456789abcdef0123456789abcdef"


def scan(pieces: list[bytes]) -> tuple[bytes, list[Record], RecordScanner]:
    scanner = RecordScanner(TOKEN)
    output, records = [], []
    for piece in pieces:
        data, found = scanner.feed(piece)
        output += data
        records += found
    return b"".join(output), records, scanner


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


# Pieces of the token make the stream as misleading as it can be.
misleading = st.lists(
    st.one_of(st.binary(max_size=40), st.integers(0, 31).map(lambda n: TOKEN[:n]), st.just(TOKEN[5:])), max_size=8
).map(b"".join)


@given(misleading, misleading, st.lists(st.integers(0, 10_000), max_size=20))
def test_output_and_records_come_apart_at_any_cut(before: bytes, between: bytes, places: list[int]) -> None:
    if TOKEN in before or TOKEN in between:
        return
    stream = before + TOKEN + b":P12,3,4;" + between + TOKEN + b":E7,0;" + b"left behind"
    output, records, scanner = scan(cut(stream, places))
    assert output == before + between
    assert records == [Record(b"P", (b"12", b"3", b"4")), Record(b"E", (b"7", b"0"))]
    assert scanner.ended


@given(misleading, st.lists(st.integers(0, 10_000), max_size=20))
def test_a_stream_without_records_is_given_whole(data: bytes, places: list[int]) -> None:
    if TOKEN in data:
        return
    output, records, scanner = scan(cut(data, places))
    assert output + scanner.flush() == data
    assert records == []


def test_a_token_without_an_end_does_not_grow_for_ever() -> None:
    output, records, scanner = scan([TOKEN + b":"] + [b"x" * 50] * 4)
    assert records == []
    assert output.startswith(TOKEN)
    assert len(scanner.flush()) < 200
