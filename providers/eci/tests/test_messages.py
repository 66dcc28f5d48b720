"""Websocket messages of an exec, parsed without a websocket."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandboxkit_eci.messages import MessageParser, encode_resize, encode_stdin, refusal

from sandboxkit.model import STDERR, STDOUT, Chunk, TerminalSize


@pytest.mark.parametrize(
    ("message", "chunks"),
    [
        (b"\x01out\x00\xff", [Chunk(STDOUT, b"out\x00\xff")]),
        (b"\x02err", [Chunk(STDERR, b"err")]),
        (b"", []),
        (b"\x01", []),
        (b"\x02", []),
        (b"\x00stdin", []),
        (b"\x03words", []),
        (b"\x04{}", []),
        (b"\x05unknown", []),
        (b"\xffunknown", []),
        (bytearray(b"\x01out"), [Chunk(STDOUT, b"out")]),
        ("", []),
        ("plain", [Chunk(STDOUT, b"plain")]),
        ("\x01text ✓", [Chunk(STDOUT, "text ✓".encode())]),
        ("\x02text", [Chunk(STDERR, b"text")]),
        ("\x03words", []),
        ("1aGVsbG8=", [Chunk(STDOUT, b"hello")]),
        ("2aGVsbG8=", [Chunk(STDERR, b"hello")]),
        ("3aGVsbG8=", []),
        ("1", []),
        ("1 potato", [Chunk(STDOUT, b"1 potato")]),
        ("caf\udce9", [Chunk(STDOUT, b"caf\xe9")]),
    ],
)
def test_a_message_is_its_channels_bytes(message: bytes | str, chunks: list[Chunk]) -> None:
    assert chunks == MessageParser().feed(message)


def test_a_server_that_sent_base64_is_taken_to_go_on_so() -> None:
    parser = MessageParser()
    assert parser.feed("1") == []
    assert [Chunk(STDOUT, b"hello")] == parser.feed("1aGVsbG8=")
    assert [Chunk(STDERR, b"\xff")] == parser.feed("2/w==")


def test_a_server_that_sent_plain_text_is_taken_to_go_on_so() -> None:
    parser = MessageParser()
    parser.feed("token:P1,2,3;")
    assert [Chunk(STDOUT, b"1aGVsbG8=")] == parser.feed("1aGVsbG8=")
    assert [Chunk(STDOUT, b"1")] == parser.feed("1")


def test_fragments_are_given_as_they_come_and_belong_to_the_first_ones_channel() -> None:
    parser = MessageParser()
    assert parser.feed(b"", last=False) == []
    assert [Chunk(STDERR, b"a")] == parser.feed(b"\x02a", last=False)
    assert [Chunk(STDERR, b"\x01b")] == parser.feed(b"\x01b", last=False)
    assert parser.feed(b"") == []
    assert [Chunk(STDOUT, b"c")] == parser.feed(b"\x01c")


def test_fragments_of_text_are_one_text() -> None:
    parser = MessageParser()
    assert parser.feed("1aGVs", last=False) == []
    assert [Chunk(STDOUT, b"hello")] == parser.feed("bG8=")


def test_stdin_and_sizes_have_their_channels() -> None:
    assert encode_stdin(memoryview(b"in\x00")) == b"\x00in\x00"
    assert encode_resize(TerminalSize(rows=40, columns=100)) == b'\x04{"Width":100,"Height":40}'


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"", ""),
        (b"OCI runtime exec failed: no /bin/sh\n", "OCI runtime exec failed: no /bin/sh"),
        (b"command terminated with non-zero exit code: 3", ""),
        (b"command terminated with exit code 137", ""),
        (b'{"metadata":{},"status":"Success"}', ""),
        (b'{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated"}', ""),
        (b'{"status":"Failure","reason":"NotFound","message":"container not found"}', "container not found"),
        (b'{"status":"Failure"}', '{"status":"Failure"}'),
        (b"[1]", "[1]"),
        (b"\xff\xfe", "��"),
        (b"x" * 1000, "x" * 300),
    ],
)
def test_the_services_words_tell_a_failed_start_from_a_command_that_ended(said: bytes, words: str) -> None:
    assert words == refusal(said)


def test_words_that_follow_output_are_no_refusal() -> None:
    parser = MessageParser()
    parser.feed(b"\x03container ")
    parser.feed(b"\x03not found")
    assert parser.refusal == "container not found"
    parser.feed(b"\x01x")
    assert parser.refusal == ""


@given(st.lists(st.tuples(st.sampled_from([1, 2]), st.binary()), max_size=30), st.data())
def test_output_survives_any_split_into_fragments(pieces: list[tuple[int, bytes]], data: st.DataObject) -> None:
    parser = MessageParser()
    out = {STDOUT: b"", STDERR: b""}
    for channel, payload in pieces:
        message = bytes([channel]) + payload
        cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
        for number, (start, end) in enumerate(pairwise([0, *cuts, len(message)])):
            for chunk in parser.feed(message[start:end], last=number == len(cuts)):
                out[chunk.stream] += chunk.data
    for stream in (STDOUT, STDERR):
        assert b"".join(payload for channel, payload in pieces if channel == stream) == out[stream]


@given(st.lists(st.tuples(st.sampled_from("12"), st.binary(min_size=1)), max_size=30))
def test_base64_is_given_decoded(pieces: list[tuple[str, bytes]]) -> None:
    parser = MessageParser()
    out = [chunk for channel, data in pieces for chunk in parser.feed(channel + base64.b64encode(data).decode())]
    assert [Chunk(STDOUT if channel == "1" else STDERR, data) for channel, data in pieces] == out


@given(st.lists(st.tuples(st.one_of(st.binary(), st.text()), st.booleans())))
def test_nothing_that_a_server_sends_is_too_much(messages: list[tuple[bytes | str, bool]]) -> None:
    parser = MessageParser()
    for message, last in messages:
        for chunk in parser.feed(message, last=last):
            assert chunk.data
            assert chunk.stream in (STDOUT, STDERR)
    assert isinstance(parser.refusal, str)
