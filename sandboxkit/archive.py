"""Tar archives as they cross between client and sandbox: pure bytes, nothing is opened here.

Written are ustar headers with GNU's long names, which GNU tar and busybox both read. Read is what both write, and pax
headers; whatever a hostile archive announces, no more than :data:`MAX_EXTENSION` bytes of it are kept at once.
"""

from __future__ import annotations

import math
import struct
from typing import Literal

import attrs

BLOCK = 512
"""Bytes of a header; contents are padded to a multiple."""

RECORD = 10240
"""Bytes that GNU tar reads at once; an archive is a multiple of it."""

MAX_EXTENSION = 1 << 16
"""Bytes of a long name or of a pax header."""

Kind = Literal["file", "directory", "symlink", "hardlink", "special"]


@attrs.frozen(kw_only=True)
class Entry:
    """One thing in an archive: ``mode`` permission bits, ``mtime`` in whole seconds since the epoch.

    ``size`` is that of the contents that follow, ``target`` a link's. ``special`` is a device or a FIFO.
    """

    name: bytes
    kind: Kind
    size: int = 0
    mode: int = 0o644
    mtime: int = 0
    target: bytes = b""


_HEADER = struct.Struct("100s8s8s8s12s12s8sc100s255s")
_TYPES: dict[Kind, bytes] = {"file": b"0", "symlink": b"2", "directory": b"5"}
_REST = b"ustar  \0" + bytes(247)


def _octal(value: int) -> bytes:
    if value < 0:
        return value.to_bytes(12, "big", signed=True)
    return b"%011o\0" % value if value < 1 << 33 else b"\x80" + value.to_bytes(11, "big")


def _header(name: bytes, kind: bytes, size: int, mode: int, mtime: int, target: bytes) -> bytes:
    # Owner and group are left to whoever unpacks it.
    block = _HEADER.pack(
        name,
        b"%07o\0" % mode,
        b"0000000\0",
        b"0000000\0",
        _octal(size),
        _octal(mtime),
        b"        ",
        kind,
        target,
        _REST,
    )
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def padding(size: int) -> bytes:
    """Give what follows contents of that size."""
    return bytes(-size % BLOCK)


def header(entry: Entry) -> bytes:
    """Write what precedes an entry's contents: a file, a directory or a symlink."""
    parts = []
    for long, kind in ((entry.target, b"K"), (entry.name, b"L")):
        if len(long) > 100:
            parts += [_header(b"././@LongLink", kind, len(long) + 1, 0o644, 0, b""), long, padding(len(long) + 1)]
            # The text ends in a NUL.
            parts[-1] += b"\0"
    kind = _TYPES[entry.kind]
    parts.append(_header(entry.name[:100], kind, entry.size, entry.mode, entry.mtime, entry.target[:100]))
    return b"".join(parts)


def end(written: int) -> bytes:
    """Give the end of an archive of which so many bytes were written."""
    return bytes(2 * BLOCK + -(written + 2 * BLOCK) % RECORD)


_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"1": "hardlink",
    b"2": "symlink",
    b"3": "special",
    b"4": "special",
    b"5": "directory",
    b"6": "special",
}


def _number(field: bytes) -> int:
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ~(0x80 << 8 * (len(field) - 1))
        if field[0] & 0x40:
            value -= 1 << (8 * len(field) - 1)
        return value
    text = field.split(b"\0", 1)[0].strip(b" ")
    if text.strip(b"01234567"):
        raise ValueError(f"{text!r} is no number of a header")
    return int(text or b"0", 8)


def _pax(data: bytes) -> dict[bytes, bytes]:
    found = {}
    while data:
        length, space, _ = data[:20].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 2 < int(length) <= len(data):
            raise ValueError("a pax header is malformed")
        record, data = data[: int(length)], data[int(length) :]
        key, equals, value = record[len(length) + 1 : -1].partition(b"=")
        if not equals or record[-1:] != b"\n":
            raise ValueError("a pax header is malformed")
        found[key] = value
    if any(key.startswith(b"GNU.sparse.") for key in found):
        raise ValueError("a sparse file was archived as such")
    return found


@attrs.define(eq=False)
class ArchiveReader:
    """Feed it an archive, cut anywhere; it gives each entry, and after a file its contents in pieces.

    Raises ``ValueError`` for what is no archive, or no entry that it knows.
    """

    ended: bool = attrs.field(default=False, init=False)
    """Whether the end of the archive was seen; what follows it is ignored."""
    _held: bytearray = attrs.field(factory=bytearray, init=False, repr=False)
    _content: int = attrs.field(default=0, init=False)
    _skip: int = attrs.field(default=0, init=False)
    _extension: bytes = attrs.field(default=b"", init=False)
    _size: int = attrs.field(default=0, init=False)
    _wanted: int = attrs.field(default=BLOCK, init=False)
    _zeros: int = attrs.field(default=0, init=False)
    _long: dict[bytes, bytes] = attrs.field(factory=dict, init=False, repr=False)

    def feed(self, data: bytes | memoryview) -> list[Entry | memoryview]:
        """Take some bytes; give the entries and contents that they complete."""
        found: list[Entry | memoryview] = []
        rest = memoryview(data)
        while rest and not self.ended:
            if self._content:
                piece = rest[: self._content]
                self._content -= len(piece)
                found.append(piece)
            elif self._skip:
                piece = rest[: self._skip]
                self._skip -= len(piece)
            else:
                piece = rest[: self._wanted - len(self._held)]
                if len(piece) == BLOCK == self._wanted:
                    self._take(bytes(piece), found)
                else:
                    self._held += piece
                    if len(self._held) == self._wanted:
                        block = bytes(self._held)
                        self._held.clear()
                        self._take(block, found)
            rest = rest[len(piece) :]
        return found

    def _take(self, block: bytes, found: list[Entry | memoryview]) -> None:
        if self._extension:
            kind, self._extension, self._wanted = self._extension, b"", BLOCK
            self._note(kind, block[: self._size])
        elif not any(block):
            self._zeros += 1
            self.ended = self._zeros == 2
        elif self._zeros:
            raise ValueError("it goes on after a block that ends it")
        else:
            self._read_header(block, found)

    def _note(self, kind: bytes, data: bytes) -> None:
        if kind == b"x":
            self._long.update(_pax(data))
        elif kind != b"g":
            self._long[b"path" if kind == b"L" else b"linkpath"] = data.split(b"\0", 1)[0]

    def _read_header(self, block: bytes, found: list[Entry | memoryview]) -> None:
        name, mode, _, _, size_field, mtime, checksum, kind, target, rest = _HEADER.unpack(block)
        if _number(checksum) != sum(block) - sum(checksum) + 8 * 0x20:
            raise ValueError("a header's checksum is wrong")
        size = _number(size_field)
        if kind in b"LKxg":
            if not 0 < size <= MAX_EXTENSION:
                raise ValueError(f"a name or an extended header of {size} bytes")
            self._extension, self._size, self._wanted = kind, size, size + -size % BLOCK
            return
        if kind not in _KINDS:
            raise ValueError(f"an entry of the unknown kind {kind!r}")
        name = name.split(b"\0", 1)[0]
        if rest.startswith(b"ustar\0") and rest[88]:
            name = rest[88:243].split(b"\0", 1)[0] + b"/" + name
        told = {b"path": name, b"linkpath": target.split(b"\0", 1)[0], **self._long}
        self._long = {}
        try:
            size = int(told.get(b"size", size))
            seconds = math.floor(float(told.get(b"mtime", _number(mtime))))
        except (OverflowError, ValueError):
            raise ValueError("a pax header's number is none") from None
        if not 0 <= size < 1 << 62 or abs(seconds) >= 1 << 62:
            raise ValueError(f"a size of {size} bytes, or a time of {seconds} s")
        what = _KINDS[kind]
        contents = size if what == "file" else 0
        found.append(
            Entry(
                name=told[b"path"],
                kind=what,
                size=contents,
                mode=_number(mode) & 0o7777,
                mtime=seconds,
                target=told[b"linkpath"],
            )
        )
        self._content = contents
        # A link's size is that of what it links to in some archives: none of it follows.
        stored = size if what in ("file", "special", "directory") else 0
        self._skip = stored - contents + -stored % BLOCK
