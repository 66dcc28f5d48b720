"""Frames survive any cutting, and what is no frame is refused."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandboxkit_local.wire import MAX_FRAME, FrameError, FrameReader, frame, pack, unpack

lists = st.lists(st.binary(max_size=40), max_size=8)


@settings(database=None)
@given(lists)
def test_lists_come_back(items: list[bytes]) -> None:
    assert unpack(pack(items)) == items


@settings(database=None)
@given(st.lists(lists, max_size=5), st.integers(1, 50))
def test_frames_come_back_however_they_are_cut(messages: list[list[bytes]], size: int) -> None:
    stream = b"".join(frame(*items) for items in messages)
    reader = FrameReader()
    found = [items for at in range(0, len(stream), size) for items in reader.feed(stream[at : at + size])]
    assert found == messages


@settings(database=None)
@given(st.binary(max_size=200))
def test_other_bytes_are_frames_or_an_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(FrameError):
        FrameReader().feed(data)
    with contextlib.suppress(FrameError):
        assert pack(unpack(data)) == data


def test_a_frame_that_is_too_long_is_refused_before_it_is_there() -> None:
    with pytest.raises(FrameError):
        FrameReader().feed((MAX_FRAME + 1).to_bytes(4, "little"))
