"""Input over a kept channel: all of it arrives, none of it is taken for a request."""

from __future__ import annotations

import os

import pytest

from sandboxkit import runner
from sandboxkit.launcher import BLOCK
from sandboxkit.model import Command, Stdin
from tests.support.hostshell import HostShell
from tests.support.warmside import (
    Stage,
    check_clean,
    check_opened,
)

MISLEADING = (
    b"\0", b"\n", b"a\0b\n\0", b"'", b"''\n'", b"\\", b"\\n\\0101\\c", b"%s%d%%", b"-n", b"--", b"\xff\xfe\x80",
    b"\x1e", b"no newline", b"newline\n", b"\n\n\n", bytes(range(256)), b"$(exit)`exit`\"$x\"", b" ", b"0\n", b"\r\n",
)  # fmt: skip


def test_misleading_input_arrives_as_it_is(shell: Stage) -> None:
    for data in MISLEADING:
        assert data == shell.exec(["cat"], input=data).stdout
    everything = b"".join(MISLEADING)
    for data in (everything, everything * 50):
        assert data == shell.exec(["cat"], input=data).stdout
    check_opened(shell, 1)


@pytest.mark.parametrize("around", [0, 1, runner.EMBEDDED, runner.LONGEST_LINE, BLOCK, 3 * BLOCK, 1_000_003])
def test_input_of_every_size_arrives_whole_and_ends(shell: Stage, around: int) -> None:
    for size in range(max(0, around - 1), around + 2):
        data = os.urandom(size)
        assert data == shell.exec(["cat"], input=data).stdout
    check_opened(shell, 1)


def test_input_that_was_not_read_is_no_request(place: Stage) -> None:
    # It looks like requests, and like the line that must follow the input.
    data = b"printf stolen;exit 9\n" * 300 + b"K" + b"0" * 32 + b"\n"
    for _ in range(3):
        assert place.told(["true"], input=data) == (0, b"", b"")
        assert place.told(["dd", "bs=4000", "count=1", "status=none"], input=data)[0] == 0
        check_clean(place)


def test_input_whose_reader_was_killed_is_no_request(shell: Stage) -> None:
    # What passes the input on dies with the group when all of it was sent and the last block was not passed on: lines
    # of it are left where requests come.
    line = b"printf stolen >&3;printf stolen >&4\n"
    data = line * (2 * BLOCK // len(line) + 1000)
    for _ in range(3):
        script = "trap '' INT; sleep 0.2; kill -INT 0; echo out; exit 6"
        assert shell.told(script, input=data) == (6, b"out\n", b"")
        check_clean(shell)


def test_requests_of_any_length_run(shell: Stage) -> None:
    for size in range(runner.LONGEST_LINE - 400, runner.LONGEST_LINE + 50, 3):
        assert shell.exec(["printf", "%s", "x" * size]).text == "x" * size
    for size in (90_000, 99_990, 100_000, 110_000, 130_000):
        assert len(shell.exec(["printf", "%s", "x\n" * (size // 2)]).stdout) == size
    assert shell.exec("printf '%s\n' a\n: " + "x" * 300_000 + "\nprintf b").text == "a\nb"
    check_clean(shell)


def program(text: str, *words: bytes) -> Command:
    stdin = Stdin(kind="raw", exact=True)
    return Command(argv=(b"/bin/sh", b"-c", text.encode(), b"sh", *words), stdin=stdin, is_program=True)


async def converse(host: HostShell, command: Command, data: bytes) -> tuple[int | None, bytes]:
    """Run a program, whatever it reads of its input."""
    process = await host.start_process("host", command, until=None)
    rest, output = memoryview(data), b""
    while process.report is None:
        turn = await process.exchange(rest, until=host.world.now() + 20)
        rest = rest[turn.sent :]
        output += b"".join(chunk.data for chunk in turn.chunks if chunk.stream == 1)
        assert turn.sent or turn.chunks or process.report is not None or not turn.closed
    await process.close()
    return process.report.exit_code, output


def test_a_program_that_has_read_its_input_keeps_the_channel(place: Stage) -> None:
    text = 'printf "%s " "$@";dd bs=10 count=1 iflag=fullblock 2>/dev/null'
    for word in (b"a", b"b c", b"'", b"\n", b"\\n", b"-n"):
        assert (0, word + b" 0123456789") == place.go(converse(place.host, program(text, word), b"0123456789"))
    check_clean(place)
    check_opened(place, 1)


@pytest.mark.parametrize("size", [11, 1000, 1_000_000])
def test_a_program_that_fails_half_way_through_its_input_is_the_channels_last(place: Stage, size: int) -> None:
    text = "dd bs=10 count=1 iflag=fullblock 2>/dev/null;exit 3"
    data = b"0123456789" + (b"\nprintf stolen\n" * (size // 15 + 1))[: size - 10]
    assert place.go(converse(place.host, program(text), data)) == (3, b"0123456789")
    check_clean(place)
    check_opened(place, 2)


def test_more_programs_than_a_runner_keeps_stay_apart(shell: Stage) -> None:
    for _ in range(2):
        for number in range(runner.MOST_SCRIPTS + 5):
            text = f'printf %s {number} "$1"\n[ $# = 1 ]&&__x=1;cd /;umask 0;exit 0 # it\'s'
            assert (0, b"%dw" % number) == shell.go(converse(shell.host, program(text, b"w"), b""))
    check_clean(shell)
    check_opened(shell, 1)
