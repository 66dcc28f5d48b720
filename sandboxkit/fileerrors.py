"""From what a small shell program said to the error that its caller gets: pure.

A program tells what it knows itself as ``sandboxkit:<name>`` (and ``:source`` where that is about the first of two
paths) on its last line of stderr with exit code :data:`TOLD`. Otherwise a tool failed, and its words end in the C
library's text for the error, which ``LC_ALL=C`` makes the same everywhere: glibc's or musl's.
"""

from __future__ import annotations

import errno
import re

import attrs

from sandboxkit.errors import (
    FileError,
    FileExists,
    FileMissing,
    FilePermission,
    FileTooLarge,
    IsDirectory,
    NoSpaceLeft,
    NotAtomic,
    NotDirectory,
)

TOLD = 99
"""The exit code of a program that says by itself what is wrong."""

STOPPED = 98
"""The exit code of a write whose input ended, or was called off, before the commit."""

SOURCE = 97
"""The exit code of a program when a tool's complaint is about the first of its two paths."""

NOT_ATOMIC = "NOTATOMIC"
NO_TAR = "NOTAR"

_CLASSES: dict[int, type[FileError]] = {
    errno.ENOENT: FileMissing,
    errno.EISDIR: IsDirectory,
    errno.ENOTDIR: NotDirectory,
    errno.EACCES: FilePermission,
    errno.EPERM: FilePermission,
    errno.EROFS: FilePermission,
    errno.ENOSPC: NoSpaceLeft,
    errno.EDQUOT: NoSpaceLeft,
    errno.EEXIST: FileExists,
}

_WORDS: dict[str, int] = {
    "no such file or directory": errno.ENOENT,
    "is a directory": errno.EISDIR,
    "not a directory": errno.ENOTDIR,
    "permission denied": errno.EACCES,
    "operation not permitted": errno.EPERM,
    "read-only file system": errno.EROFS,
    "no space left on device": errno.ENOSPC,
    "disk quota exceeded": errno.EDQUOT,
    "quota exceeded": errno.EDQUOT,
    "file exists": errno.EEXIST,
    "directory not empty": errno.ENOTEMPTY,
    "device or resource busy": errno.EBUSY,
    "resource busy": errno.EBUSY,
    "text file busy": errno.ETXTBSY,
    "file name too long": errno.ENAMETOOLONG,
    "filename too long": errno.ENAMETOOLONG,
    "too many levels of symbolic links": errno.ELOOP,
    "symbolic link loop": errno.ELOOP,
    "cross-device link": errno.EXDEV,
    "file too large": errno.EFBIG,
    "invalid argument": errno.EINVAL,
    "no such device or address": errno.ENXIO,
    "input/output error": errno.EIO,
    "i/o error": errno.EIO,
    "cannot allocate memory": errno.ENOMEM,
    "out of memory": errno.ENOMEM,
}

_WORD = re.compile("(?:^|[ :'\"])(" + "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True)) + ")$")


@attrs.frozen
class Complaint:
    """What went wrong: an ``errno`` (0 if nobody said), in which words, whether the source is meant.

    ``told`` is the name that the program gave itself.
    """

    number: int
    words: str = ""
    about_source: bool = False
    told: str = ""

    @classmethod
    def of(cls, name: str, *, about_source: bool = False) -> Complaint:
        """Make a complaint from the name of an ``errno``, or :data:`NOT_ATOMIC`."""
        number = errno.EXDEV if name == NOT_ATOMIC else getattr(errno, name, 0)
        return cls(number, about_source=about_source, told=name)


def understand(exit_code: int, stderr: bytes) -> Complaint:
    """Make sense of a failed program's exit code and last words."""
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    if exit_code == TOLD and lines and lines[-1].startswith("sandboxkit:"):
        name, _, about = lines[-1].removeprefix("sandboxkit:").partition(":")
        return Complaint.of(name, about_source=about == "source")
    for line in reversed(lines):
        found = _WORD.search(line.strip().lower())
        if found:
            return Complaint(_WORDS[found[1]], found[1], about_source=exit_code == SOURCE)
    words = lines[-1].strip()[-300:] if lines else f"its program ended with exit code {exit_code}"
    return Complaint(0, words, about_source=exit_code == SOURCE)


_TEXTS = {
    errno.ENOENT: "no such file or directory",
    errno.EISDIR: "is a directory",
    errno.ENOTDIR: "not a directory, or below something that is none",
    errno.EACCES: "permission denied",
    errno.EEXIST: "exists already",
    errno.ENOTEMPTY: "the directory is not empty; recursive=True removes it with what it holds",
    errno.ELOOP: "too many levels of symbolic links",
    errno.EINVAL: "not possible for this kind of file, or a directory into itself",
}


def file_error(doing: str, complaint: Complaint, path: str, what: str = "") -> FileError:
    """Make the error for ``path``; ``doing`` is the verb, as in ``cannot write``, ``what`` names both paths."""
    if complaint.told == NOT_ATOMIC:
        return not_atomic(doing, path)
    if complaint.told == NO_TAR:
        return FileError(
            f"cannot {doing} {path!r}: the sandbox has no tar, by which directories move; move its files singly",
            path=path,
        )
    words = _TEXTS.get(complaint.number) or complaint.words or f"errno {complaint.number}"
    kind = _CLASSES.get(complaint.number, FileError)
    about = f"{what} in the sandbox: {path!r}" if what else f"{path!r} in the sandbox"
    return kind(f"cannot {doing} {about}: {words}", path=path, errno=complaint.number or None)


def not_atomic(doing: str, path: str) -> NotAtomic:
    """Make the error for a target that no file can be renamed onto."""
    return NotAtomic(
        f"cannot {doing} {path!r} atomically: it is a mount point or a special file, or its directory may not be "
        "written; a write with atomic=False changes it in place",
        path=path,
    )


def too_large(path: str, limit: int) -> FileTooLarge:
    """Make the error for a read that would give more than its limit."""
    return FileTooLarge(
        f"{path!r} holds more than the limit of {limit} bytes; raise limit=, ask for a range, or use open_read",
        path=path,
    )
