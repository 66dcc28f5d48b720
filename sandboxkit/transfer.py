"""Uploads and downloads: files and whole directories, each as one stream, in bounded memory.

A file is written and read as :mod:`sandboxkit.files` does it. A directory travels as one tar archive, packed and
unpacked by the sandbox's own ``tar`` (:mod:`sandboxkit.treeprograms`) and by the client's own code, which trusts
nothing that comes (:mod:`sandboxkit.localtree`). On either side all of it arrives before any of it appears.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from sandboxkit.complaints import Complaints
from sandboxkit.errors import BadArchive, CommandLost, FileError, InvalidRequest, SandboxError
from sandboxkit.fileerrors import STOPPED, file_error, not_atomic, understand
from sandboxkit.filewriter import ShellWriter, temporary_name
from sandboxkit.localsource import PIECE, FileSource, Source, open_source
from sandboxkit.localtarget import FileTarget, Target, TreeTarget
from sandboxkit.model import TransferProgress, TransferResult
from sandboxkit.paths import display, tool_argument, without_slashes
from sandboxkit.programs import CLEANUP_LIMIT, PATIENCE, Program, failure, start_program, try_program
from sandboxkit.treeprograms import COMPLETE, CONTENT, DISCARD_TREE, PACK, UNPACK

if TYPE_CHECKING:
    from sandboxkit.provider import SandboxProvider

ProgressListener = Callable[[TransferProgress], object]
"""Called where the transfer was called from, whenever some of it went; what it raises gives the transfer up."""

LocalPath = str | os.PathLike[str]

MERGE_LIMIT = 600.0
"""Seconds that putting in place what has arrived may take, which grows with the tree and shows no progress."""

COMMIT_LIMIT = 600.0
"""Seconds for the same on this machine."""

_HEAD = 200
"""Bytes within which a download says what it is."""

# A time before 1970 is negative.
_FILE_HEAD = re.compile(rb"f([0-7]{1,4}) (-?[0-9]{1,18}) ([0-9]{1,19})\n")


def local_path(path: LocalPath) -> str:
    """Check a path of this machine."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = ""
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidRequest(f"a local path is text or a pathlib.Path, and not empty: not {path!r}")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as exc:
        raise InvalidRequest(f"local path {text!r} cannot be written as bytes: {exc.reason}") from None
    return text


def ignore(progress: TransferProgress) -> None:
    """Listen to nothing."""


def tree_error(program: Program, path: bytes) -> SandboxError | None:
    """Give the error of a program about a tree that has ended, if any."""
    if program.exit_code == STOPPED:
        return FileError(
            f"cannot {program.doing} {display(path)!r} in the sandbox: the channel lost a part of it",
            path=display(path),
        )
    error = failure(program, path)
    if error is not None and understand(program.exit_code or 0, program.stderr).words.endswith("resource busy"):
        return not_atomic(program.doing, display(path))
    return error


@attrs.define(eq=False)
class Upload:
    """One upload, to be run once."""

    provider: SandboxProvider
    sandbox_id: str
    local: str
    remote: bytes
    progress: ProgressListener = attrs.field(default=ignore)
    patience: float = PATIENCE
    _temporary: bytes = attrs.field(factory=temporary_name, init=False)

    async def run(self) -> TransferResult:
        """Do it, or leave everything in the sandbox as it was."""
        call = self.provider.world.call
        source = await call(
            lambda: open_source(self.local, prefix=CONTENT, last=COMPLETE), undo=lambda found: found.close()
        )
        try:
            if isinstance(source, FileSource):
                await self._send_file(source)
            else:
                await self._send_tree(source)
        finally:
            await self._release(source)
        return source.tally.result()

    async def _release(self, source: Source) -> None:
        world = self.provider.world
        until = world.now() + CLEANUP_LIMIT
        await world.protect(world.call(source.close, urgent=True), until=until)

    def _tell(self, source: Source) -> None:
        self.progress(TransferProgress(bytes=source.tally.bytes, path=source.tally.path, total=source.total))

    async def _send_file(self, source: FileSource) -> None:
        writer = ShellWriter(
            self.provider,
            self.sandbox_id,
            self.remote,
            source.mode,
            patience=self.patience,
            mtime=source.mtime,
        )
        async with writer:
            if source.size is not None:
                await writer.announce(source.size)
            while source.tally.bytes != source.size:
                left = PIECE if source.size is None else source.size - source.tally.bytes
                data = await self.provider.world.call(source.read, min(left, PIECE))
                if not data:
                    break
                await writer.write(data)
                self._tell(source)
            if source.size not in (None, source.tally.bytes):
                raise OSError(errno.EIO, "it became shorter while it was read", self.local)

    async def _send_tree(self, source: Source) -> None:
        world = self.provider.world
        path = tool_argument(without_slashes(self.remote))
        args = (path, self._temporary, b"%o" % source.mode, b"%d" % source.mtime)
        program = await start_program(
            self.provider, self.sandbox_id, "upload", UNPACK, args, stdin="stream", patience=self.patience
        )
        try:
            while not program.ended and (data := await world.call(source.read, PIECE)):
                await program.send(data)
                self._tell(source)
            if not program.ended:
                await program.channel.close_stdin()
                program.patience = MERGE_LIMIT
                await program.finish()
            error = tree_error(program, self.remote)
            if error is not None:
                raise error
        except BaseException:
            until = world.now() + CLEANUP_LIMIT
            await world.protect(self._undo(program, path, until), until=until)
            raise
        await program.close()

    async def _undo(self, program: Program, path: bytes, until: float) -> None:
        killed = not program.ended
        await program.end(until=until - 1.0)
        if killed:
            left = until - program.world.now()
            await try_program(self.provider, self.sandbox_id, DISCARD_TREE, (path, self._temporary), limit=left)


@attrs.define(eq=False)
class Download:
    """One download, to be run once."""

    provider: SandboxProvider
    sandbox_id: str
    remote: bytes
    local: str
    progress: ProgressListener = attrs.field(default=ignore)
    patience: float = PATIENCE
    _arrived: list[bytes] = attrs.field(factory=list, init=False)
    _complaints: Complaints = attrs.field(factory=Complaints, init=False)
    _total: int | None = attrs.field(default=None, init=False)

    async def run(self) -> TransferResult:
        """Do it, or leave everything on this machine as it was."""
        program = await start_program(
            self.provider,
            self.sandbox_id,
            "download",
            PACK,
            (tool_argument(self.remote),),
            patience=self.patience,
        )
        program.listener = self._complaints.feed
        try:
            head = await self._receive_head(program)
            return await self._receive(program, head)
        finally:
            await program.close()

    async def _receive_head(self, program: Program) -> bytes:
        """Receive what says whether it is a directory or a file, and this one's mode, time and size."""
        data = b""
        while not data.startswith(b"d") and b"\n" not in data and len(data) < _HEAD:
            if program.ended:
                raise tree_error(program, self.remote) or self._bad("nothing at all")
            await program.turn(sink=self._arrived.append)
            data = b"".join(self._arrived)
        end = 1 if data.startswith(b"d") else data.find(b"\n") + 1
        head = data[:end]
        self._arrived = [data[end:]]
        return head

    def _bad(self, what: str) -> BadArchive:
        return BadArchive(
            f"cannot download {display(self.remote)!r}: the sandbox sent {what}", path=display(self.remote)
        )

    def _target(self, head: bytes) -> Target:
        if head == b"d":
            return TreeTarget(self.local)
        found = _FILE_HEAD.fullmatch(head)
        if found is None:
            raise self._bad("neither a file nor a directory")
        self._total = int(found[3])
        return FileTarget(self.local, mode=int(found[1], 8), mtime=int(found[2]))

    async def _receive(self, program: Program, head: bytes) -> TransferResult:
        world = self.provider.world
        target = await world.call(self._target, head, undo=lambda made: made.discard())
        try:
            # Also when it has ended already: what came with its end is still to be stored.
            await self._store(program, target)
            while not program.ended:
                await self._store(program, target)
            changed = self._check_end(program, head)
            until = world.now() + COMMIT_LIMIT
            await world.protect(world.call(target.commit), until=until)
        finally:
            until = world.now() + CLEANUP_LIMIT
            await world.protect(world.call(target.discard, urgent=True), until=until)
        target.tally.skipped += self._complaints.sockets
        return target.tally.result(changed=changed)

    async def _store(self, program: Program, target: Target) -> None:
        """Receive a piece, and store it."""
        size = sum(map(len, self._arrived))

        def take(data: bytes) -> None:
            nonlocal size
            size += len(data)
            self._arrived.append(data)

        while not program.ended and size < PIECE:
            await program.turn(sink=take)
        pieces, self._arrived = self._arrived, []
        await self.provider.world.call(target.feed, pieces)
        tally = target.tally
        self.progress(TransferProgress(bytes=tally.bytes, path=tally.path, total=self._total))

    def _check_end(self, program: Program, head: bytes) -> tuple[str, ...]:
        """Raise what is wrong with a program that has ended; give the names of files that changed meanwhile."""
        found = self._complaints
        # GNU tar's 1 says that files changed, and no more than that.
        if head == b"d" and program.exit_code == 1 and found.changed and not found.others:
            return tuple(found.changed)
        if head == b"d" and program.exit_code and found.unread is not None:
            name, line = found.unread
            remote = display(self.remote) if name == "." else f"{display(self.remote).rstrip('/')}/{name}"
            raise file_error("download", understand(program.exit_code, line), remote)
        error = tree_error(program, self.remote)
        if error is not None:
            raise error
        if program.exit_code is None:
            raise CommandLost(f"the download from sandbox {self.sandbox_id} did not end", dispatched=True)
        return tuple(found.changed)
