"""What a runner is sent: requests that are one line each, or announce their length."""

from __future__ import annotations

import subprocess

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.launcher import Ticket
from sandboxkit.model import Command, Stdin
from sandboxkit.runner import (
    EMBEDDED,
    LARGEST_REQUEST,
    LONGEST_LINE,
    MOST_SCRIPTS,
    fits,
    is_embedded,
    is_fed,
    request,
)

TICKET = Ticket(b"K" + b"0" * 32, 2**30)
words = st.binary(min_size=1, max_size=80).map(lambda word: word.replace(b"\0", b"\n"))


def known(data: bytes) -> Stdin:
    return Stdin(kind="known", length=len(data), data=data)


def program(text: bytes) -> Command:
    return Command(argv=(b"/bin/sh", b"-c", text, b"sh"), is_program=True)


@given(st.lists(words, min_size=1, max_size=5), st.binary(max_size=200))
def test_a_short_request_is_one_line_without_a_nul(argv: list[bytes], data: bytes) -> None:
    command = Command(argv=tuple(argv), env={"NAME": argv[0]}, cwd=argv[-1], stdin=known(data) if data else Stdin())
    made = request(command, TICKET, {})
    assert made.count(b"\n") == 1
    assert made.endswith(b"\n")
    assert b"\0" not in made


@given(st.binary(max_size=6000))
def test_a_request_is_a_complete_statement_to_a_shell(data: bytes) -> None:
    command = Command(argv=(b"printf", b"%s", data.replace(b"\0", b"")), timeout=1.5, stdin=known(data or b"x"))
    made = request(command, TICKET, {})
    if made.startswith(b"__long "):
        length, _, made = made.partition(b"\n")
        assert int(length.split()[1]) == len(made)
        assert not made.endswith(b"\n")
    checked = subprocess.run(["sh", "-n"], input=made, capture_output=True)
    assert (checked.returncode, checked.stderr) == (0, b"")


@pytest.mark.parametrize("size", [LONGEST_LINE, 50_000, LARGEST_REQUEST])
def test_a_long_request_that_lacks_any_byte_of_its_end_is_no_statement(size: int) -> None:
    made = request(Command(argv=(b"true", b"x" * size)), TICKET, {}).partition(b"\n")[2]
    for missing in (1, 2, 3, 10, 100):
        assert subprocess.run(["sh", "-n"], input=made[:-missing], capture_output=True).returncode != 0


def test_what_has_no_known_end_or_is_very_long_does_not_fit() -> None:
    command = Command(argv=(b"cat",))
    assert fits(command)
    assert fits(attrs.evolve(command, stdin=known(b"x" * 1_000_000)))
    assert fits(attrs.evolve(command, stdin=Stdin(kind="raw", exact=True)))
    assert not fits(attrs.evolve(command, stdin=Stdin(kind="raw")))
    assert not fits(attrs.evolve(command, stdin=Stdin(kind="stream")))
    assert not fits(attrs.evolve(command, env={"A": b"x" * LARGEST_REQUEST}))
    assert not fits(Command(text=b"x" * (LARGEST_REQUEST + 1)))


def test_small_input_goes_within_the_request_and_larger_behind_it() -> None:
    for size, within in ((1, True), (EMBEDDED, True), (EMBEDDED + 1, False)):
        command = Command(argv=(b"cat",), stdin=known(b"x" * size))
        assert (size, is_embedded(command), is_fed(command)) == (size, within, not within)


def test_a_program_is_told_once_as_long_as_the_runner_keeps_it() -> None:
    scripts: dict[bytes, bytes] = {}
    assert b"printf told" in request(program(b"printf told"), TICKET, scripts)
    assert b"printf told" not in request(program(b"printf told"), TICKET, scripts)
    for number in range(MOST_SCRIPTS):
        request(program(b"printf %d" % number), TICKET, scripts)
    assert len(scripts) == len(set(scripts.values())) == MOST_SCRIPTS
    assert b"printf told" in request(program(b"printf told"), TICKET, scripts)


def test_another_commands_token_and_mark_are_in_no_request() -> None:
    scripts: dict[bytes, bytes] = {}
    first, second = Ticket(), Ticket()
    request(program(b"true"), first, scripts)
    made = request(program(b"true"), second, scripts)
    assert second.token in made
    assert first.token not in made
