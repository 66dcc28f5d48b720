"""The frames between a client and a sandbox's PID 1: pure, shared by both sides.

A frame is a 32-bit length and a body; a body is a packed list of byte strings, the first of which is a word that
says what it is. All numbers are little-endian.
"""

from __future__ import annotations

import struct

TYPE_CHECKING = False  # the sandbox's side starts without typing and its many imports
if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FRAME = 16 * 1024 * 1024
"""Bytes of the longest frame; the kernel takes at most 6 MiB of arguments, so a longer one is an error."""

TEXT_FD = 9
"""The descriptor on which a shell finds a text that is too long for an argument."""

_U32 = struct.Struct("<I")


class FrameError(ValueError):
    """The bytes are not frames."""


def pack(items: Sequence[bytes]) -> bytes:
    """Join byte strings so that :func:`unpack` gives them back."""
    return struct.pack(f"<{len(items) + 1}I", len(items), *map(len, items)) + b"".join(items)


def unpack(data: bytes) -> list[bytes]:
    """Give back what :func:`pack` joined; raises :class:`FrameError` for anything else."""
    try:
        (count,) = _U32.unpack_from(data)
        if 4 * count + 4 > len(data):
            raise FrameError("a list is longer than its frame")
        sizes = struct.unpack_from(f"<{count}I", data, 4)
    except struct.error as exc:
        raise FrameError("a frame is too short") from exc
    at = 4 * count + 4
    items = []
    for size in sizes:
        items.append(data[at : at + size])
        at += size
    if at != len(data):
        raise FrameError("a frame does not end where its list does")
    return items


def frame(*items: bytes) -> bytes:
    """Make one frame of byte strings."""
    body = pack(items)
    return _U32.pack(len(body)) + body


class FrameReader:
    """Cuts a stream into frames: ``feed`` bytes, get the lists that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[list[bytes]]:
        """Take more of the stream; raises :class:`FrameError` when it cannot be one."""
        buffer = self._buffer
        buffer += data
        frames = []
        while len(buffer) >= 4:
            (size,) = _U32.unpack_from(buffer)
            if size > MAX_FRAME:
                raise FrameError(f"a frame of {size} bytes is too long")
            if len(buffer) < 4 + size:
                break
            frames.append(unpack(bytes(buffer[4 : 4 + size])))
            del buffer[: 4 + size]
        return frames
