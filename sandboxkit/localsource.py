"""What is uploaded: a file or a tree of this machine, read piece by piece in bounded memory. All of it blocks."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Protocol

import attrs

from sandboxkit.archive import Entry, end, header, padding
from sandboxkit.errors import InvalidRequest, Unsupported
from sandboxkit.model import TransferResult

PIECE = 1 << 20
"""Bytes that are read of a tree at once."""

MODE = 0o777
"""The permission bits that are kept: never set-uid, set-gid or sticky."""

_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def require_directory_descriptors() -> None:
    """Raise ``Unsupported`` where a tree cannot be walked without following symlinks that come in between."""
    if os.open not in os.supports_dir_fd:
        raise Unsupported(
            "directories are transferred from and to POSIX systems only; transfer their files one by one",
            capability="files",
        )


def seconds(found: os.stat_result) -> int:
    """Give a file's time as ``stat`` does, in whole seconds, rounded down also before 1970."""
    return found.st_mtime_ns // 1_000_000_000


@attrs.define(eq=False)
class Tally:
    """What was transferred so far."""

    files: int = 0
    directories: int = 0
    symlinks: int = 0
    bytes: int = 0
    skipped: list[str] = attrs.field(factory=list)
    path: str = ""

    def result(self, *, changed: tuple[str, ...] = ()) -> TransferResult:
        """Give it as a result."""
        return TransferResult(
            files=self.files,
            directories=self.directories,
            symlinks=self.symlinks,
            bytes=self.bytes,
            skipped=tuple(self.skipped),
            changed=changed,
        )


class Source(Protocol):
    """Something to upload, for one thread at a time."""

    tally: Tally
    mode: int
    mtime: int
    total: int | None

    def read(self, size: int) -> bytes:
        """Give about ``size`` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Let go of it, when a read that goes on elsewhere has ended; safe to repeat."""
        ...


def _begin(fd: int, told: int) -> tuple[bytes, int | None]:
    """Read how a file begins whose size is told as ``told``; give that, and its size, ``None`` if that is unknown.

    A file of /proc tells 0 and one of /sys a page, whatever they hold, so what is small is read before its size is
    believed.
    """
    if told > PIECE:
        return b"", told
    data = b""
    while len(data) < (told or PIECE) and (more := os.read(fd, (told or PIECE) - len(data))):
        data += more
    return data, len(data) if told or len(data) < PIECE else None


class FileSource:
    """A file's contents; its ``size`` is ``None`` where only its end will tell."""

    def __init__(self, path: str, fd: int, found: os.stat_result) -> None:
        self.tally = Tally(files=1, path=path)
        self.mode, self.mtime = found.st_mode & MODE, seconds(found)
        self._fd = fd
        self._lock = threading.Lock()
        try:
            self._first, self.size = _begin(fd, found.st_size)
        except OSError as exc:
            os.close(fd)
            exc.filename = path
            raise
        self.total: int | None = self.size

    def read(self, size: int) -> bytes:
        with self._lock:
            data, self._first = self._first[:size], self._first[size:]
            if not data:
                try:
                    data = os.read(self._fd, size)
                except OSError as exc:
                    exc.filename = self.tally.path
                    raise
        self.tally.bytes += len(data)
        return data

    def close(self) -> None:
        with self._lock:
            if self._fd >= 0:
                fd, self._fd = self._fd, -1
                os.close(fd)


@attrs.define(eq=False)
class _Directory:
    """A directory that is being read: its place in the archive, and what is left of it."""

    fd: int
    name: bytes
    found: os.stat_result
    entries: Iterator[os.DirEntry[str]]


class TreeSource:
    """A directory as an archive: its contents below ``prefix``, then an empty file ``last``, and nothing twice.

    A directory comes after what it holds, so that whoever unpacks it may set its mode and time at once. What
    vanishes meanwhile is left out; of a file that grows, what it held at first is taken.
    """

    def __init__(self, path: str, *, prefix: bytes, last: bytes) -> None:
        require_directory_descriptors()
        self.tally = Tally(path=path)
        self.total: int | None = None
        self._path = path
        self._prefix = prefix
        self._last = last
        self._lock = threading.Lock()
        self._length = 0
        self._open: list[_Directory] = []
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._enter(fd, b"")
        found = self._open[0].found
        self.mode, self.mtime = found.st_mode & MODE, seconds(found)
        self._pieces = self._archive()

    def read(self, size: int) -> bytes:
        parts: list[bytes] = []
        length = 0
        with self._lock:
            for piece in self._pieces:
                parts.append(piece)
                length += len(piece)
                self._length += len(piece)
                if length >= size:
                    break
        return b"".join(parts)

    def close(self) -> None:
        with self._lock:
            self._pieces.close()
            while self._open:
                os.close(self._open.pop().fd)

    def _enter(self, fd: int, name: bytes) -> None:
        try:
            found = os.fstat(fd)
            # The descriptor stays open as long as something below it is read; entries are sorted for their order.
            with os.scandir(fd) as entries:
                listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        except BaseException:
            os.close(fd)
            raise
        self._open.append(_Directory(fd, name, found, iter(listed)))

    def _archive(self) -> Generator[bytes]:
        while self._open:
            here = self._open[-1]
            entry = next(here.entries, None)
            if entry is None:
                yield self._leave()
                continue
            name = here.name + os.fsencode(entry.name)
            self.tally.path = path = os.fsdecode(name)
            try:
                # What it is by now is seen when it is opened; this spares asking twice.
                if entry.is_symlink():
                    yield self._symlink(here.fd, entry.name, name)
                elif entry.is_dir(follow_symlinks=False):
                    self._enter(os.open(entry.name, _DIRECTORY, dir_fd=here.fd), name + b"/")
                elif entry.is_file(follow_symlinks=False):
                    yield from self._file(here.fd, entry.name, name)
                else:
                    self.tally.skipped.append(path)
            except FileNotFoundError:
                continue
            except OSError as exc:
                exc.filename = f"{self._path}/{path}"
                raise
        yield header(Entry(name=self._last, kind="file"))
        yield end(self._length)

    def _leave(self) -> bytes:
        """Give the entry of a directory that has been read."""
        done = self._open.pop()
        os.close(done.fd)
        if not done.name:
            return b""
        self.tally.directories += 1
        mtime = seconds(done.found)
        name = self._prefix + done.name
        return header(Entry(name=name, kind="directory", mode=done.found.st_mode & MODE, mtime=mtime))

    def _symlink(self, parent: int, entry: str, name: bytes) -> bytes:
        target = os.fsencode(os.readlink(entry, dir_fd=parent))
        mtime = seconds(os.lstat(entry, dir_fd=parent))
        self.tally.symlinks += 1
        return header(Entry(name=self._prefix + name, kind="symlink", target=target, mode=MODE, mtime=mtime))

    def _file(self, parent: int, entry: str, name: bytes) -> Iterator[bytes]:
        fd = os.open(entry, _FILE, dir_fd=parent)
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                self.tally.skipped.append(os.fsdecode(name))
                return
            data, size = _begin(fd, found.st_size)
            if size is None:
                raise InvalidRequest(
                    f"cannot upload {f'{self._path}/{self.tally.path}'!r} within its directory: it tells no size and "
                    f"holds more than {PIECE:,} bytes; upload it by itself"
                )
            mode, mtime = found.st_mode & MODE, seconds(found)
            self.tally.files += 1
            yield header(Entry(name=self._prefix + name, kind="file", size=size, mode=mode, mtime=mtime))
            left = size
            while left:
                data = data or os.read(fd, min(left, PIECE))
                if not data:
                    raise OSError(errno.EIO, "it became shorter while it was read")
                left -= len(data)
                self.tally.bytes += len(data)
                yield data
                data = b""
            yield padding(size)
        finally:
            os.close(fd)


def open_source(path: str, *, prefix: bytes, last: bytes) -> FileSource | TreeSource:
    """Open a file or a directory; a symlink is followed. Raises Python's own errors, or ``InvalidRequest``."""
    found = Path(path).stat()
    if stat.S_ISDIR(found.st_mode):
        return TreeSource(path, prefix=prefix, last=last)
    # Not to hang on a FIFO that came since.
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        raise InvalidRequest(f"cannot upload {path!r}: it is neither a file nor a directory")
    return FileSource(path, fd, found)
