"""A sandbox's files, as its user sees them (asyncio; the blocking face is derived in :mod:`sandboxkit.sync`)."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Self

import attrs

from sandboxkit.errors import FileError, FileMissing, InvalidRequest, NotDirectory
from sandboxkit.model import DEFAULT_READ_LIMIT, MAX_COUNT, FileInfo, TransferResult
from sandboxkit.paths import RemotePath, display, remote_path
from sandboxkit.transfer import Download, LocalPath, ProgressListener, Upload, ignore, local_path

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from sandboxkit.provider import FileOperations, FileReader, FileWriter, SandboxProvider

Paths = list[str]
"""A list of paths; the class below has a method of the type's name."""

FileData = bytes | bytearray | memoryview | str


def _bytes(data: FileData) -> bytes | memoryview:
    if isinstance(data, str):
        try:
            return data.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidRequest("what is written holds a surrogate that is not an escaped byte") from None
    if not isinstance(data, bytes | bytearray | memoryview):
        raise InvalidRequest(f"what is written must be str or bytes, not {type(data).__name__}")
    if isinstance(data, memoryview):
        return data.cast("B") if data.c_contiguous else bytes(data)
    return memoryview(data) if isinstance(data, bytearray) else data


def _count(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidRequest(f"{name} must be a number of bytes, not {value!r}")
    if value > MAX_COUNT:
        raise InvalidRequest(f"{name} must be at most 2**63 - 1 bytes")
    return value


def _optional_count(name: str, value: int | None) -> int | None:
    return None if value is None else _count(name, value)


def _mode(mode: int | None) -> int | None:
    if mode is None:
        return None
    if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise InvalidRequest(f"mode must be permission bits like 0o644, not {mode!r}")
    return mode


@attrs.define(eq=False)
class AsyncReader:
    """A file being read, inside its ``async with`` block: iterate over its pieces, or call :meth:`read`."""

    _reader: FileReader = attrs.field(repr=False)
    _pieces: AsyncIterator[bytes] | None = attrs.field(default=None, init=False, repr=False)

    async def __aenter__(self) -> Self:
        self._reader = await self._reader.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._reader.__aexit__(*exc)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Give the next piece, of any size but empty."""
        if self._pieces is None:
            self._pieces = self._reader.__aiter__()
        return await self._pieces.__anext__()

    async def read(self, size: int = -1) -> bytes:
        """Give exactly ``size`` bytes, fewer only at the end of the file; all that is left for -1."""
        if isinstance(size, bool) or not isinstance(size, int):
            raise InvalidRequest(f"size must be a number of bytes, or -1 for all that is left, not {size!r}")
        return await self._reader.read(size)


@attrs.define(eq=False)
class AsyncWriter:
    """A file being written, inside its ``async with`` block; without an exception the block's end commits it."""

    _writer: FileWriter = attrs.field(repr=False)

    async def __aenter__(self) -> Self:
        self._writer = await self._writer.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._writer.__aexit__(*exc)

    async def write(self, data: FileData) -> None:
        """Send bytes (text as for :meth:`AsyncFiles.write`).

        After an error nothing more can be written, and nothing is committed.
        """
        await self._writer.write(_bytes(data))


@attrs.define(eq=False)
class AsyncFiles:
    """The files of one sandbox, with the rights and the view of the sandbox's user (F1-F7).

    A path is ``str``, ``bytes`` or ``PurePosixPath``; a relative one starts at the sandbox's working directory. Names
    that are not UTF-8 are ``str`` with surrogate escapes, as in :mod:`os`. What cannot be a path is refused with
    ``InvalidRequest`` before anything is sent.

    Errors are :class:`~sandboxkit.errors.FileError` and Python's own at once (``FileNotFoundError``,
    ``IsADirectoryError``, ``NotADirectoryError``, ``PermissionError``, ``FileExistsError``; ``NoSpaceLeft`` has the
    ``errno`` ``ENOSPC``), with ``errno`` and ``path``. An operation that stands still for a minute raises
    ``DeadlineExceeded``; one that is cancelled is ended in the sandbox before the cancellation goes on.
    """

    _operations: FileOperations = attrs.field(repr=False)
    _provider: SandboxProvider = attrs.field(repr=False)
    _sandbox_id: str

    async def read(
        self,
        path: RemotePath,
        *,
        offset: int = 0,
        length: int | None = None,
        limit: int = DEFAULT_READ_LIMIT,
    ) -> bytes:
        """Give a file's bytes, or ``length`` of them from ``offset`` (fewer where the file ends).

        More than ``limit`` bytes are ``FileTooLarge``, mostly before any of them was sent: see :meth:`open_read`.
        """
        return await self._operations.read(
            remote_path(path),
            offset=_count("offset", offset),
            length=_optional_count("length", length),
            limit=_count("limit", limit),
        )

    async def read_text(
        self, path: RemotePath, *, encoding: str = "utf-8", errors: str = "strict", limit: int = DEFAULT_READ_LIMIT
    ) -> str:
        """Give a file as text, line ends as they are; ``limit`` is in bytes, as for :meth:`read`."""
        data = await self.read(path, limit=limit)
        return data.decode(encoding, errors)

    def open_read(self, path: RemotePath, *, offset: int = 0, length: int | None = None) -> AsyncReader:
        """Read a file of any size in bounded memory, or ``length`` bytes of it from ``offset``.

        Enter it with ``async with`` (blocking: ``with``), which raises what is wrong with the path; iterate over
        its pieces or call ``read(size)``. The sandbox sends no faster than it is read; leaving the block ends the
        transfer.
        """
        reader = self._operations.open_read(
            remote_path(path), offset=_count("offset", offset), length=_optional_count("length", length)
        )
        return AsyncReader(reader)

    def open_write(
        self, path: RemotePath, *, mode: int | None = None, atomic: bool = True, append: bool = False
    ) -> AsyncWriter:
        """Write a file of any size in bounded memory.

        Enter it with ``async with`` (blocking: ``with``) and call ``write(data)``. The file appears, whole, when the
        block ends; an exception in the block, a cancellation or a lost client leave what was there, and nothing
        else. Otherwise as :meth:`write`, and with ``append`` as :meth:`append`, whose bytes stay once sent.
        """
        writer = self._operations.open_write(remote_path(path), mode=_mode(mode), atomic=atomic, append=append)
        return AsyncWriter(writer)

    async def write(self, path: RemotePath, data: FileData, *, mode: int | None = None, atomic: bool = True) -> None:
        """Write a file (text as UTF-8, surrogate escapes kept), making its parent directories.

        At every moment others see the old file or the new one, whole; after an error, the old one. Symlinks are
        followed. The mode, and where the sandbox's user may set it the owner, of a file that is replaced are kept; a
        new one has 0o666 less the umask; ``mode`` overrides both. Other hard links keep the old content. Nothing is
        synced to the disk.

        Where no file can be renamed onto the target (a mount point, a device, a FIFO, a directory that may not be
        written) it is ``NotAtomic``: ``atomic=False`` truncates the target and writes in place.
        """
        await self._operations.write(remote_path(path), _bytes(data), mode=_mode(mode), atomic=atomic, append=False)

    async def append(self, path: RemotePath, data: FileData) -> None:
        """Add to the end of a file (text as for :meth:`write`), which is made if it is missing, with its parents.

        It is done in place: readers may see a part, and a failure may leave one.
        """
        await self._operations.write(remote_path(path), _bytes(data), mode=None, atomic=False, append=True)

    async def list(self, path: RemotePath = ".") -> Sequence[FileInfo]:
        """Give all that is in a directory, hidden entries too, sorted by the bytes of the names.

        Symlinks are described themselves, with their ``target``; ``path`` is the directory's as it was given, joined
        with the name (for ``"."`` the name alone).
        """
        return await self._operations.list(remote_path(path))

    async def stat(self, path: RemotePath, *, follow: bool = True) -> FileInfo:
        """Describe a file; with ``follow=False`` a symlink itself. Times are whole seconds."""
        return await self._operations.stat(remote_path(path), follow=follow)

    async def exists(self, path: RemotePath) -> bool:
        """Tell whether there is something; a symlink to nothing is not. An unreadable directory is an error."""
        try:
            await self.stat(path)
        except (FileMissing, NotDirectory):
            return False
        except FileError as exc:
            if exc.errno == errno.ELOOP:
                return False
            raise
        return True

    async def mkdir(
        self, path: RemotePath, *, mode: int | None = None, parents: bool = True, exist_ok: bool = True
    ) -> None:
        """Make a directory; ``mode`` is its own only, and only if it is new (else 0o777 less the umask).

        With ``exist_ok=False`` an existing one is ``FileExists``, and of several callers one succeeds; with
        ``parents=False`` a missing parent is ``FileMissing``.
        """
        await self._operations.mkdir(remote_path(path), mode=_mode(mode), parents=parents, exist_ok=exist_ok)

    async def remove(self, path: RemotePath, *, recursive: bool = False, missing_ok: bool = False) -> None:
        """Remove a file, a symlink (never what it points to) or an empty directory; ``recursive`` any directory.

        A directory that is not empty is a ``FileError`` with the ``errno`` ``ENOTEMPTY``.
        """
        await self._operations.remove(remote_path(path), recursive=recursive, missing_ok=missing_ok)

    async def move(self, source: RemotePath, target: RemotePath, *, overwrite: bool = True) -> None:
        """Rename a file, symlink or directory to the full path ``target``, whose directory must exist.

        A file replaces a file at once; a directory, empty or not, or a symlink to one, is never replaced or moved
        into (``IsDirectory``, or ``FileExists`` where the source is one too). With ``overwrite=False`` any target is
        ``FileExists``. Across file systems it is copied first: the target still appears whole, the source goes
        afterwards.
        """
        await self._operations.move(remote_path(source), remote_path(target), overwrite=overwrite)

    async def copy(
        self, source: RemotePath, target: RemotePath, *, recursive: bool = False, overwrite: bool = True
    ) -> None:
        """Copy a file, or with ``recursive`` a directory, to the full path ``target``, whose directory must exist.

        Modes and times are kept. A symlink ``source`` or ``target`` is followed; those inside a directory stay
        symlinks. The target appears whole. A directory is copied only to where nothing is (``FileExists``).
        """
        await self._operations.copy(
            remote_path(source), remote_path(target), recursive=recursive, overwrite=overwrite
        )

    async def glob(self, pattern: RemotePath) -> Paths:
        """Give the paths that match, sorted by their bytes; none is no error, nor is an unreadable directory.

        ``*``, ``?`` and ``[…]`` match within a name, hidden ones too, as in ``pathlib``; ``**`` any depth of
        directories, and at the end everything below. Neither it nor what follows it goes through symlinks. ``[*]`` is
        a literal ``*``; a slash at the end restricts to directories.
        """
        return [display(path) for path in await self._operations.glob(remote_path(pattern))]

    async def upload(
        self, local: LocalPath, remote: RemotePath, *, progress: ProgressListener | None = None
    ) -> TransferResult:
        """Bring a file or a directory of this machine into the sandbox.

        ``remote`` is the full path that it gets, with missing parents. A file's contents, permission bits and time
        replace a file as :meth:`write` does; a directory there is ``IsDirectory``. Of a directory, all that it holds
        comes into ``remote``, which may exist: files and symlinks replace files and symlinks, what else is there
        stays, and directories that exist keep their modes. A file in the place of a directory is ``NotDirectory``
        (also a symlink to one: none is followed below ``remote``), a directory in that of a file ``IsDirectory``.

        Everything arrives before any of it appears, then file by file: nobody sees half a file, and an upload that
        fails before that or is cancelled changes nothing. Symlinks stay symlinks, hard links become files of their
        own; set-uid, set-gid and sticky bits are dropped; everything is owned by the sandbox's user. FIFOs, sockets
        and devices are left out and named in the result. A directory needs ``tar`` in the sandbox. What tells no
        size, as files of ``/proc`` do, arrives as well, within a directory up to 1 MiB (else ``InvalidRequest``).

        ``progress`` is called with a :class:`~sandboxkit.model.TransferProgress` as it goes. What is wrong on this
        machine is a plain ``OSError`` about the local path.
        """
        upload = Upload(self._provider, self._sandbox_id, local_path(local), remote_path(remote), progress or ignore)
        return await upload.run()

    async def download(
        self, remote: RemotePath, local: LocalPath, *, progress: ProgressListener | None = None
    ) -> TransferResult:
        """Bring a file or a directory of the sandbox to this machine; otherwise as :meth:`upload`, the other way.

        What comes is not trusted: nothing outside ``local`` is ever written, whatever the sandbox sends
        (``BadArchive``), and files are this process's own. A symlink is kept as it is, wherever it points: take care
        where you follow it. A file that someone writes to or removes meanwhile is named in the result's ``changed``.
        """
        download = Download(
            self._provider, self._sandbox_id, remote_path(remote), local_path(local), progress or ignore
        )
        return await download.run()
