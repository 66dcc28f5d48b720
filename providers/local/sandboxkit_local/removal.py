"""Removing a directory tree that its sandbox may have made hostile: unreadable, bottomless, full of links.

Directories are moved up to the top one by one and emptied there, so no depth is too deep for paths, descriptors or
the stack. Nothing outside is ever touched: a link is removed, never followed.
"""

from __future__ import annotations

import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PREFIX = ".sandboxkit-"


def remove_tree(path: str, *, first: tuple[str, ...] = ()) -> None:
    """Remove ``path`` and all that is in it; what is gone already is fine. Raises ``OSError`` otherwise.

    ``first`` names entries of it to remove before the others.
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    try:
        for name in first:
            _try_unlink(name, top)
        _Removal(top).run()
    finally:
        os.close(top)
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return


def _try_unlink(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        return


class _Removal:
    def __init__(self, top: int) -> None:
        self._top = top
        self._waiting: list[str] = []
        self._count = 0

    def run(self) -> None:
        self._empty(self._top)
        while self._waiting:
            name = self._waiting.pop()
            fd = self._open(name, self._top)
            if fd is None:
                continue
            try:
                self._empty(fd)
            finally:
                os.close(fd)
            try:
                os.rmdir(name, dir_fd=self._top)
            except FileNotFoundError:
                continue

    def _open(self, name: str, parent: int) -> int | None:
        try:
            return os.open(name, _DIRECTORY, dir_fd=parent)
        except FileNotFoundError:
            return None
        except PermissionError:
            os.chmod(name, 0o700, dir_fd=parent)
            return os.open(name, _DIRECTORY, dir_fd=parent)

    def _empty(self, fd: int) -> None:
        with os.scandir(fd) as entries:
            found = [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]
        if found and os.fstat(fd).st_mode & 0o300 != 0o300:
            os.fchmod(fd, 0o700)
        for name, is_directory in found:
            if is_directory:
                self._take_up(name, fd)
            else:
                _try_unlink(name, fd)

    def _take_up(self, name: str, parent: int) -> None:
        try:
            os.rmdir(name, dir_fd=parent)
            return
        except FileNotFoundError:
            return
        except OSError:
            pass  # not empty
        if parent == self._top:
            self._waiting.append(name)
            return
        self._count += 1
        new = f"{_PREFIX}{self._count}-{os.getpid()}"
        try:
            os.rename(name, new, src_dir_fd=parent, dst_dir_fd=self._top)
        except PermissionError:
            # Its ".." changes too, so it must be writable itself.
            os.chmod(name, 0o700, dir_fd=parent)
            os.rename(name, new, src_dir_fd=parent, dst_dir_fd=self._top)
        self._waiting.append(new)
