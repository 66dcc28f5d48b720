"""Where frames begin and end, without a websocket."""

from __future__ import annotations

from itertools import pairwise

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandboxkit_eci.frames import ENOUGH, FrameCutter

from .endpoints import frame

MANY = 1000


@attrs.define
class Taken:
    """What a cutter has given."""

    messages: list[bytes] = attrs.field(factory=list)
    """Whole binary messages."""
    others: bytes = b""
    begun: bytes = b""
    """What has come of a message that has not ended."""

    def take(self, cutter: FrameCutter, data: bytes, most: int = MANY) -> Taken:
        pieces, rest = cutter.cut(memoryview(data), most)
        assert rest == b""
        for piece, last in pieces:
            if last is None:
                self.others += piece
            else:
                self.begun += piece
                if last:
                    self.messages.append(self.begun)
                    self.begun = b""
        return self


def masked(data: bytes) -> bytes:
    plain = frame(data)
    size = len(plain) - len(data)
    return bytes([plain[0], plain[1] | 0x80]) + plain[2:size] + bytes(4) + data


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_a_binary_message_is_its_bytes(size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert Taken([data]) == Taken().take(FrameCutter(), frame(data))


@pytest.mark.parametrize(
    "other",
    [
        frame(b"\x01text", 1),
        frame(b"ping", 9),
        frame(b"", 10),
        frame(b"\x03\xe8", 8),
        frame(b"continued from nothing", 0),
        frame(b"reserved", 3),
        b"\xc2" + frame(b"an extension's")[1:],
        masked(b"a client's"),
        masked(b"a client's" * 100),
    ],
    ids=lambda other: other[:2].hex(),
)
def test_any_other_frame_is_left_as_it_came(other: bytes) -> None:
    before, after = frame(b"before"), frame(b"after")
    assert Taken([b"before", b"after"], other) == Taken().take(FrameCutter(), before + other + after)


@pytest.mark.parametrize("opcode", [1, 2])
def test_a_message_in_several_frames_is_left_as_it_came_until_its_end(opcode: int) -> None:
    begin = frame(b"be", opcode, last=False) + frame(b"gin", 0, last=False) + frame(b"", 9)
    # A message that begins within another is a fault, and not ours to judge.
    wrong = frame(b"wrong")
    end = frame(b"end", 0)
    cutter = FrameCutter()
    assert Taken([], begin + wrong) == Taken().take(cutter, begin + wrong)
    assert Taken([b"whole"], end) == Taken().take(cutter, end + frame(b"whole"))


def test_a_small_message_is_given_when_all_of_it_has_come() -> None:
    data = b"x" * ENOUGH
    whole = frame(data)
    cutter, taken = FrameCutter(), Taken()
    for start, end in pairwise([0, 1, 3, 9, 100, len(whole) - 1]):
        assert Taken() == taken.take(cutter, whole[start:end])
    assert Taken([data]) == taken.take(cutter, whole[-1:])


def test_a_large_message_is_given_as_it_comes_but_not_in_small_pieces() -> None:
    data = bytes(range(256)) * 2048
    whole = frame(data)
    cutter, sizes, came = FrameCutter(), [], b""
    for at in range(0, len(whole), 10_000):
        for piece, last in cutter.cut(memoryview(whole[at : at + 10_000]), MANY)[0]:
            came += piece
            assert last == (len(came) == len(data))
            sizes.append(len(piece))
    assert data == came
    assert len(sizes) == len(data) // 70_000 + 1
    assert all(ENOUGH <= size < ENOUGH + 10_000 for size in sizes[:-1])


def test_no_more_is_given_than_was_asked_for() -> None:
    cutter, rest = FrameCutter(), memoryview(frame(b"x") * 10)
    for count, left in ((3, 7), (3, 4), (3, 1), (1, 0)):
        pieces, rest = cutter.cut(rest, 3)
        assert [(b"x", True)] * count == pieces
        assert frame(b"x") * left == rest


FRAMES = st.one_of(
    st.binary(max_size=300).map(frame),
    st.tuples(st.binary(max_size=125), st.sampled_from([0, 1, 2, 8, 9, 10]), st.booleans()).map(
        lambda drawn: frame(drawn[0], drawn[1], last=drawn[2])
    ),
    st.binary(max_size=300).map(masked),
)


@given(st.lists(FRAMES, max_size=8), st.data())
def test_it_does_not_matter_how_the_bytes_come(frames: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    cutter, taken = FrameCutter(enough=100), Taken()
    for start, end in pairwise([0, *cuts, len(stream)]):
        taken.take(cutter, stream[start:end])
    assert Taken().take(FrameCutter(), stream) == taken
    assert len(stream) == len(taken.others) + sum(len(frame(message)) for message in taken.messages)
