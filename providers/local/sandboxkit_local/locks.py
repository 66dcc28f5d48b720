"""Record locks that tell, from any process and also after a reboot, who holds a sandbox.

The kernel drops them when the holder dies, and names the holder's pid as the asker sees it. Byte 0 of a sandbox's
``lock`` file is held by its PID 1, byte 1 by the process that is building it.
"""

from __future__ import annotations

import fcntl
import os
import struct

ALIVE = 0
CREATING = 1

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock where off_t has 64 bits


def holder(path: str, byte: int) -> int | None:
    """Give the pid that holds this byte of the file, ``None`` for nobody or no file.

    0 or less is a holder in a pid namespace that cannot be seen from here.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return holder_of(fd, byte)
    finally:
        os.close(fd)


def holder_of(fd: int, byte: int) -> int | None:
    """Like :func:`holder` for an open file: one's own locks would go with any other descriptor of it."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)


def hold(fd: int, byte: int) -> None:
    """Take one byte for as long as this process lives and keeps the file open."""
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)


def hold_while_open(fd: int, byte: int) -> bool:
    """Take one byte for as long as this descriptor is open, whatever else this process opens; ``False`` if taken."""
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0))
    except BlockingIOError:
        return False
    return True
