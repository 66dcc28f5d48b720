"""Docker's multiplexed stream, parsed sans-I/O.

Each frame is a header of 8 bytes, the stream's number (0 stdin, 1 stdout, 2 stderr, 3 the daemon's own errors), three
NULs and a big-endian length, and then that many bytes. Source: "Stream format" at
https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerAttach
"""

from __future__ import annotations

import struct

import attrs

HEADER = struct.Struct(">B3xI")

STREAMS = frozenset((0, 1, 2, 3))


class BadFrame(ValueError):
    """The bytes are not Docker's multiplexed stream."""


@attrs.define(eq=False)
class FrameParser:
    """Turns bytes, split anywhere, into ``(stream, bytes)``, without waiting for the end of a frame.

    Neighbouring payloads of one stream come joined. Each payload byte is copied once.
    """

    _header: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _stream: int = attrs.field(default=0, init=False)
    _left: int = attrs.field(default=0, init=False)

    @property
    def between_frames(self) -> bool:
        """Whether the stream may end here."""
        return not self._left and not self._header

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Take the next bytes and give what they hold; raises :class:`BadFrame`."""
        found: list[tuple[int, list[memoryview]]] = []
        view = memoryview(data)
        while view:
            if not self._left:
                view = self._take_header(view)
                continue
            part = view[: self._left]
            view = view[self._left :]
            self._left -= len(part)
            if found and found[-1][0] == self._stream:
                found[-1][1].append(part)
            else:
                found.append((self._stream, [part]))
        return [(stream, b"".join(parts)) for stream, parts in found]

    def _take_header(self, view: memoryview) -> memoryview:
        missing = HEADER.size - len(self._header)
        self._header += view[:missing]
        if len(self._header) == HEADER.size:
            stream, length = HEADER.unpack(self._header)
            if stream not in STREAMS or any(self._header[1:4]):
                raise BadFrame(f"not a frame header: {bytes(self._header).hex()}")
            self._stream, self._left = stream, length
            self._header.clear()
        return view[missing:]
