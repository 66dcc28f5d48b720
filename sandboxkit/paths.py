"""Paths in a sandbox: always POSIX, always bytes on the way in, checked before anything is sent."""

from __future__ import annotations

import os
from pathlib import PureWindowsPath
from typing import TypeAlias

from sandboxkit.errors import ArgumentsTooLong, InvalidRequest
from sandboxkit.model import MAX_ARGUMENT

RemotePath: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
"""What a user may give: text with surrogate escapes, bytes, or a ``PurePosixPath``."""


def remote_path(value: RemotePath) -> bytes:
    """Give a path as the bytes that the sandbox sees; surrogate escapes become the bytes they stand for.

    Refuses with ``InvalidRequest`` what cannot be one: an empty path, a NUL, a Windows path, text that is neither
    UTF-8 nor surrogate escapes. The lengths of names are left to the sandbox's file system, as far as a path can be
    passed there at all.
    """
    if isinstance(value, PureWindowsPath):
        raise InvalidRequest(f"{value!r} is a Windows path; paths in a sandbox are POSIX, use PurePosixPath")
    try:
        path = os.fspath(value)
    except TypeError:
        raise InvalidRequest(f"a path is str, bytes or PurePosixPath, not {type(value).__name__}") from None
    # Not os.fsencode: the client's own file system encoding says nothing about the sandbox's.
    try:
        data = path.encode("utf-8", "surrogateescape") if isinstance(path, str) else path
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"path {path!r} cannot be written as bytes: {exc.reason}") from None
    if not data:
        raise InvalidRequest("the path is empty; '.' is the sandbox's working directory")
    if b"\0" in data:
        raise InvalidRequest(f"path {path!r} holds a NUL, which no file name can")
    if len(data) > MAX_ARGUMENT - 2:
        raise ArgumentsTooLong(f"a path of {len(data)} bytes; Linux takes 4,095")
    return data


def display(path: bytes) -> str:
    """Give a path as text that :func:`remote_path` turns back into the same bytes."""
    return path.decode("utf-8", "surrogateescape")


def tool_argument(path: bytes) -> bytes:
    """Give the path a form that no tool takes for an option, and that has a directory part."""
    return path if path.startswith((b"/", b"./", b"../")) else b"./" + path


def names_directory(path: bytes) -> bool:
    """Tell whether a path can only be a directory's: it ends in ``/``, ``.`` or ``..``."""
    return path.rsplit(b"/", 1)[-1] in (b"", b".", b"..")


def without_slashes(path: bytes) -> bytes:
    """Drop trailing slashes, which make tools follow a symlink; the root stays."""
    return path.rstrip(b"/") or b"/"
