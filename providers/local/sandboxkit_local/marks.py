"""The marks by which a command's processes are known: numbers that they carry as soft RLIMIT_LOCKS.

The upper 30 bits belong to the sandbox, so that without a pid namespace all of a sandbox's processes can be found
too; the lower 32 are the command's own.
"""

from __future__ import annotations


def prefix_of(sandbox_id: str) -> int:
    """Give the upper bits of all the marks of one sandbox; never 0."""
    return int(sandbox_id.rsplit("-", 1)[-1], 16) % ((1 << 30) - 1) + 1


def mark_of(sandbox_id: str, number: int) -> int:
    """Give the mark of a command from its 32-bit number."""
    return prefix_of(sandbox_id) << 32 | number


def belongs(mark: int, sandbox_id: str) -> bool:
    """Whether a process with this mark is one of the sandbox's."""
    return mark >> 32 == prefix_of(sandbox_id)
