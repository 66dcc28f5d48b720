"""``sandboxkit sh`` on a terminal, as a person uses it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from typing import Any, Self

import pytest

from tests import test_cli
from tests.test_cli import PATIENCE, PYTHON, Cli, default_signals, sandboxkit

cli = test_cli.cli
reach = test_cli.reach


class Person:
    """Someone at a terminal of 30 rows and 90 columns in which a command runs."""

    def __init__(self, words: list[str], **env: str) -> None:
        self.leader, follower = pty.openpty()
        self.resize(30, 90)
        self.before = termios.tcgetattr(self.leader)

        def sit_down() -> None:
            default_signals()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            [*PYTHON, "-m", "sandboxkit.cli", *words],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
            preexec_fn=sit_down,
            env={**os.environ, "TERM": "xterm-color", **env},
        )
        self.follower = follower  # kept, so that what is left of the settings can be looked at
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.leader, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))

    def types(self, text: str) -> None:
        os.write(self.leader, text.encode())

    def sees(self, text: str) -> str:
        """Wait until it is shown; give what was shown up to there."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self.seen:
            readable, _, _ = select.select([self.leader], [], [], max(0.0, end - time.monotonic()))
            assert readable, f"{text!r} was not shown, only {self.seen!r}"
            self.seen += os.read(self.leader, 65536)
        shown, _, self.seen = self.seen.partition(text.encode())
        return (shown + text.encode()).decode("utf-8", "replace")

    def leaves(self) -> int:
        """Wait for the end; give the exit code."""
        end = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < end:
            if select.select([self.leader], [], [], 0.05)[0]:
                self.seen += os.read(self.leader, 65536)
        while select.select([self.leader], [], [], 0)[0]:
            self.seen += os.read(self.leader, 65536)
        return self.process.wait(0)

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.leader)[3] & termios.ICANON

    @property
    def finds_it_as_before(self) -> bool:
        return termios.tcgetattr(self.leader) == self.before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: Any) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.leader)
        os.close(self.follower)


@pytest.fixture
def person(cli: Cli) -> Iterator[Person]:
    words = cli.arguments("--", "env", "PS1=$ ", "sh")
    with Person(["sh", *map(os.fsdecode, words[1:])]) as made:
        yield made


def test_it_is_a_terminal_of_this_size_and_kind(person: Person) -> None:
    person.sees("$ ")
    assert person.is_raw
    person.types("stty size; echo $TERM; exit 42\n")
    person.sees("30 90\r\nxterm-color\r\n")
    assert person.leaves() == 42
    assert person.finds_it_as_before


def test_a_new_size_is_passed_on(person: Person) -> None:
    person.sees("$ ")
    person.resize(11, 44)
    shown = ""
    while "11 44\r\n" not in shown:
        person.types("stty size; echo lo''oked\n")
        shown = person.sees("looked\r\n")
    person.types("exit 0\n")
    assert person.leaves() == 0


def test_ctrl_c_is_the_sandboxes(person: Person) -> None:
    person.sees("$ ")
    person.types("sleep 600\n")
    person.sees("sleep 600\r\n")
    time.sleep(0.3)
    person.types("\x03")
    person.sees("$ ")
    person.types("echo code=$?\n")
    person.sees("code=130\r\n")
    person.types("\x04")
    assert person.leaves() in (0, 130)
    assert person.finds_it_as_before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_puts_the_terminal_back_and_deletes_the_sandbox(
    cli: Cli, person: Person, number: signal.Signals
) -> None:
    person.sees("$ ")
    person.types("printf '\\033[?1049h'; sleep 600\n")
    person.sees("\x1b[?1049h")
    assert person.is_raw
    person.process.send_signal(number)
    assert person.leaves() == 128 + number
    assert person.finds_it_as_before
    assert b"\x1b[?1047l" in person.seen
    assert b"Traceback" not in person.seen
    assert cli.there() == []


def test_a_sandbox_that_goes_away_puts_the_terminal_back(cli: Cli, person: Person) -> None:
    person.sees("$ ")
    person.types("echo re''ady\n")
    person.sees("ready\r\n")
    cli.delete(*cli.there())
    # Perhaps an exit code came in time: what ended it killed the shell.
    assert person.leaves() in (125, 137)
    assert person.finds_it_as_before
    assert b"Traceback" not in person.seen


def test_a_sandbox_that_exists_is_entered_and_left_alone(cli: Cli) -> None:
    cli.run("--keep", "--", "sh", "-c", "echo kept > /tmp/file")
    (found,) = cli.there()
    with Person(["sh", "-p", cli.provider, "-e", "A=b c", found]) as person:
        person.types("cat /tmp/file; echo $A; exit 3\n")
        person.sees("kept\r\nb c\r\n")
        assert person.leaves() == 3
    assert cli.there() == [found]
    done = sandboxkit("sh", "-p", cli.provider, found, "--", "cat", "/tmp/file", input=b"")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"kept\n", b"")
    cli.delete(found)


def test_without_a_terminal_it_is_plain(cli: Cli) -> None:
    words = ["sh", *cli.arguments()[1:]]
    done = sandboxkit(*words, input=b"test -t 0 || echo none\necho error >&2\nexit 5\n")
    assert (done.returncode, done.stdout, done.stderr) == (5, b"none\n", b"error\n")
    done = sandboxkit(*words, "--", "sh", "-c", "exit 6")
    assert (done.returncode, done.stdout, done.stderr) == (6, b"", b"")


def test_what_is_for_new_sandboxes_is_refused_for_another() -> None:
    done = sandboxkit("sh", "--ttl", "5", "sk-000000000000")
    assert done.returncode == 125
    assert b"--ttl is for a new sandbox" in done.stderr
    assert done.stderr.count(b"\n") == 1
