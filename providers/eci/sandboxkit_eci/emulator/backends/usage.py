"""What a container's processes have used, and what its files take, read in it: from ``/proc``, and by ``du``."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import Usage

COUNT = ("/bin/sh", "-c", "cat /proc/[0-9]*/stat 2>/dev/null")
"""Run in the container: one line for each process."""

# A name may hold anything, a line's end too, so the fields are those after its last bracket: state, then 10 others,
# four times in ticks (its own and its reaped children's, user and system), 6 others, and resident pages.
_STAT = re.compile(rb"\) [A-Za-z](?: -?\d+){10} (\d+) (\d+) (\d+) (\d+)(?: -?\d+){6} (\d+)")


def read_usage(counted: bytes) -> Usage:
    """Add up what :data:`COUNT` gave: the time of a process that has ended is its parent's, or process 1's."""
    ticks, pages = 0, 0
    for found in _STAT.finditer(counted):
        *times, resident = (int(number) for number in found.groups())
        ticks += sum(times)
        pages += resident
    nanoseconds = ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    return Usage(cpu_nanoseconds=nanoseconds, memory_bytes=pages * os.sysconf("SC_PAGE_SIZE"))


_OWN = ("/root", "/tmp", "/var", "/workspace")
"""The directories in which a sandbox of ``local`` has files of its own; the rest is its host's."""

# Names of processes are not among this, so nobody can write such a line but the kernel and du.
_COUNTED = re.compile(rb"^(read_bytes|write_bytes): (\d+)$", re.MULTILINE)
_TAKEN = re.compile(rb"^(\d+)\t/", re.MULTILINE)


def disk_command(details: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the command that looks at the disk in a sandbox of ``local``, whose details are given."""
    own: tuple[str, ...] = _OWN
    if details.get("isolation") == "none":
        home = PurePosixPath(details["workspace"]).parent
        own = (f"{home}/home", f"{home}/tmp", f"{home}/workspace")
    return ("/bin/sh", "-c", 'cat /proc/[0-9]*/io 2>/dev/null; du -sk -- "$@" 2>/dev/null', "du", *own)


def with_disk(usage: Usage, said: bytes) -> Usage:
    """Add what :func:`disk_command` said.

    That is the least that was read and written: a process which may not be looked at, or has ended unseen, is not
    counted. Without ``du`` or ``/proc/N/io``, there is nothing to tell.
    """
    counted: dict[bytes, int] = {}
    for found in _COUNTED.finditer(said):
        counted[found[1]] = counted.get(found[1], 0) + int(found[2])
    taken = [int(found[1]) << 10 for found in _TAKEN.finditer(said)]
    return attrs.evolve(
        usage,
        read_bytes=counted.get(b"read_bytes"),
        written_bytes=counted.get(b"write_bytes"),
        files_bytes=sum(taken) if taken else None,
    )
