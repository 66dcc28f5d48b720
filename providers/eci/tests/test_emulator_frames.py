"""An exec's messages, made and read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandboxkit_eci.emulator import frames
from sandboxkit_eci.emulator.frames import Size, Splitter, decode, decode_size, encode

ENCODINGS: tuple[frames.Encoding, ...] = ("binary", "text", "base64")


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(channel=st.integers(0, 4), data=st.binary(max_size=300))
def test_what_is_encoded_is_decoded(encoding: frames.Encoding, channel: int, data: bytes) -> None:
    assert decode(encode(channel, data, encoding)) == (channel, data)


def test_each_encoding_is_what_it_is_called() -> None:
    assert encode(1, b"a\xff") == b"\x01a\xff"
    assert encode(1, "é".encode(), "text") == "\x01é"
    assert encode(1, b"a\xff", "text") == b"\x01a\xff"
    assert encode(2, b"a\xff", "base64") == "2Yf8="


@pytest.mark.parametrize("message", [b"", "", "x", "1@@@", "1YQ"])
def test_what_is_no_message_is_none(message: bytes | str) -> None:
    assert decode(message) is None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 70000])
def test_a_frame_is_one_that_a_client_reads(size: int) -> None:
    from websockets.client import ClientProtocol
    from websockets.frames import Frame, Opcode
    from websockets.protocol import State
    from websockets.uri import parse_uri

    client = ClientProtocol(parse_uri("ws://localhost/"), state=State.OPEN)
    client.receive_data(frames.wrap(b"x" * size) + frames.wrap("é" + "x" * size))
    assert client.events_received() == [
        Frame(Opcode.BINARY, b"x" * size),
        Frame(Opcode.TEXT, "é".encode() + b"x" * size),
    ]


def test_a_size_is_read() -> None:
    assert decode_size(b'{"Width":80,"Height":24}') == Size(24, 80)


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"7", b'{"Width":80}', b'{"Width":"80","Height":24}', b'{"Width":0,"Height":24}', b"\xff",
     b'{"Width":80,"Height":65536}', b'{"Width":true,"Height":24}'],
)  # fmt: skip
def test_what_is_no_size_is_none(data: bytes) -> None:
    assert decode_size(data) is None


@given(
    data=st.binary(max_size=5000),
    split=st.one_of(st.none(), st.just("random"), st.integers(1, 700)),
    first=st.one_of(st.none(), st.integers(0, 6000)),
)
def test_pieces_joined_are_what_was_cut(data: bytes, split: frames.Split, first: int | None) -> None:
    pieces = list(Splitter(split, first).cut(data))
    assert b"".join(pieces) == data
    assert all(pieces)


def test_a_splitter_cuts_where_it_is_told() -> None:
    splitter = Splitter(2, first=5)
    assert [bytes(piece) for piece in splitter.cut(b"abcd")] == [b"ab", b"cd"]
    assert [bytes(piece) for piece in splitter.cut(b"efghij")] == [b"e", b"fghij"]


def test_a_large_output_is_cut_into_messages() -> None:
    assert [len(piece) for piece in Splitter().cut(bytes(frames.MESSAGE + 1))] == [frames.MESSAGE, 1]


def test_an_exit_status_says_the_code() -> None:
    assert json.loads(frames.exit_status(0))["status"] == "Success"
    failed = json.loads(frames.exit_status(3))
    assert failed["details"]["causes"] == [{"reason": "ExitCode", "message": "3"}]
    assert json.loads(frames.exit_status(None))["status"] == "Failure"
