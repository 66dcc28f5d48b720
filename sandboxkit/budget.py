"""Output within a budget: the head and the tail of a stream in bounded memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from io import BytesIO

import attrs

from sandboxkit.model import STDERR, STDOUT, Chunk, Result


@attrs.define(eq=False)
class HeadTail:
    """Keeps at most ``limit`` bytes of a stream: the first half and the last; ``None`` keeps all."""

    limit: int | None
    dropped: int = attrs.field(default=0, init=False)
    # Grown in place and given without a copy: pieces that are joined at the end would be in memory twice.
    _head: BytesIO = attrs.field(factory=BytesIO, init=False, repr=False)
    _tail: deque[bytes] = attrs.field(factory=deque, init=False, repr=False)
    _room: int = attrs.field(init=False)
    _tail_size: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._room = 0 if self.limit is None else self.limit - self.limit // 2

    def add(self, data: bytes) -> None:
        """Take the next piece."""
        if self.limit is None:
            self._head.write(data)
            return
        if self._room:
            taken = self._head.write(data[: self._room])
            data, self._room = data[taken:], self._room - taken
        if not data:
            return
        self._tail.append(data)
        self._tail_size += len(data)
        most = self.limit // 2
        # Whole pieces go first, so that trimming costs nothing; bytes() cuts the last one exactly.
        while self._tail and self._tail_size - len(self._tail[0]) >= most:
            gone = self._tail.popleft()
            self._tail_size -= len(gone)
            self.dropped += len(gone)

    def value(self) -> tuple[bytes, int]:
        """Give what was kept, head and tail joined, and how many bytes were left out between them."""
        tail = b"".join(self._tail)
        over = 0 if self.limit is None else max(0, len(tail) - self.limit // 2)
        return self._head.getvalue() + tail[over:], self.dropped + over


@attrs.define(eq=False)
class Output:
    """Both streams, each with a budget of its own: one cannot crowd out the other."""

    limit: int | None
    _streams: dict[int, HeadTail] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._streams = {STDOUT: HeadTail(self.limit), STDERR: HeadTail(self.limit)}

    def add(self, chunks: Iterable[Chunk]) -> None:
        """Take what arrived."""
        for chunk in chunks:
            self._streams[chunk.stream].add(chunk.data)

    def streams(self) -> dict[str, bytes]:
        """Give what there is so far, as an error's ``stdout`` and ``stderr``."""
        return {"stdout": self._streams[STDOUT].value()[0], "stderr": self._streams[STDERR].value()[0]}

    def result(self, exit_code: int) -> Result:
        """Make the result of a command that has ended."""
        stdout, stdout_dropped = self._streams[STDOUT].value()
        stderr, stderr_dropped = self._streams[STDERR].value()
        return Result(
            exit_code=exit_code,
            stdout=stdout,
            stderr=stderr,
            stdout_dropped=stdout_dropped,
            stderr_dropped=stderr_dropped,
        )
