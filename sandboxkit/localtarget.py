"""Where a download goes on this machine: staged aside, then renamed file by file. All of it blocks.

What arrives stays beside its place, or for a directory that exists within it, until all of it has arrived: on the
same file system, and for nobody else to read.
"""

from __future__ import annotations

import errno
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from sandboxkit.archive import ArchiveReader, Entry
from sandboxkit.errors import BadArchive, NotAtomic
from sandboxkit.localsource import MODE, Tally, require_directory_descriptors
from sandboxkit.localtree import DIRECTORY, NEW_FILE, StagedTree, merge, opened, remove, set_attributes, write_all
from sandboxkit.paths import names_directory


def _temporary() -> str:
    return f".sandboxkit-{secrets.token_hex(8)}"


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(directory)) from None


def _resolved(path: str) -> Path:
    """Follow the symlinks of a path whose end need not be there; ``OSError`` where they lead round and round."""
    found = Path(os.path.realpath(path))
    try:
        found.stat()
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path) from None
    return found


class Target(Protocol):
    """Where something downloaded goes, for one thread at a time."""

    tally: Tally

    def feed(self, pieces: Iterable[bytes]) -> None:
        """Take what arrived."""
        ...

    def commit(self) -> None:
        """Put what arrived in its place."""
        ...

    def discard(self) -> None:
        """Remove what was staged, when a call that goes on elsewhere has ended; safe to repeat."""
        ...


class FileTarget:
    """A file, written beside its place and renamed onto it."""

    def __init__(self, path: str, *, mode: int, mtime: int) -> None:
        self.tally = Tally(files=1, path=path)
        self._mode, self._mtime = mode & MODE, mtime
        # As with files.write in a sandbox, a symlink stays and what it points to is replaced.
        self._path = _resolved(path)
        if names_directory(os.fsencode(path)) or self._path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if self._path.exists() and not self._path.is_file():
            raise NotAtomic(
                f"cannot download to {path!r}: no file replaces a FIFO, a socket or a device; "
                "read the file and write its bytes there",
                path=path,
            )
        _make(self._path.parent)
        self._staged = self._path.parent / _temporary()
        self._lock = threading.Lock()
        self._fd = os.open(self._staged, NEW_FILE, 0o600)

    def feed(self, pieces: Iterable[bytes]) -> None:
        with self._lock:
            for piece in pieces:
                write_all(self._fd, piece)
                self.tally.bytes += len(piece)

    def commit(self) -> None:
        with self._lock:
            set_attributes(self._fd, self._mode, self._mtime)
            self._close()
            self._staged.replace(self._path)

    def discard(self) -> None:
        with self._lock:
            self._close()
            self._staged.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


class TreeTarget:
    """A directory, filled from an archive of the sandbox's and merged into its place."""

    def __init__(self, path: str) -> None:
        require_directory_descriptors()
        self.tally = Tally(path=path)
        self._path = _resolved(path)
        self._merged = self._path.exists()
        directory = self._path if self._merged else self._path.parent
        if not self._merged:
            _make(directory)
        self._lock = threading.Lock()
        self._staged = _temporary()
        self._reader = ArchiveReader()
        try:
            self._parent = os.open(directory, DIRECTORY)
        except OSError as exc:
            exc.filename = path
            raise
        try:
            os.mkdir(self._staged, 0o700, dir_fd=self._parent)
            self._tree = StagedTree(os.open(self._staged, DIRECTORY, dir_fd=self._parent), self.tally)
        except OSError as exc:
            exc.filename = path
            os.close(self._parent)
            raise

    def feed(self, pieces: Iterable[bytes]) -> None:
        with self._lock:
            for piece in pieces:
                try:
                    found = self._reader.feed(piece)
                except ValueError as exc:
                    raise BadArchive(f"the sandbox sent an archive that is none: {exc}") from None
                for each in found:
                    if isinstance(each, Entry):
                        self._tree.add(each)
                    else:
                        self._tree.write(each)

    def commit(self) -> None:
        with self._lock:
            if not self._reader.ended:
                raise BadArchive("the sandbox sent an archive without an end")
            mode, mtime = self._tree.finish()
            if self._merged:
                merge(self._tree.root, self._parent, str(self._path))
                return
            try:
                os.rename(self._staged, self._path.name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
            except OSError as exc:
                if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                # Someone else made it meanwhile.
                with opened(self._path.name, self._parent) as target:
                    merge(self._tree.root, target, str(self._path))
                return
            set_attributes(self._tree.root, mode, mtime)

    def discard(self) -> None:
        self._tree.abandoned = True
        with self._lock:
            if self._parent < 0:
                return
            parent, self._parent = self._parent, -1
            self._tree.close()
            try:
                remove(self._staged, parent)
            finally:
                os.close(parent)
