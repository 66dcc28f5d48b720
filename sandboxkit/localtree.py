"""A tree of this machine that a sandbox has a say in: filled, merged into another, removed. All of it blocks.

The sandbox is not trusted. Nothing is opened through a path that it chose: every step is taken from the descriptor of
a directory that was made here, by one name, without following symlinks.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from sandboxkit.archive import Entry
from sandboxkit.errors import BadArchive
from sandboxkit.localsource import MODE, Tally, seconds

_ALWAYS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _ALWAYS
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | _ALWAYS
_OLD_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _ALWAYS

MAX_SKIPPED = 100_000
"""Entries that are named as skipped; an archive with more of them is hostile."""

_COPY_PIECE = 1 << 18


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write all of it."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def set_attributes(fd: int, mode: int, mtime: int) -> None:
    """Set permission bits and time of what is open."""
    if os.chmod in os.supports_fd:
        os.chmod(fd, mode)
    if os.utime in os.supports_fd:
        os.utime(fd, (mtime, mtime))


def components(name: bytes) -> tuple[str, ...]:
    """Split an archive's name into the names on its way; ``BadArchive`` for one that leads outside."""
    parts = tuple(os.fsdecode(part) for part in name.split(b"/") if part not in (b"", b"."))
    if name.startswith(b"/") or ".." in parts or b"\0" in name:
        raise BadArchive(f"the sandbox sent an archive with a name that points outside: {os.fsdecode(name)!r}")
    return parts


@contextmanager
def opened(name: str, parent: int, flags: int = DIRECTORY) -> Iterator[int]:
    """Open one name of a directory, a directory unless told otherwise, and close it again."""
    fd = os.open(name, flags, dir_fd=parent)
    try:
        yield fd
    finally:
        os.close(fd)


@attrs.define(eq=False)
class StagedTree:
    """A new directory (``root`` is its descriptor) that an archive's entries fill.

    A directory can be written while it is filled; its own mode and time come when the archive has left it.
    """

    root: int
    tally: Tally
    abandoned: bool = False
    """Set from another thread: what goes on is to end soon."""
    _own: tuple[int, int] = attrs.field(default=(0o755, 0), init=False)
    _pending: list[tuple[tuple[str, ...], int, int]] = attrs.field(factory=list, init=False, repr=False)
    _here: int = attrs.field(default=-1, init=False)
    _path: tuple[str, ...] = attrs.field(default=(), init=False, repr=False)
    _file: int = attrs.field(default=-1, init=False)
    _entry: Entry | None = attrs.field(default=None, init=False, repr=False)
    _left: int = attrs.field(default=0, init=False)
    _flaw: str = attrs.field(default="", init=False, repr=False)

    def add(self, entry: Entry) -> None:
        """Take an entry; a file's contents follow by :meth:`write`."""
        path = components(entry.name)
        self._leave(path)
        if not path:
            if entry.kind != "directory":
                raise BadArchive("the sandbox sent an archive with something in place of the directory")
            self._own = entry.mode & MODE, entry.mtime
            return
        self.tally.path = "/".join(path)
        if entry.kind == "special":
            self._skip(self.tally.path)
            return
        parent = self._enter(path[:-1])
        try:
            self._make(entry, path, parent)
        except FileExistsError:
            raise BadArchive(
                f"{self.tally.path!r} comes twice in the archive, or is one with another name on this file system"
            ) from None
        except OSError as exc:
            exc.filename = self.tally.path
            raise

    def _make(self, entry: Entry, path: tuple[str, ...], parent: int) -> None:
        name = path[-1]
        if entry.kind == "directory":
            os.mkdir(name, 0o700, dir_fd=parent)
            self._pending.append((path, entry.mode & MODE, entry.mtime))
            self.tally.directories += 1
        elif entry.kind == "symlink":
            os.symlink(os.fsdecode(entry.target), name, dir_fd=parent)
            os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)
            self.tally.symlinks += 1
        elif entry.kind == "hardlink":
            self._copy(entry, name, parent)
        else:
            self._file = os.open(name, NEW_FILE, 0o600, dir_fd=parent)
            self._entry, self._left = entry, entry.size
            self.tally.files += 1
            if not self._left:
                self._close_file(entry.mode & MODE, entry.mtime)

    def _copy(self, entry: Entry, name: str, parent: int) -> None:
        """Make a file that was archived as a hard link to an earlier one, by copying that."""
        *directory, original = components(entry.target) or ("",)
        # The descriptor that was given stays open: another directory takes its place only in the cache.
        with self._aside(parent) as here:
            there = self._enter(tuple(directory))
            try:
                with opened(original, there, _OLD_FILE) as source:
                    found = os.fstat(source)
                    if not stat.S_ISREG(found.st_mode):
                        raise OSError(errno.EINVAL, "no file")
                    self._file = os.open(name, NEW_FILE, 0o600, dir_fd=here)
                    while data := os.read(source, _COPY_PIECE):
                        self._put(data)
            except PermissionError:
                # What may not be read, its owner included, can still be linked.
                os.link(original, name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
                self.tally.files += 1
                return
            except OSError as exc:
                if exc.errno not in (errno.ENOENT, errno.ELOOP, errno.EINVAL):
                    raise
                # The archiver may not have been allowed to read that, which it says at its end.
                self._flaw = self._flaw or f"{self.tally.path!r} is a hard link to what is no file of the archive"
                return
        self.tally.files += 1
        self._close_file(found.st_mode & MODE, seconds(found))

    @contextmanager
    def _aside(self, fd: int) -> Iterator[int]:
        copy = os.dup(fd)
        try:
            yield copy
        finally:
            os.close(copy)

    def _skip(self, path: str) -> None:
        if len(self.tally.skipped) >= MAX_SKIPPED:
            raise BadArchive(f"the sandbox sent an archive with more than {MAX_SKIPPED} devices and FIFOs")
        self.tally.skipped.append(path)

    def write(self, data: bytes | memoryview) -> None:
        """Take contents of the file whose entry came last."""
        assert self._entry is not None
        self._put(data)
        self._left -= len(data)
        if not self._left:
            self._close_file(self._entry.mode & MODE, self._entry.mtime)

    def _put(self, data: bytes | memoryview) -> None:
        if self.abandoned:
            raise InterruptedError(errno.EINTR, "the download was given up")
        write_all(self._file, data)
        self.tally.bytes += len(data)

    def _close_file(self, mode: int, mtime: int) -> None:
        set_attributes(self._file, mode, mtime)
        fd, self._file = self._file, -1
        os.close(fd)

    def _enter(self, path: tuple[str, ...]) -> int:
        """Give the descriptor of a directory of the tree, until the next call; what is missing on the way is made."""
        if path == self._path and self._here >= 0:
            return self._here
        if self._here < 0 or path[: len(self._path)] != self._path:
            self._go(os.dup(self.root), ())
        for name in path[len(self._path) :]:
            try:
                fd = os.open(name, DIRECTORY, dir_fd=self._here)
            except FileNotFoundError:
                os.mkdir(name, 0o700, dir_fd=self._here)
                fd = os.open(name, DIRECTORY, dir_fd=self._here)
            except OSError as exc:
                if exc.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise BadArchive(
                    f"the sandbox sent an archive with a name below what is no directory: {'/'.join(path)!r}"
                ) from None
            self._go(fd, (*self._path, name))
        return self._here

    def _go(self, fd: int, path: tuple[str, ...]) -> None:
        if self._here >= 0:
            os.close(self._here)
        self._here, self._path = fd, path

    def _leave(self, path: tuple[str, ...]) -> None:
        """Give their attributes to the directories that the archive has left."""
        while self._pending and path[: len(self._pending[-1][0])] != self._pending[-1][0]:
            done, mode, mtime = self._pending.pop()
            set_attributes(self._enter(done), mode, mtime)

    def finish(self) -> tuple[int, int]:
        """Complete every directory but the root; give the mode and the time that the root should have."""
        self._leave(())
        if self._flaw:
            raise BadArchive(f"the sandbox sent an archive in which {self._flaw}")
        return self._own

    def close(self) -> None:
        """Let go of every descriptor."""
        for fd in (self._file, self._here, self.root):
            if fd >= 0:
                os.close(fd)
        self._file = self._here = self.root = -1


def merge(source: int, target: int, path: str) -> None:
    """Move all that is in a private directory into another one of the same file system, file by file.

    A file or a symlink replaces a file or a symlink, a directory that exists keeps its mode; ``path`` names it
    in errors: ``IsADirectoryError`` and ``NotADirectoryError`` where the kinds differ.
    """
    for name in sorted(os.listdir(source)):
        place = f"{path}/{name}"
        found = os.lstat(name, dir_fd=source)
        try:
            if not stat.S_ISDIR(found.st_mode):
                os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
            elif _missing(name, target):
                _move_directory(name, stat.S_IMODE(found.st_mode), source, target)
            else:
                os.chmod(name, 0o700, dir_fd=source)
                with opened(name, source) as from_there, opened(name, target) as to_there:
                    merge(from_there, to_there, place)
        except OSError as exc:
            if exc.errno == errno.ELOOP:
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), place) from None
            # What was told further down names its place already.
            if exc.filename2 is None and str(exc.filename).startswith("/"):
                raise
            raise OSError(exc.errno, exc.strerror, place) from None


def _missing(name: str, directory: int) -> bool:
    try:
        os.lstat(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    return False


def _move_directory(name: str, mode: int, source: int, target: int) -> None:
    if mode & 0o200:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        return
    # Its ".." changes, for which its owner must be allowed to write it.
    os.chmod(name, 0o700, dir_fd=source)
    with opened(name, source) as moved:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
        os.fchmod(moved, mode)


def remove(name: str, parent: int) -> None:
    """Remove a private directory with all that is in it; nothing there is no error."""
    try:
        os.chmod(name, 0o700, dir_fd=parent)
    except FileNotFoundError:
        return
    with opened(name, parent) as here:
        with os.scandir(here) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
        for each, is_directory in found:
            if is_directory:
                remove(each, here)
            else:
                os.unlink(each, dir_fd=here)
    os.rmdir(name, dir_fd=parent)
