"""What is in a file, and what it may be called: F1, F3, F4."""

from __future__ import annotations

import hashlib
import random
from pathlib import PurePosixPath, PureWindowsPath

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import may_write, user_id, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

NAMES: tuple[str | bytes, ...] = (
    "a b",
    "-rf",
    "--help",
    "*",
    "[a]?",
    "'",
    '"',
    "$HOME",
    "`id`",
    "a\nb",
    "end\n",
    " ",
    ".hidden",
    "...",
    "\\n",
    "é€",
    "é",
    "~",
    "#",
    "!x",
    "%s%d",
    "x" * 240,
    b"\xff\xfe\x80",
    b"latin-\xe9",
    "\x01\x1b[31m\x7f",
)


class FileContents:
    """Tests of bytes in files."""

    @promise("F1", delta=True)
    async def test_bytes_come_back_as_they_were_written(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/file"
        everything = bytes(range(256))
        for data in (b"", b"\0", b"no newline", b"\n", b"a\r\nb\r\n\r\n", everything, b"0\n", b"3\nabc0\n", b"+\n"):
            await box.files.write(path, data)
            assert await box.files.read(path) == data
            assert (await box.exec(["cat", path])).stdout == data

    @promise("F1", delta=True)
    async def test_every_length_around_a_block_is_kept(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/file"
        for length in (1023, 4096, 65535, 65536, 65537, 262144, 262145, 1048577):
            data = random.Random(length).randbytes(length)
            await box.files.write(path, data)
            assert (length, await box.files.read(path) == data) == (length, True)

    @promise("F1", delta=True)
    async def test_ten_mebibytes_are_kept(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/large"
        data = random.Random(10).randbytes(10 << 20)
        await box.files.write(path, data)
        assert (await box.exec(["sha256sum", path])).text.split()[0] == hashlib.sha256(data).hexdigest()
        assert await box.files.read(path) == data

    @promise("F1", delta=True)
    async def test_text_is_utf8_and_keeps_its_line_ends(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/text"
        await box.files.write(path, "grün €\r\nzwei\n")
        assert await box.files.read(path) == "grün €\r\nzwei\n".encode()
        assert await box.files.read_text(path) == "grün €\r\nzwei\n"
        await box.files.write(path, b"\xff")
        with pytest.raises(UnicodeDecodeError):
            await box.files.read_text(path)
        assert await box.files.read_text(path, errors="replace") == "\ufffd"
        for kind in (bytearray, memoryview):
            await box.files.write(path, kind(b"bytes"))
            assert await box.files.read(path) == b"bytes"

    @promise("F1", delta=True)
    async def test_reading_has_a_limit(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/file"
        await box.files.write(path, b"x" * 1001)
        with pytest.raises(sandboxkit.FileTooLarge):
            await box.files.read(path, limit=1000)
        with pytest.raises(OSError, match="limit"):
            await box.files.read_text(path, limit=1000)
        assert await box.files.read(path, limit=1001) == b"x" * 1001
        assert await box.files.read(path, limit=10, offset=999) == b"xx"
        # One whose size nobody knows before it is read.
        with pytest.raises(sandboxkit.FileTooLarge):
            await box.files.read("/dev/zero", limit=1000)
        assert await box.files.read("/dev/zero", length=1000) == bytes(1000)

    @promise("F1", delta=True)
    async def test_any_size_is_streamed(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/streamed"
        pieces = [random.Random(n).randbytes(1 + n * 997) for n in range(200)]
        async with box.files.open_write(path) as writer:
            for piece in pieces:
                await writer.write(piece)
        whole = b"".join(pieces)
        async with box.files.open_read(path) as reader:
            assert await reader.read(10) == whole[:10]
            assert await reader.read(0) == b""
            rest = b"".join([data async for data in reader])
            assert await reader.read() == b""
        assert rest == whole[10:]
        async with box.files.open_read(path) as reader:
            assert await reader.read() == whole
        async with box.files.open_read(path, offset=1000, length=5000) as reader:
            assert await reader.read() == whole[1000:6000]

    @promise("F1", heavy=True)
    async def test_a_large_file_is_streamed_in_bounded_memory(self, stage: Stage, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/huge"
        with stage.child(acts.stream_files, box.id, path, 100 << 20) as child:
            grown, read = map(int, child.line(within=100).split())
            child.finish()
        await box.files.remove(path)
        assert read == 100 << 20
        assert grown < 32 * 1024

    @promise("F1", delta=True)
    async def test_leaving_a_reader_early_harms_nothing(self, box: AsyncSandbox) -> None:
        async with box.files.open_read("/dev/zero") as reader:
            assert await reader.read(1000) == bytes(1000)
        assert (await box.exec("echo usable")).text == "usable\n"

    @promise("F1", delta=True)
    async def test_write_makes_parents_and_sets_a_mode(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/a/b c/file"
        await box.files.write(path, b"#!/bin/sh\necho ran", mode=0o750)
        assert (await box.files.stat(path)).mode == 0o750
        assert (await box.exec(["sh", path])).text == "ran\n"
        for mode in (0o600, 0o444, 0o777, 0o4711):
            await box.files.write(path, b"x", mode=mode)
            assert (await box.files.stat(path)).mode == mode
        async with box.files.open_write(f"{directory}/a/d/file", mode=0o640) as writer:
            await writer.write(b"x")
        assert (await box.files.stat(f"{directory}/a/d/file")).mode == 0o640

    @promise("F3", delta=True)
    async def test_errors_are_the_built_in_ones_too(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        await box.files.write(f"{directory}/file", b"x")
        with pytest.raises(FileNotFoundError) as missing:
            await box.files.read(f"{directory}/no")
        assert isinstance(missing.value, sandboxkit.FileMissing)
        assert (missing.value.errno, missing.value.path) == (2, f"{directory}/no")
        for operation in (
            lambda: box.files.read(directory),
            lambda: box.files.write(directory, b"x"),
            lambda: box.files.write(directory, b"x", atomic=False),
            lambda: box.files.append(directory, b"x"),
        ):
            with pytest.raises(IsADirectoryError):
                await operation()
        for operation in (
            lambda: box.files.read(f"{directory}/file/below"),
            lambda: box.files.write(f"{directory}/file/below", b"x"),
        ):
            with pytest.raises(NotADirectoryError):
                await operation()
        with pytest.raises(sandboxkit.NotDirectory):
            await box.files.list(f"{directory}/file")
        for lister in (box.files.list, box.files.stat, box.files.remove):
            with pytest.raises(FileNotFoundError):
                await lister(f"{directory}/no")
        assert await box.files.read(f"{directory}/file") == b"x"

    @promise("F3", delta=True)
    async def test_what_may_not_be_written_is_a_permission_error(self, box: AsyncSandbox) -> None:
        with pytest.raises(PermissionError) as caught:
            await box.files.write("/proc/sys/kernel/ostype", b"x", atomic=False)
        assert isinstance(caught.value, sandboxkit.FilePermission)
        if await user_id(box) != 0:
            directory = await writable(box)
            await box.files.write(f"{directory}/closed", b"x", mode=0)
            with pytest.raises(PermissionError):
                await box.files.read(f"{directory}/closed")
            await box.exec(["chmod", "000", directory])
            with pytest.raises(PermissionError):
                await box.files.list(directory)
            await box.exec(["chmod", "700", directory])

    @promise("F3", delta=True)
    async def test_a_full_disk_is_an_error_of_its_own(self, box: AsyncSandbox) -> None:
        with pytest.raises(sandboxkit.NoSpaceLeft) as caught:
            await box.files.write("/dev/full", b"x", atomic=False)
        assert isinstance(caught.value, OSError)
        assert caught.value.errno == 28

    @promise("F2", "F3", delta=True)
    async def test_a_write_that_fills_the_disk_leaves_the_old_file(self, box: AsyncSandbox) -> None:
        # Any small file system will do: its free bytes, or 0.
        free = await box.exec(
            "cd /dev/shm 2>/dev/null && [ -w . ] && set -- $(stat -f -c '%a %S' .) && echo $(($1*$2)) || echo 0"
        )
        size = int(free.text or 0)
        if not 0 < size <= 256 << 20:
            pytest.skip("the sandbox has no small file system in /dev/shm")
        path = "/dev/shm/contract-full"
        try:
            await box.files.write(path, b"old")
            with pytest.raises(sandboxkit.NoSpaceLeft):  # noqa: PT012
                async with box.files.open_write(path) as writer:
                    for _ in range(size // (1 << 20) + 2):
                        await writer.write(bytes(1 << 20))
            assert await box.files.read(path) == b"old"
            after = await box.exec(["sh", "-c", "ls -A /dev/shm | grep -c contract-full"])
            assert after.text == "1\n"
        finally:
            await box.files.remove(path, missing_ok=True)

    @promise("F4", delta=True)
    async def test_every_legal_name_works(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        wanted = set()
        for number, name in enumerate(NAMES):
            path = directory.encode() + b"/" + (name if isinstance(name, bytes) else name.encode())
            data = str(number).encode()
            await box.files.write(path, data)
            assert await box.files.read(path) == data
            wanted.add(path)
        listed = await box.files.list(directory)
        assert {info.path.encode("utf-8", "surrogateescape") for info in listed} == wanted
        for number, info in enumerate(sorted(listed, key=lambda info: info.size)[:5]):
            assert (await box.files.stat(info.path)).path == info.path, number
        odd = b"/".join((directory.encode(), b"latin-\xe9"))
        assert await box.files.read(odd.decode("utf-8", "surrogateescape")) == await box.files.read(odd)
        assert await box.files.read(PurePosixPath(directory) / "a b") == b"0"
        for name in ("-rf", "a\nb", "*", b"\xff\xfe\x80"):
            path = directory.encode() + b"/" + (name if isinstance(name, bytes) else name.encode())
            await box.files.remove(path)
            wanted.remove(path)
        listed = await box.files.list(directory)
        assert {info.path.encode("utf-8", "surrogateescape") for info in listed} == wanted

    @promise("F4", delta=True)
    async def test_a_relative_path_begins_at_the_working_directory(self, stage: Stage) -> None:
        async with stage.create() as box:
            directory = await writable(box)
        async with stage.create() as box:
            where = (await box.exec("pwd")).text.strip()
            if await may_write(box, where):
                for name in ("plain", "-dash", "a b/below"):
                    await box.files.write(name, b"here")
                    assert await box.files.read(f"{where}/{name}") == b"here"
                assert {"plain", "-dash"} <= {info.path for info in await box.files.list()}
                assert [info.path for info in await box.files.list("a b")] == ["a b/below"]
        parent = directory.rsplit("/", 1)[0]
        async with stage.create(cwd=parent) as box:
            await box.files.write("relative", b"there")
            assert await box.files.read(f"{parent}/relative") == b"there"

    @promise("F4")
    async def test_what_is_no_path_is_refused(self, box: AsyncSandbox) -> None:
        for path in ("", b"", "a\0b", PureWindowsPath("a\\b"), 5, None):
            with pytest.raises(sandboxkit.InvalidRequest):
                await box.files.read(path)  # type: ignore[arg-type]
            with pytest.raises(sandboxkit.InvalidRequest):
                await box.files.write(path, b"x")  # type: ignore[arg-type]
