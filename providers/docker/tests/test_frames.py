"""Docker's frames, split anywhere, come out as they went in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandboxkit_docker.frames import HEADER, BadFrame, FrameParser

FRAMES = st.lists(st.tuples(st.sampled_from((1, 2)), st.binary(max_size=40)), max_size=8)


def encode(frames: list[tuple[int, bytes]]) -> bytes:
    return b"".join(HEADER.pack(stream, len(data)) + data for stream, data in frames)


def joined(chunks: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    """Join what is next to each other in one stream, and drop what is empty: a frame's borders mean nothing."""
    out: list[tuple[int, bytes]] = []
    for stream, data in chunks:
        if out and data and out[-1][0] == stream:
            out[-1] = (stream, out[-1][1] + data)
        elif data:
            out.append((stream, data))
    return out


@given(frames=FRAMES)
def test_every_split_into_two_gives_the_same(frames: list[tuple[int, bytes]]) -> None:
    whole = encode(frames)
    for cut in range(len(whole) + 1):
        parser = FrameParser()
        got = parser.feed(whole[:cut]) + parser.feed(whole[cut:])
        assert joined(frames) == joined(got)
        assert parser.between_frames


@given(frames=FRAMES, sizes=st.lists(st.integers(1, 11), min_size=1, max_size=30))
def test_any_split_gives_the_same(frames: list[tuple[int, bytes]], sizes: list[int]) -> None:
    whole, parser, got, turn = encode(frames), FrameParser(), [], 0
    while whole:
        size = sizes[turn % len(sizes)]
        got += parser.feed(whole[:size])
        whole, turn = whole[size:], turn + 1
    assert joined(frames) == joined(got)


@given(data=st.binary(min_size=8, max_size=64))
def test_what_is_no_frame_is_refused_or_read_but_never_lost(data: bytes) -> None:
    parser = FrameParser()
    try:
        got = parser.feed(data)
    except BadFrame:
        return
    assert sum(len(part) for _, part in got) <= len(data) - HEADER.size


def test_the_part_of_a_frame_that_has_arrived_is_given_at_once() -> None:
    parser = FrameParser()
    assert parser.feed(HEADER.pack(1, 5) + b"fi") == [(1, b"fi")]
    assert not parser.between_frames
    assert parser.feed(b"rst") == [(1, b"rst")]
    assert parser.between_frames


def test_neighbours_of_one_stream_are_joined_and_others_stay_in_order() -> None:
    data = encode([(1, b"a"), (1, b"b"), (2, b"c"), (1, b""), (1, b"d")])
    assert FrameParser().feed(data) == [(1, b"ab"), (2, b"c"), (1, b"d")]


def test_a_cut_header_is_not_an_end() -> None:
    parser = FrameParser()
    assert parser.feed(HEADER.pack(1, 1)[:3]) == []
    assert not parser.between_frames


@pytest.mark.parametrize("header", [b"\x04\0\0\0\0\0\0\1", b"HTTP/1.1", b"\1\0\1\0\0\0\0\1"])
def test_a_bad_header_is_an_error(header: bytes) -> None:
    with pytest.raises(BadFrame):
        FrameParser().feed(header + b"x")
