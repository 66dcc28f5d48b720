"""Checking a command before anything is sent: what the user wrote in, a :class:`~sandboxkit.model.Command` out."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import PurePath, PurePosixPath

from sandboxkit.errors import ArgumentsTooLong, InvalidCommand
from sandboxkit.model import MAX_ARGUMENT, Command, Stdin, TerminalSize

Word = str | bytes | PurePosixPath
CommandLike = str | bytes | Sequence[Word]

DEFAULT_SHELL = ("/bin/sh", "-c")

DEFAULT_TERM = "xterm-256color"
"""What kind of terminal a program is told that it has, unless ``env`` says otherwise."""

LONGEST_TIMEOUT = 1e9
"""Seconds, some 30 years: more than that clocks and sleeps do not take everywhere."""

_MOST_ROWS = 65535

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def encode(value: Word, what: str) -> bytes:
    """Make bytes of text (UTF-8, surrogate escapes kept), bytes or a POSIX path; NUL is refused."""
    if isinstance(value, PurePath) and not isinstance(value, PurePosixPath):
        raise InvalidCommand(f"{what} is a {type(value).__name__}; use PurePosixPath for paths in a sandbox")
    if not isinstance(value, str | bytes | PurePosixPath):
        raise InvalidCommand(f"{what} must be str, bytes or PurePosixPath, not {type(value).__name__}")
    try:
        data = value if isinstance(value, bytes) else os.fspath(value).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidCommand(f"{what} holds a surrogate that is not an escaped byte") from None
    if b"\0" in data:
        raise InvalidCommand(f"{what} holds a NUL, which no Linux program can be given")
    return data


def _argv(command: Sequence[Word]) -> tuple[bytes, ...]:
    if not command:
        raise InvalidCommand("the command is empty; give at least the program's name")
    argv = tuple(encode(word, f"argument {index}") for index, word in enumerate(command))
    if not argv[0]:
        raise InvalidCommand("the program's name (argument 0) is empty")
    for index, word in enumerate(argv):
        if len(word) > MAX_ARGUMENT:
            raise ArgumentsTooLong(
                f"argument {index} has {len(word):,} bytes, Linux passes on {MAX_ARGUMENT:,} at most; "
                f"send it on stdin or in a file"
            )
    return argv


def check_env(env: Mapping[str, str] | None) -> dict[str, bytes]:
    """Check variables for a shell: identifiers as names, 131,071 bytes for ``name=value`` at most."""
    checked: dict[str, bytes] = {}
    if env is None:
        return checked
    if not isinstance(env, Mapping):
        raise InvalidCommand(f"env is a mapping, such as {{'NAME': 'value'}}, not {type(env).__name__}")
    for name, value in env.items():
        if not isinstance(name, str) or not _NAME.match(name):
            raise InvalidCommand(f"environment variable {name!r}: names are letters, digits and underscores")
        data = encode(value, f"the value of environment variable {name}")
        if len(name) + 1 + len(data) > MAX_ARGUMENT:
            raise ArgumentsTooLong(
                f"environment variable {name} has {len(data):,} bytes, Linux passes on {MAX_ARGUMENT:,} for "
                f"name=value at most"
            )
        checked[name] = data
    return checked


def check_data(data: object, what: str) -> bytes:
    """Make bytes of text (UTF-8, surrogate escapes kept) or of what holds bytes."""
    if isinstance(data, str):
        try:
            return data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidCommand(f"{what} holds a surrogate that is not an escaped byte") from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidCommand(f"{what} must be str or bytes, not {type(data).__name__}")
    return bytes(data)


def check_timeout(timeout: float | None) -> float | None:
    """Check seconds: a positive number, at most :data:`LONGEST_TIMEOUT`, or ``None``."""
    if timeout is None:
        return None
    if isinstance(timeout, bool) or not isinstance(timeout, int | float):
        raise InvalidCommand(f"timeout must be seconds or None, not {timeout!r}")
    if not 0 < timeout <= LONGEST_TIMEOUT:
        raise InvalidCommand(
            f"timeout must be a positive number of seconds, at most {LONGEST_TIMEOUT:g}, or None for no timeout, "
            f"not {timeout!r}"
        )
    return float(timeout)


def check_wait(timeout: float | None) -> float | None:
    """Check for how many seconds something is waited for: 0 and less only look, ``None`` is for ever."""
    if timeout is None:
        return None
    number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if not number or (isinstance(timeout, float) and math.isnan(timeout)):
        raise InvalidCommand(f"timeout must be seconds or None, not {timeout!r}")
    # Compared before it is converted: a whole number may be larger than any float.
    return float(max(0.0, min(timeout, LONGEST_TIMEOUT)))


def check_size(size: TerminalSize | tuple[int, int]) -> TerminalSize:
    """Check the rows and columns of a terminal: 1 to 65,535 of each."""
    if isinstance(size, tuple) and len(size) == 2:
        size = TerminalSize(*size)
    if not isinstance(size, TerminalSize):
        raise InvalidCommand(f"a terminal's size is (rows, columns) or a TerminalSize, not {size!r}")
    for number in (size.rows, size.columns):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= _MOST_ROWS:
            raise InvalidCommand(f"a terminal has 1 to {_MOST_ROWS:,} rows and columns, not {number!r}")
    return size


def make_command(
    command: CommandLike,
    *,
    cwd: Word | None = None,
    env: Mapping[str, str] | None = None,
    user: str | None = None,
    shell: Sequence[Word] = DEFAULT_SHELL,
    timeout: float | None = None,
    stdin: Stdin | None = None,
) -> Command:
    """Check everything; a list runs without a shell, a string (of any length) in ``shell``."""
    argv = text = None
    if isinstance(command, str | bytes):
        text = encode(command, "the command")
        if not text.strip():
            raise InvalidCommand("the command is empty; give at least the program's name")
    elif isinstance(command, list | tuple):
        argv = _argv(command)
    else:
        raise InvalidCommand(f"a command is a list of words or a string, not {type(command).__name__}")
    if isinstance(shell, str | bytes) or not isinstance(shell, Sequence) or not shell:
        raise InvalidCommand("shell is a list of words, such as ('bash', '-lc')")
    if user is not None and (not isinstance(user, str) or not user or "\0" in user):
        raise InvalidCommand(f"user is a name or a number as text, and not empty, not {user!r}")
    directory = None if cwd is None else encode(cwd, "cwd")
    if directory == b"":
        raise InvalidCommand("cwd is empty; leave it out for the sandbox's own working directory")
    return Command(
        argv=argv,
        text=text,
        shell=_argv(shell),
        env=check_env(env),
        cwd=directory,
        user=user,
        timeout=check_timeout(timeout),
        stdin=stdin or Stdin(),
    )
