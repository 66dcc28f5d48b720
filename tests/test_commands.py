"""Commands are checked before anything is sent, with errors that say what to do."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pytest

from sandboxkit.commands import LONGEST_TIMEOUT, check_wait, make_command
from sandboxkit.errors import ArgumentsTooLong, InvalidCommand, InvalidRequest
from sandboxkit.model import MAX_ARGUMENT


def test_a_list_becomes_bytes_word_by_word() -> None:
    command = make_command(["a b", b"\xff", PurePosixPath("/x"), "\udcfe"])
    assert command.argv == (b"a b", b"\xff", b"/x", b"\xfe")
    assert command.text is None


def test_a_string_is_for_the_shell_and_may_be_of_any_length() -> None:
    command = make_command("x" * 5_000_000)
    assert command.argv is None
    assert command.shell == (b"/bin/sh", b"-c")


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": []},
        {"command": ""},
        {"command": [""]},
        {"command": ["a\0b"]},
        {"command": "a\0b"},
        {"command": [1]},
        {"command": 7},
        {"command": bytearray(b"x")},
        {"command": [PureWindowsPath("C:\\x")]},
        {"command": ["x"], "env": {"A-B": "1"}},
        {"command": ["x"], "env": {"": "1"}},
        {"command": ["x"], "env": {"A\n": "1"}},
        {"command": ["x"], "env": {"A": "\0"}},
        {"command": ["x"], "cwd": ""},
        {"command": ["x"], "cwd": "a\0"},
        {"command": ["x"], "timeout": 0},
        {"command": ["x"], "timeout": -1},
        {"command": ["x"], "timeout": float("inf")},
        {"command": ["x"], "timeout": float("nan")},
        {"command": ["x"], "timeout": 10**400},
        {"command": ["x"], "timeout": True},
        {"command": ["x"], "timeout": "3"},
        {"command": "x", "shell": "sh -c"},
        {"command": "x", "shell": 5},
        {"command": "x", "env": 5},
        {"command": "x", "env": "A=b"},
        {"command": "x", "user": 1000},
        {"command": "x", "user": ""},
        {"command": "x", "shell": ()},
        {"command": ["\ud800"]},
    ],
)
def test_what_cannot_be_right_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidCommand):
        make_command(**arguments)


@pytest.mark.parametrize("timeout", [float("nan"), "3", True, [1]])
def test_a_wait_that_cannot_be_right_is_refused(timeout: Any) -> None:
    with pytest.raises(InvalidCommand, match="timeout"):
        check_wait(timeout)


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [(None, None), (0, 0.0), (-3, 0.0), (1.5, 1.5), (float("inf"), LONGEST_TIMEOUT), (10**400, LONGEST_TIMEOUT)],
)
def test_a_wait_may_be_no_more_than_a_look_or_last_for_ever(timeout: Any, seconds: float | None) -> None:
    assert check_wait(timeout) == seconds


def test_one_argument_may_have_131071_bytes_and_no_more() -> None:
    assert make_command(["x", "y" * MAX_ARGUMENT]).argv is not None
    with pytest.raises(ArgumentsTooLong, match="argument 1 has 131,072 bytes"):
        make_command(["x", "y" * (MAX_ARGUMENT + 1)])
    with pytest.raises(ArgumentsTooLong):
        make_command(["x"], env={"A": "y" * MAX_ARGUMENT})
    assert issubclass(ArgumentsTooLong, InvalidRequest)


def test_values_never_show_in_a_repr() -> None:
    command = make_command(["program", "s3cret-argument"], env={"TOKEN": "s3cret-value"})
    assert "s3cret" not in repr(command)
