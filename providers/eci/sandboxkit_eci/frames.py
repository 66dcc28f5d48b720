"""Where the websocket frames in a stream begin and end, sans-I/O (RFC 6455, section 5.2).

Output comes in whole binary messages, and their bytes are given as they came, from where they lie: a library puts
each message together and copies it two or three times. All other frames are the library's to judge.
"""

from __future__ import annotations

import attrs

LONGEST = 14
"""Bytes that a frame's header has at most."""

ENOUGH = 1 << 16
"""Bytes of a message that are given before its end has come."""

CONTINUATION, TEXT, BINARY = range(3)

WHOLE_BINARY = 0x80 | BINARY
"""The first byte of a frame that is a binary message, and no extension's."""

LAST = 0x80
MASKED = 0x80

Piece = tuple[memoryview | bytes, bool | None]
"""Bytes of a whole binary message and whether they end it, or of any other frame, header included, and ``None``."""


@attrs.define(eq=False)
class FrameCutter:
    """Cuts what a peer sends, in whatever pieces it comes."""

    _enough: int = ENOUGH
    # The beginning of a header, and of a small message, whose rest has not come.
    _head: bytes = attrs.field(default=b"", init=False, repr=False)
    _body: bytes = attrs.field(default=b"", init=False, repr=False)
    _left: int = attrs.field(default=0, init=False)
    _plain: bool = attrs.field(default=False, init=False)
    _fragmented: bool = attrs.field(default=False, init=False)

    def cut(self, data: memoryview, most: int) -> tuple[list[Piece], memoryview]:
        """Give about ``most`` pieces, and what is left of ``data``."""
        pieces: list[Piece] = []
        while data and len(pieces) < most:
            if not self._left:
                data = self._begin(data, pieces)
                continue
            body: memoryview | bytes
            body, data = data[: self._left], data[self._left :]
            self._left -= len(body)
            if not self._plain:
                pieces.append((body, None))
                continue
            if self._body:
                body, self._body = b"".join((self._body, body)), b""
            if self._left and len(body) < self._enough:
                self._body = bytes(body)
            else:
                pieces.append((body, not self._left))
        return pieces, data

    def _begin(self, data: memoryview, pieces: list[Piece]) -> memoryview:
        """Take the header of the next frame, as far as it has come; give what follows."""
        had = len(self._head)
        head = self._head + bytes(data[: LONGEST - had])
        size = header_size(head)
        if len(head) < size:
            self._head = head
            return data[len(head) - had :]
        self._head, head = b"", head[:size]
        first, short = head[0], head[1] & 0x7F
        self._left = int.from_bytes(head[2:4] if short == 126 else head[2:10], "big") if short > 125 else short
        self._plain = first == WHOLE_BINARY and not head[1] & MASKED and not self._fragmented
        if self._plain:
            if not self._left:
                pieces.append((b"", True))
        else:
            pieces.append((head, None))
            if first & 0x0F in (CONTINUATION, TEXT, BINARY):
                self._fragmented = not first & LAST
        return data[size - had :]


def header_size(head: bytes) -> int:
    """Give how long the header is that begins so, as far as that can be told."""
    if len(head) < 2:
        return 2
    short = head[1] & 0x7F
    return (2 if short < 126 else 4 if short == 126 else 10) + (4 if head[1] & MASKED else 0)
