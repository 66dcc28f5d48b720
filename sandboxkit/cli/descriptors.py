"""Descriptors 0, 1 and 2: there, even where whoever started this closed them."""

from __future__ import annotations

import os
import sys

STDIN, STDOUT, STDERR = 0, 1, 2


def occupy() -> None:
    """Open each that is closed: stdin empty, stdout as one whose reader went away, stderr as one that takes anything.

    Otherwise the next thing that is opened gets its number, and what is meant for the user is read from there or
    written to it. Call it before anything else is opened.
    """
    closed = [number for number in (STDIN, STDOUT, STDERR) if _is_closed(number)]
    for _ in closed:
        # It gets the lowest number that is free. Programs that are started from here need it as well.
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if STDOUT in closed:
        reader, writer = os.pipe()
        os.dup2(writer, STDOUT)
        os.close(writer)
        os.close(reader)
    # Python has None for those that were closed when it started.
    if sys.stdin is None:
        sys.stdin = os.fdopen(STDIN, encoding="utf-8", closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(STDOUT, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(STDERR, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def give_up_output() -> None:
    """Let what is still to be written to stdout vanish: Python writes it on its way out, and would complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, STDOUT)
    os.close(null)


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False
