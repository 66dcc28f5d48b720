"""What the exec streams ask of a websocket library: the protocol alone, bytes in and bytes out."""

from __future__ import annotations

from typing import Protocol

import attrs

NO_CODE = 1005
"""What stands for the code of a close frame that has none."""


@attrs.frozen
class Received:
    """What some bytes held: pieces of messages (``str`` is text; whether each ends its message), and the end."""

    messages: list[tuple[bytes | bytearray | str, bool]]
    reply: bytes = b""
    code: int | None = None
    """The code in the peer's close frame."""
    problem: str = ""
    """Why the peer's bytes are no websocket's, if so."""
    pong: bool = False
    """Whether a pong was among them."""


class Codec(Protocol):
    """One side of one websocket, after its handshake."""

    def feed(self, data: memoryview) -> Received:
        """Take the next of the peer's frames that are no whole binary messages, split anywhere."""
        ...

    def message(self, data: bytes) -> bytes:
        """Give a binary message to send."""
        ...

    def ping(self) -> bytes:
        """Give a ping to send."""
        ...

    def goodbye(self) -> bytes:
        """Give a close frame to send."""
        ...
