"""Files over nothing but commands: each operation is one small program that the sandbox's ``/bin/sh`` runs.

So everything is done as the sandbox's user and lands where the sandbox sees it (F7), on any image with a shell and
the usual small tools.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import TypeVar

import attrs

from sandboxkit.errors import FileError, FileMissing, InvalidRequest, SandboxError
from sandboxkit.fileerrors import file_error, not_atomic, too_large, understand
from sandboxkit.filelisting import parse_list, parse_stat
from sandboxkit.fileprograms import COPY, DISCARD_COPY, GLOB, LIST, MKDIR, MOVE, REMOVE, STAT
from sandboxkit.filereader import ShellReader
from sandboxkit.filewriter import ShellWriter, temporary_name
from sandboxkit.globbing import Pattern
from sandboxkit.model import FileInfo
from sandboxkit.paths import display, names_directory, tool_argument, without_slashes
from sandboxkit.programs import CLEANUP_LIMIT, PATIENCE, Program, failure, run_program, try_program
from sandboxkit.provider import SandboxProvider

T = TypeVar("T")

TREE_LIMIT = 600.0
"""Seconds that copying, moving or removing may take, which grow with the tree and report no progress."""


def _flag(value: bool) -> bytes:
    return b"1" if value else b""


def _entry(path: bytes, doing: str) -> bytes:
    """A path whose last part names an entry of a directory, as a tool's argument."""
    if names_directory(path := without_slashes(path)):
        raise InvalidRequest(f"cannot {doing} {display(path)!r}: give the name that it has in its directory")
    return tool_argument(path)


@attrs.define(eq=False)
class ShellFiles:
    """See :class:`~sandboxkit.provider.FileOperations`.

    ``patience`` (seconds) limits a short operation, and in a transfer each wait for progress.
    """

    provider: SandboxProvider = attrs.field(repr=False)
    sandbox_id: str
    patience: float = attrs.field(default=PATIENCE, kw_only=True)
    tree_limit: float = attrs.field(default=TREE_LIMIT, kw_only=True)

    def open_read(self, path: bytes, *, offset: int = 0, length: int | None = None) -> ShellReader:
        return ShellReader(self.provider, self.sandbox_id, path, offset, length, patience=self.patience)

    def open_write(
        self, path: bytes, *, mode: int | None = None, atomic: bool = True, append: bool = False
    ) -> ShellWriter:
        return ShellWriter(self.provider, self.sandbox_id, path, mode, atomic, append, patience=self.patience)

    async def read(self, path: bytes, *, offset: int, length: int | None, limit: int) -> bytes:
        content = BytesIO()  # not pieces that are joined at the end, and in memory twice then
        reader = ShellReader(self.provider, self.sandbox_id, path, offset, length, limit, patience=self.patience)
        async with reader:
            async for piece in reader:
                if content.tell() + len(piece) > limit:
                    raise too_large(display(path), limit)
                content.write(piece)
        return content.getvalue()

    async def write(
        self, path: bytes, data: bytes | memoryview, *, mode: int | None, atomic: bool, append: bool
    ) -> None:
        await self.open_write(path, mode=mode, atomic=atomic, append=append).write_all(data)

    async def list(self, path: bytes) -> Sequence[FileInfo]:
        output = await self._run("list", LIST, path, tool_argument(path))
        return self._parsed("list", path, lambda: parse_list(path, output))

    async def stat(self, path: bytes, *, follow: bool) -> FileInfo:
        output = await self._run("stat", STAT, path, tool_argument(path), b"-L" if follow else b"")
        return self._parsed("stat", path, lambda: parse_stat(path, output))

    async def mkdir(self, path: bytes, *, mode: int | None, parents: bool, exist_ok: bool) -> None:
        argument = tool_argument(without_slashes(path))
        digits = b"" if mode is None else b"%o" % mode
        await self._run("make", MKDIR, path, argument, digits, _flag(parents), _flag(exist_ok))

    async def remove(self, path: bytes, *, recursive: bool, missing_ok: bool) -> None:
        argument = _entry(path, "remove")
        limit = self.tree_limit if recursive else self.patience
        try:
            await self._run("remove", REMOVE, path, argument, _flag(recursive), limit=limit)
        except FileMissing:
            if not missing_ok:
                raise

    async def move(self, source: bytes, target: bytes, *, overwrite: bool) -> None:
        await self._transplant("move", MOVE, source, target, overwrite)

    async def copy(self, source: bytes, target: bytes, *, recursive: bool, overwrite: bool) -> None:
        await self._transplant("copy", COPY, source, target, overwrite, _flag(recursive))

    async def glob(self, pattern: bytes) -> Sequence[bytes]:
        parsed = Pattern.parse(pattern)
        if not parsed.components:
            return [parsed.prefix]
        output = await self._run("search", GLOB, pattern, *parsed.walk(), limit=self.tree_limit)
        return parsed.select(output.split(b"\0")[:-1])

    async def _run(self, doing: str, text: str, path: bytes, *args: bytes, limit: float | None = None) -> bytes:
        """Run a program about one path to its end and give what it printed."""
        parts: list[bytes] = []
        program = await run_program(
            self.provider,
            self.sandbox_id,
            doing,
            text,
            args,
            sink=parts.append,
            limit=self.patience if limit is None else limit,
        )
        error = failure(program, path)
        if error is not None:
            raise error
        return b"".join(parts)

    async def _transplant(
        self, doing: str, text: str, source: bytes, target: bytes, overwrite: bool, *more: bytes
    ) -> None:
        """Run a program about two paths; one that is given up leaves nothing but a whole target."""
        temporary = temporary_name()
        args = (_entry(source, doing), _entry(target, doing), _flag(overwrite), temporary, *more)
        world = self.provider.world
        try:
            program = await run_program(self.provider, self.sandbox_id, doing, text, args, limit=self.tree_limit)
        except BaseException:
            until = world.now() + CLEANUP_LIMIT
            clean = try_program(
                self.provider, self.sandbox_id, DISCARD_COPY, (args[1], temporary), limit=CLEANUP_LIMIT
            )
            await world.protect(clean, until=until)
            raise
        if program.exit_code:
            raise _pair_error(program, source, target)

    def _parsed(self, doing: str, path: bytes, parse: Callable[[], T]) -> T:
        try:
            return parse()
        except ValueError as exc:
            raise FileError(
                f"cannot {doing} {display(path)!r} in the sandbox: its tools answer in an unknown form ({exc})",
                path=display(path),
            ) from None


def _pair_error(program: Program, source: bytes, target: bytes) -> SandboxError:
    complaint = understand(program.exit_code or 0, program.stderr)
    meant = display(source if complaint.about_source else target)
    if program.doing == "copy" and complaint.number == errno.EBUSY:
        return not_atomic(program.doing, meant)
    return file_error(program.doing, complaint, meant, f"{display(source)!r} to {display(target)!r}")
