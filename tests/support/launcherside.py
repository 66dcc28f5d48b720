"""The launcher's side of a channel without a sandbox behind it: reads the script that a client sends, and reports.

For ``sandboxkit-eci-emulator --backend none --responder tests.support.launcherside:LauncherSide``. It runs nothing:
it knows what ``true``, ``false`` and ``echo`` would do, and of any other command that there is none. ``output SIZE
PIECE`` writes that many bytes, the same each time, in pieces; a client without a launcher may ask for it as it is.
"""

from __future__ import annotations

import functools
import random
import re
import shlex
from collections.abc import Iterable

import attrs

from sandboxkit.launcher import BOOTSTRAP

STDOUT, STDERR = 1, 2

_TICKET = re.compile(rb"__t=(K[0-9a-f]{32}) __m=[0-9]+ ")
_COMMAND = re.compile(rb"^set -- (.*)\nexec ", re.MULTILINE | re.DOTALL)

Output = list[tuple[int, bytes]]


@attrs.define(eq=False)
class LauncherSide:
    """Stands in for ``/bin/sh`` with the bootstrap, for one command."""

    words: tuple[str, ...]
    exit_code: int | None = None
    _came: bytes = b""

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        """Take what the client sends; once the script is complete, give the records and the command's output."""
        if self.words[:1] == ("output",):
            self.exit_code, *output = run(list(self.words))
            return output
        if self.words != BOOTSTRAP:
            return self._end(127, b"this is not the bootstrap\n")
        self._came += data
        length, newline, script = self._came.partition(b"\n")
        if not newline or len(script) < int(length):
            return []
        self._came = b""
        ticket, command = _TICKET.search(script), _COMMAND.search(script)
        if ticket is None or command is None:
            return self._end(2, b"this is no command's script\n")
        code, *output = run(shlex.split(command[1].decode()))
        self.exit_code = 0
        end = (ticket[1], code)
        return [
            (STDOUT, b"%b:P2,1,1;" % ticket[1]),
            *output,
            (STDOUT, b"%b:E%d,0;" % end),
            (STDERR, b"%b:E%d,0;" % end),
        ]

    def _end(self, code: int, complaint: bytes) -> Output:
        self.exit_code = code
        return [(STDERR, complaint)]


@functools.lru_cache(maxsize=1)
def written(size: int) -> bytes:
    """Give what ``output`` writes: bytes of all values, none of them where another was."""
    return random.Random(size).randbytes(size)


@functools.lru_cache(maxsize=1)
def pieces(size: int, step: int) -> tuple[tuple[int, bytes], ...]:
    """Give it in pieces, made once: who measures a client wants little done here."""
    data = written(size)
    return tuple((STDOUT, data[at : at + step]) for at in range(0, size, step))


def run(words: list[str]) -> tuple[int, *tuple[tuple[int, bytes], ...]]:
    """Give a command's exit code and what it writes."""
    match words:
        case ["true"]:
            return (0,)
        case ["false"]:
            return (1,)
        case ["echo", *rest]:
            return (0, (STDOUT, " ".join(rest).encode() + b"\n"))
        case ["output", size, piece]:
            return (0, *pieces(int(size), int(piece)))
        case [name, *_]:
            return (127, (STDERR, f"{name}: not found\n".encode()))
    return (127,)
