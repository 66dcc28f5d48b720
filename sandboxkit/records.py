"""Finding the launcher's records in a stream of output: bytes in, output and records out.

A record is ``<token>:<kind><fields>;``: ``P`` (started; process id, session, start time), ``W`` (the working
directory cannot be entered; errno), ``E`` (ended; exit code, the watchdog's status). The token is random for each
command and known to nobody in the sandbox but its launcher, so output that imitates a record is output.
"""

from __future__ import annotations

import attrs

_LONGEST = 64
"""Bytes that a record's fields take at most; more is not a record but a mangled stream."""


@attrs.frozen
class Record:
    """One record: its kind, a letter, and its fields."""

    kind: bytes
    fields: tuple[bytes, ...]


@attrs.define(eq=False)
class RecordScanner:
    """Splits one stream into output and records, whatever the pieces it comes in.

    After the ``E`` record everything is discarded: it comes from children that the command left behind.
    """

    token: bytes
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
