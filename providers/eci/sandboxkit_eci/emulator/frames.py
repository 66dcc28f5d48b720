"""An exec's websocket messages, made and read sans-I/O.

The first byte of a binary message is its channel, as in Kubernetes' remotecommand over websockets with the empty
subprotocol. A text message begins with the channel's digit and is base64 from there on (``base64.channel.k8s.io``),
or with the channel itself as a character.
"""

from __future__ import annotations

import base64
import binascii
import json
import random
import struct
from collections.abc import Iterator
from typing import Literal

import attrs

STDIN, STDOUT, STDERR, ERROR, RESIZE = range(5)

UNKNOWN = 9
"""A channel that nobody has given a meaning."""

MESSAGE = 1 << 16
"""Bytes that one message carries at most."""

Encoding = Literal["binary", "text", "base64"]
"""How messages are sent.

``text`` sends what is UTF-8 as text messages and the rest as binary ones; ``base64`` sends all as text.
"""

Message = bytes | str
"""A binary or a text message."""


def encode(channel: int, data: bytes | memoryview, encoding: Encoding = "binary") -> Message:
    """Make the message that carries ``data`` on a channel."""
    if encoding == "base64":
        return f"{channel}{base64.b64encode(data).decode()}"
    if encoding == "text":
        try:
            return chr(channel) + str(data, "utf-8")
        except UnicodeDecodeError:
            pass
    return b"".join((bytes((channel,)), data))


def wrap(message: Message) -> bytes:
    """Make a message into a server's websocket frame: whole and unmasked (RFC 6455, 5.2)."""
    first, data = (0x82, message) if isinstance(message, bytes) else (0x81, message.encode())
    if len(data) < 126:
        return bytes((first, len(data))) + data
    if len(data) < 1 << 16:
        return struct.pack(">BBH", first, 126, len(data)) + data
    return struct.pack(">BBQ", first, 127, len(data)) + data


def decode(message: Message) -> tuple[int, bytes] | None:
    """Give a message's channel and bytes; ``None`` for an empty one, and for one that nobody can read."""
    if not message:
        return None
    if isinstance(message, bytes):
        return message[0], message[1:]
    if ord(message[0]) < 0x20:
        return ord(message[0]), message[1:].encode("utf-8", "surrogateescape")
    try:
        return int(message[0]), base64.b64decode(message[1:], validate=True)
    except (ValueError, binascii.Error):
        return None


@attrs.frozen
class Size:
    """A terminal's size in characters."""

    rows: int
    columns: int


def decode_size(data: bytes) -> Size | None:
    """Read what came on the resize channel; ``None`` for what is no size."""
    try:
        said = json.loads(data)
        size = Size(said["Height"], said["Width"])
    except (ValueError, KeyError, TypeError):
        return None
    numbers = (size.rows, size.columns)
    return size if all(type(number) is int and 0 < number < 65536 for number in numbers) else None


Split = int | Literal["random"] | None
"""How many bytes a message carries at most; ``random``: another number each time; ``None``: :data:`MESSAGE`."""


@attrs.define(eq=False)
class Splitter:
    """Cuts output into what single messages carry.

    ``first`` bounds the splitting to that many bytes, after which messages are whole again.
    """

    split: Split = None
    first: int | None = None
    _random: random.Random = attrs.field(factory=random.Random, repr=False)

    def cut(self, data: bytes) -> Iterator[memoryview]:
        """Give the pieces of ``data`` in order, none of them empty."""
        rest = memoryview(data)
        while rest:
            piece = rest[: self._size()]
            if self.first is not None:
                self.first = max(0, self.first - len(piece))
            yield piece
            rest = rest[len(piece) :]

    def _size(self) -> int:
        if self.split is None or self.first == 0:
            return MESSAGE
        size = self._random.choice((1, 2, 3, 5, 17, 200, 4000)) if self.split == "random" else self.split
        return size if self.first is None else min(size, self.first)


def exit_text(code: int) -> bytes:
    """Give what the error channel says of a failed command without the v4 protocol."""
    return b"command terminated with non-zero exit code: exit status %d" % code


def exit_status(code: int | None) -> bytes:
    """Give what the error channel says of any command with the v4 protocol: a ``metav1.Status`` as JSON."""
    if code == 0:
        return json.dumps({"metadata": {}, "status": "Success"}).encode()
    status: dict[str, object] = {"metadata": {}, "status": "Failure", "message": "the command's end is unknown"}
    if code is not None:
        status["message"] = exit_text(code).decode()
        status["reason"] = "NonZeroExitCode"
        status["details"] = {"causes": [{"reason": "ExitCode", "message": str(code)}]}
    return json.dumps(status).encode()
