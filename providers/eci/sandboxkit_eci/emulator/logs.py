"""A container's log: the newest of what it wrote, and when it wrote that."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator

import attrs

LIMIT = 1 << 20
"""Bytes of a log that are kept."""


@attrs.frozen
class Written:
    """What was written. ``marks`` are offsets in ``data``, ascending, with when (epoch seconds) that was."""

    data: bytes = attrs.field(default=b"", repr=False)
    marks: tuple[tuple[int, float], ...] = attrs.field(default=(), repr=False)

    def lines(self) -> Iterator[tuple[float, bytes]]:
        """Give the lines, each with its line feed and the time of its first byte."""
        offsets, begin = [offset for offset, _ in self.marks], 0
        while begin < len(self.data):
            end = self.data.find(b"\n", begin) + 1 or len(self.data)
            place = bisect_right(offsets, begin) - 1
            yield (self.marks[place][1] if place >= 0 else 0.0), self.data[begin:end]
            begin = end


@attrs.define(eq=False)
class Log:
    """Takes up what is written."""

    _kept: bytearray = attrs.field(factory=bytearray, init=False)
    _marks: deque[tuple[int, float]] = attrs.field(factory=deque, init=False)
    _dropped: int = attrs.field(default=0, init=False)

    def add(self, data: bytes, *, now: float | None = None) -> None:
        """Add what has just been written."""
        self._marks.append((self._dropped + len(self._kept), time.time() if now is None else now))
        self._kept += data
        if len(self._kept) > 2 * LIMIT:
            more = len(self._kept) - LIMIT
            del self._kept[:more]
            self._dropped += more
            # The mark before the first byte that is kept is that byte's.
            while len(self._marks) > 1 and self._marks[1][0] <= self._dropped:
                self._marks.popleft()

    def read(self) -> Written:
        """Give the newest MiB."""
        data = bytes(self._kept[-LIMIT:])
        begin = self._dropped + len(self._kept) - len(data)
        return Written(data, tuple((max(0, offset - begin), moment) for offset, moment in self._marks))
