"""One websocket message of an ECI exec, parsed sans-I/O.

A binary message is a channel's number (0 stdin, 1 stdout, 2 stderr, 3 the service's own words, 4 the terminal's
size) and then that channel's bytes. Alibaba documents none of it: this is what its clients see on the wire, and what
Kubernetes calls ``channel.k8s.io``. So whatever else a server might send is survived: empty messages, text,
Kubernetes' base64 (``base64.channel.k8s.io``), channels that nobody knows.
"""

from __future__ import annotations

import base64
import binascii
import json
import re

import attrs

from sandboxkit.model import STDERR, STDOUT, Chunk, TerminalSize

STDIN = 0
SERVICE = 3
RESIZE = 4

MOST_SAID = 4096
"""Bytes of the service's own words that are kept."""

# What the service says when a command has ended like any other; its status is the launcher's to report.
_USUAL = re.compile(r"command terminated( with|$)|exit (status|code)|^\s*$", re.IGNORECASE)


def encode_stdin(data: bytes | memoryview) -> bytes:
    """Give the message that carries ``data`` to the command's stdin."""
    return b"".join((b"\x00", data))


def encode_resize(size: TerminalSize) -> bytes:
    """Give the message that makes the terminal this large."""
    return b"\x04" + json.dumps({"Width": size.columns, "Height": size.rows}, separators=(",", ":")).encode()


@attrs.define(eq=False)
class MessageParser:
    """Turns websocket messages, or their fragments, into chunks of output."""

    fresh: bool = attrs.field(default=True, init=False)
    """Whether no output has come yet."""
    _said: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _channel: int | None = attrs.field(default=None, init=False)
    _text: list[str] = attrs.field(factory=list, init=False, repr=False)
    # Decided by the first text that tells: one kind of server never sends the other kind's.
    _base64: bool | None = attrs.field(default=None, init=False)

    @property
    def refusal(self) -> str:
        """Why the service could not start the command, in its own words; empty if it did not say so."""
        return refusal(bytes(self._said)) if self.fresh else ""

    def feed(self, message: bytes | bytearray | memoryview | str, *, last: bool = True) -> list[Chunk]:
        """Take a message, or with ``last=False`` the next fragment of one; text is a ``str``.

        Fragments of a binary message are given as they come. Bytes that are not UTF-8 may be in the ``str`` as
        surrogate escapes.
        """
        if isinstance(message, str):
            self._text.append(message)
            if not last:
                return []
            text, self._text = "".join(self._text), []
            return self._pass_on(*self._read_text(text))
        channel = self._channel
        view = memoryview(message)
        if channel is None and message:
            channel, view = message[0], view[1:]
        self._channel = None if last else channel
        return [] if channel is None else self._pass_on(channel, bytes(view))

    def _read_text(self, text: str) -> tuple[int, bytes]:
        if text and text[0] in "\x00\x01\x02\x03\x04":
            return ord(text[0]), text[1:].encode("utf-8", "surrogateescape")
        if self._base64 is not False and text and text[0] in "01234":
            data = _unbase64(text[1:])
            if data is not None:
                self._base64 = self._base64 or bool(data) or None
                return int(text[0]), data
        if text and self._base64 is None:
            self._base64 = False
        return STDOUT, text.encode("utf-8", "surrogateescape")

    def _pass_on(self, channel: int, data: bytes) -> list[Chunk]:
        if channel == SERVICE:
            self._said += data[: MOST_SAID - len(self._said)]
        if not data or channel not in (STDOUT, STDERR):
            return []
        self.fresh = False
        return [Chunk(STDOUT if channel == STDOUT else STDERR, data)]


def _unbase64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text.encode("utf-8", "surrogateescape"), validate=True)
    except binascii.Error:
        return None


def refusal(said: bytes) -> str:
    """Give what the service's own channel says of a failed start; empty for how a command usually ends.

    Kubernetes writes plain words or, since its fourth version, ``metav1.Status`` as JSON.
    """
    words = said.decode("utf-8", "replace").strip()
    try:
        status = json.loads(words)
    except ValueError:
        status = None
    if isinstance(status, dict):
        if status.get("status") == "Success" or status.get("reason") == "NonZeroExitCode":
            return ""
        words = str(status.get("message", words)).strip()
    return "" if _USUAL.search(words) else words[:300]
