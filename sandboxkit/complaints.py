"""What ``tar`` says on stderr while it reads a directory: pure; GNU's words and busybox's."""

from __future__ import annotations

import re
from typing import Final

import attrs

MAX_LINE: Final = 1 << 16
"""Bytes of a line that are looked at; the rest of a longer one counts as another."""

MAX_NAMES: Final = 10_000
"""Names that are kept; that there are more is one more complaint."""

_SOCKET = re.compile(rb"tar: (?:\./)?(.*): socket ignored\Z", re.DOTALL)
_CHANGED = re.compile(
    rb"tar: (?:\./)?(.*): (?:file changed as we read it|[Ff]ile removed before we read it)\Z", re.DOTALL
)
_UNREAD = re.compile(rb"tar: (\.(?:/.*?)?): (?:(?:Cannot [a-z]+|Read error [^:]*): )?[^:]+\Z", re.DOTALL)
_UNREAD_BUSYBOX = re.compile(rb"tar: can't [a-z ]+ '(.*)': [^:]+\Z", re.DOTALL)
_EPILOGUE = re.compile(rb"tar: (?:Exiting with failure status due to previous errors|error exit delayed .*)\Z")
_ESCAPE = re.compile(rb"\\([abfnrtv\\?\"']|[0-7]{3})")
_LETTERS = {
    b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v", b"?": b"\x7f",
}  # fmt: skip


def _name(quoted: bytes) -> str:
    """Undo GNU tar's quoting of a name."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match[1]
        return bytes([int(code, 8) & 255]) if code.isdigit() else _LETTERS.get(code, code)

    return _ESCAPE.sub(plain, quoted).decode("utf-8", "surrogateescape")


def _unread(line: bytes) -> tuple[str, bytes] | None:
    quoted, plain = _UNREAD.match(line), _UNREAD_BUSYBOX.match(line)
    if plain is not None:
        return plain[1].removeprefix(b"./").decode("utf-8", "surrogateescape"), line
    return None if quoted is None else (_name(quoted[1]).removeprefix("./"), line)


@attrs.define(eq=False)
class Complaints:
    """Feed it stderr, cut anywhere: names of sockets, of files that changed meanwhile, and whether there is more."""

    sockets: list[str] = attrs.field(factory=list, init=False)
    changed: list[str] = attrs.field(factory=list, init=False)
    others: bool = attrs.field(default=False, init=False)
    """Whether anything else was said."""
    unread: tuple[str, bytes] | None = attrs.field(default=None, init=False)
    """The first name of which something else was said, and the line that says what."""
    _rest: bytes = attrs.field(default=b"", init=False, repr=False)

    def feed(self, data: bytes) -> None:
        """Take some bytes."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line)
        if len(self._rest) > MAX_LINE:
            self._rest = b""
            self.others = True

    def _take(self, line: bytes) -> None:
        for pattern, names in ((_SOCKET, self.sockets), (_CHANGED, self.changed)):
            found = pattern.match(line)
            if found is not None and len(names) < MAX_NAMES:
                names.append(_name(found[1]) or ".")
                return
        if line and not _EPILOGUE.match(line):
            self.others = True
            self.unread = self.unread or _unread(line)
