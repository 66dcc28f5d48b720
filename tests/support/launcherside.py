"""The launcher's side of a channel without a sandbox behind it: reads what a client sends, and reports.

For ``sandboxkit-eci-emulator --backend none --responder tests.support.launcherside:LauncherSide``. It runs nothing:
it knows what ``true``, ``false`` and ``echo`` would do, starts tmux sessions that run for ever, and of any other
command it knows that there is none. ``output SIZE PIECE`` writes that many bytes, the same each time, in pieces; a
client without a launcher may ask for it as it is. A channel that is made a runner takes one command after another.
"""

from __future__ import annotations

import functools
import random
import re
import shlex
from collections.abc import Generator, Iterable

import attrs

from sandboxkit.launcher import BOOTSTRAP, frame, quote
from sandboxkit.runner import SETUP
from sandboxkit.tmuxprograms import FIRST, POLL, START

STDOUT, STDERR = 1, 2

PRINTED = b"it runs\n"
"""What every session has written."""

_TICKET = re.compile(rb"__t=(K[0-9a-f]{32}) __m=[0-9]+ ")
_COMMAND = re.compile(rb'^set -- (.*);exec "\$@"', re.MULTILINE | re.DOTALL)
_LONG = re.compile(rb"__long ([0-9]+)")
_DEFINITION = re.compile(rb"(__script[0-9]+)=(.*)", re.DOTALL)
_REQUEST = re.compile(
    rb"""__begin[ ](K[0-9a-f]{32})[ ][0-9]+;(?:__watch[ ]'[0-9. ]+';)?
    \(__in;__go;set[ ]--([ ].*)?;(?:exec[ ]"\$@"|eval[ ]"\$(__script[0-9]+)")\)(?:</dev/null;__end|;__raw)[ ]\$\?""",
    re.VERBOSE | re.DOTALL,
)
_PROGRAMS = {quote(POLL.encode()): "poll", quote(START.encode()): "start"}
_TOKEN = b"K" + b"0" * 32

Output = list[tuple[int, bytes]]
Reading = Generator[None, None, bytes]


@attrs.define(eq=False)
class LauncherSide:
    """Stands in for ``/bin/sh`` with the bootstrap."""

    words: tuple[str, ...]
    exit_code: int | None = None
    _came: bytes = b""
    _output: Output = attrs.field(factory=list)
    _running: Generator[None, None, None] | None = None

    def feed(self, data: bytes) -> Iterable[tuple[int, bytes]]:
        """Take what the client sends; give the records and the output of commands whose script is complete."""
        if self.words[:1] == ("output",):
            self.exit_code, *output = run(list(self.words))
            return output
        if self.words != BOOTSTRAP:
            return self._end(127, b"this is not the bootstrap\n")
        self._came += data
        if self._running is None:
            self._running = self._bootstrap()
        next(self._running, None)
        said, self._output = self._output, []
        return said

    def _end(self, code: int, complaint: bytes) -> Output:
        self.exit_code = code
        return [(STDERR, complaint)]

    # -- reading ---------------------------------------------------------------------------------------------------

    def _line(self) -> Reading:
        while b"\n" not in self._came:
            yield
        line, _, self._came = self._came.partition(b"\n")
        return line

    def _exactly(self, size: int) -> Reading:
        while len(self._came) < size:
            yield
        data, self._came = self._came[:size], self._came[size:]
        return data

    # -- running ---------------------------------------------------------------------------------------------------

    def _bootstrap(self) -> Generator[None, None, None]:
        length = yield from self._line()
        script = yield from self._exactly(int(length))
        if frame(script) == SETUP:
            yield from self._take_one_after_another()
            return
        ticket, command = _TICKET.search(script), _COMMAND.search(script)
        if ticket is None or command is None:
            self._output += self._end(2, b"this is no command's script\n")
            return
        self._report(ticket[1], *run(shlex.split(command[1].decode())))
        self.exit_code = 0

    def _take_one_after_another(self) -> Generator[None, None, None]:
        """Do as a runner does, until something comes that is none of what is known here."""
        programs: dict[bytes, str] = {}
        while True:
            line = yield from self._line()
            if long := _LONG.fullmatch(line):
                script = yield from self._exactly(int(long[1]))
                said = script.removeprefix(b"{\n").removesuffix(b"\n}")
            else:
                said = line.replace(b"'\"$__nl\"'", b"\n")
            if definition := _DEFINITION.fullmatch(said):
                programs[definition[1]] = _PROGRAMS.get(definition[2], "")
                continue
            request = _REQUEST.fullmatch(said)
            if request is None:
                self._output += self._end(2, b"this is no runner's request\n")
                return
            token, words, program = request.groups()
            if program is None:
                self._report(token, *run(shlex.split((words or b"").decode())), found=b",c")
            elif programs.get(program) == "start":
                yield from self._take_session()
                self._report(token, 0, found=b",c")
            elif programs.get(program) == "poll":
                self._report(token, 0, (STDOUT, _poll()), found=b",c")
            else:
                self._report(token, 127, found=b",c")

    def _take_session(self) -> Generator[None, None, None]:
        """Read what a session is started with."""
        head = yield from self._line()
        command, text = head.split(b" ")[-2:]
        yield from self._exactly(int(command) + int(text))

    def _report(self, token: bytes, code: int, *output: tuple[int, bytes], found: bytes = b"") -> None:
        end = b"%b:E%d,0%b;" % (token, code, found)
        self._output += [(STDOUT, b"%b:P2,1,1;" % token), *output, (STDOUT, end), (STDERR, end)]


def _poll() -> bytes:
    """Print what the poll of a session prints that lives and has written a little."""
    return b"1 - %b %d 0\n%d %d\n%b" % (_TOKEN, 1 << 24, FIRST, len(PRINTED), PRINTED)


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
