"""Finding the launcher's records in a stream of output: bytes in, output and records out.

A record is ``<token>:<kind><fields>;``: ``P`` (started; process id, session, start time), ``W`` (the working
directory cannot be entered; errno), ``E`` (ended; exit code, the watchdog's status), and from a shell that takes one
command after another, behind an ``E`` that does not say it, ``R`` (see :mod:`sandboxkit.runner`). The token is
random for each command and known to nobody in the sandbox but its launcher, so output that imitates a record is
output.
"""

from __future__ import annotations

from typing import Literal

import attrs

from sandboxkit.model import STDERR, STDOUT, Stream

_LONGEST = 64
"""Bytes that a record's fields take at most; more is not a record but a mangled stream."""


Verdict = Literal["ready", "spent", "never"]
"""Whether a runner takes another command: ``spent`` it does not, ``never`` none of its kind takes a second."""


@attrs.frozen
class Record:
    """One record: its kind, a letter, and its fields."""

    kind: bytes
    fields: tuple[bytes, ...]


@attrs.define(eq=False)
class RecordScanner:
    """Splits one stream into output and records, whatever the pieces it comes in.

    After the ``E`` record everything is discarded: it comes from children that the command left behind. Of that,
    ``rest`` keeps the first ``keep`` bytes.
    """

    token: bytes
    keep: int = 0
    rest: bytes = attrs.field(default=b"", init=False, repr=False)
    ended: bool = attrs.field(default=False, init=False)
    _held: bytes = attrs.field(default=b"", init=False, repr=False)

    def feed(self, data: bytes) -> tuple[list[bytes], list[Record]]:
        """Take the next piece; give output (in order) and records that are now certain."""
        output: list[bytes] = []
        records: list[Record] = []
        data = self._held + data if self._held else data
        self._held = b""
        while data and not self.ended:
            at = data.find(self.token)
            if at < 0:
                keep = self._overlap(data)
                if len(data) > keep:
                    output.append(data[: len(data) - keep] if keep else data)
                self._held = data[len(data) - keep :] if keep else b""
                break
            end = data.find(b";", at + len(self.token))
            if end < 0:
                if at:
                    output.append(data[:at])
                if len(data) - at > len(self.token) + _LONGEST:
                    output.append(data[at:])
                else:
                    self._held = data[at:]
                break
            if at:
                output.append(data[:at])
            body = data[at + len(self.token) + 1 : end]
            records.append(Record(body[:1], tuple(body[1:].split(b","))))
            self.ended = body[:1] == b"E"
            data = data[end + 1 :]
        if self.ended and self.keep:
            self.rest = (self.rest + data)[: self.keep]
        return output, records

    def _overlap(self, data: bytes) -> int:
        """Count the bytes at the end of ``data`` that may be the beginning of a token."""
        first = self.token[:1]
        at = data.find(first, max(0, len(data) - len(self.token) + 1))
        while at >= 0:
            if self.token.startswith(data[at:]):
                return len(data) - at
            at = data.find(first, at + 1)
        return 0

    def flush(self) -> bytes:
        """Give what was held back when the stream has ended without the rest of a record."""
        held, self._held = self._held, b""
        return held


def ready(word: bytes) -> Verdict:
    """Read what a runner says of its next command."""
    if word == b"n":
        return "never"
    return "ready" if word == b"c" else "spent"


@attrs.define(eq=False)
class Readiness:
    """Looks, on both streams behind a command's end, for what its runner says of the next one."""

    token: bytes
    _held: dict[Stream, bytes] = attrs.field(factory=lambda: {STDOUT: b"", STDERR: b""}, init=False, repr=False)
    _said: dict[Stream, bytes] = attrs.field(factory=dict, init=False, repr=False)

    def feed(self, stream: Stream, data: bytes) -> None:
        """Take the next piece."""
        held = self._held[stream] + data
        if stream not in self._said:
            marker = self.token + b":R"
            at = held.find(marker)
            end = held.find(b";", at)
            if at < 0 or end < 0:
                # Of what comes from elsewhere no more is kept than may be the beginning of the record.
                self._held[stream] = held[max(at, 0) if at >= 0 else -len(marker) :]
                return
            self._said[stream] = held[at + len(marker) : end]
            held = held[end + 1 :]
        self._held[stream] = held[:1]

    @property
    def verdict(self) -> Verdict | None:
        """What it says, as far as that is known."""
        found = {ready(word) for word in self._said.values()}
        if "never" in found:
            return "never"
        if "spent" in found or any(self._held[stream] for stream in self._said):
            return "spent"
        return "ready" if len(self._said) == len(self._held) else None
