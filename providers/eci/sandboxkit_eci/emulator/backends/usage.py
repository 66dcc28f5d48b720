"""What a container's processes have used, read from ``/proc`` in it."""

from __future__ import annotations

import os
import re

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
