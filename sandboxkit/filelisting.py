"""What the file programs print, taken apart: pure ``bytes -> FileInfo``."""

from __future__ import annotations

import re
import stat as _stat

from sandboxkit.model import FileInfo, FileType
from sandboxkit.paths import display

_TYPES: dict[int, FileType] = {
    _stat.S_IFREG: "file",
    _stat.S_IFDIR: "directory",
    _stat.S_IFLNK: "symlink",
    _stat.S_IFIFO: "fifo",
    _stat.S_IFSOCK: "socket",
    _stat.S_IFBLK: "block",
    _stat.S_IFCHR: "character",
}

_NUMBERS = rb"([0-9a-f]+) (\d+) (-?\d+) (\d+) (\d+)"
_ONE = re.compile(rb"\A" + _NUMBERS + rb"\n")
_FIRST = re.compile(rb"\A" + _NUMBERS + rb" \.\Z")
_NEXT = re.compile(rb"\n" + _NUMBERS + rb" \.\Z")


def _info(path: bytes, numbers: tuple[bytes, ...], target: bytes | None) -> FileInfo:
    mode = int(numbers[0], 16)
    size, mtime, uid, gid = (int(number) for number in numbers[1:])
    return FileInfo(
        path=display(path),
        type=_TYPES.get(_stat.S_IFMT(mode), "unknown"),
        size=size,
        mode=_stat.S_IMODE(mode),
        uid=uid,
        gid=gid,
        mtime=float(mtime),
        target=None if target is None else display(target),
    )


def parse_stat(path: bytes, output: bytes) -> FileInfo:
    """Take apart what ``STAT`` printed; ``ValueError`` if it is not that."""
    found = _ONE.match(output)
    if found is None:
        raise ValueError("not the output of stat")
    return _info(path, found.groups(), output[found.end() :] or None)


def _records(text: bytes) -> list[tuple[bytes, tuple[bytes, ...]]]:
    """Split the lines of one lot into names and numbers.

    Each ends in ``./`` and the name. A name may hold newlines and all that comes before the slash, but no slash: so
    the text between two slashes is a name, and after its last newline the numbers of the next.
    """
    if not text:
        return []
    head, *rest = text.split(b"/")
    found = _FIRST.match(head)
    records = []
    for i, part in enumerate(rest):
        if found is None:
            raise ValueError("not the output of stat")
        numbers = found.groups()
        if i == len(rest) - 1:
            name = part.removesuffix(b"\n")
        else:
            found = _NEXT.search(part)
            if found is None:
                raise ValueError("not the output of stat")
            name = part[: found.start()]
        records.append((name, numbers))
    return records


def parse_list(directory: bytes, output: bytes) -> list[FileInfo]:
    """Take apart what ``LIST`` printed; sorted by the bytes of the names. ``ValueError`` if it is not that."""
    fields = output.split(b"\0")
    if fields.pop():
        raise ValueError("the listing is cut short")
    prefix = b"" if directory == b"." else directory if directory.endswith(b"/") else directory + b"/"
    infos = {}
    fields.reverse()
    while fields:
        records = _records(fields.pop())
        links = []
        while fields and fields[-1]:
            links.append(fields.pop().removeprefix(b"./"))
        if len(fields) <= len(links):
            raise ValueError("the listing is cut short")
        fields.pop()
        targets = dict(zip(links, [fields.pop() for _ in links], strict=True))
        for name, numbers in records:
            infos[name] = _info(prefix + name, numbers, targets.get(name) or None)
    return [infos[name] for name in sorted(infos)]
