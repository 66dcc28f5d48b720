"""Writes that nobody sees half of: F2, and whose they are: F7."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import has, may_write, user_id, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

SHORT = b"s" * 300_000
LONG = b"l" * 900_000

# Prints every size that the file $F is seen to have until $D/stop is there; a missing file is seen as "none".
WATCH = (
    'while ! [ -e "$D/stop" ]; do cat "$F" >"$D/seen" 2>/dev/null && stat -c %s "$D/seen" || echo none; done '
    '>>"$D/sizes"'
)
"""Writes how long the file is, again and again."""


async def _names(box: AsyncSandbox, directory: str) -> list[str]:
    return [info.name for info in await box.files.list(directory)]


class Writes:
    """Tests of how a file changes."""

    @promise("F2", delta=True)
    async def test_a_concurrent_reader_never_sees_half(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/watched/file"
        await box.files.write(path, SHORT)
        await box.files.write(f"{directory}/half", b"")
        watching = stage.start(lambda: box.exec(WATCH, env={"F": path, "D": directory}, timeout=60))
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            await box.files.write(path, LONG)
            await box.files.write(path, SHORT)

        def seen(data: bytes) -> Callable[[], Awaitable[bool]]:
            async def check() -> bool:
                return str(len(data)) in (await box.files.read_text(f"{directory}/sizes")).split()

            return check

        # It may have come at other moments only: each of the two stays until it has been seen.
        for data in (LONG, SHORT):
            await box.files.write(path, data)
            assert await stage.eventually(seen(data))
        await box.files.write(f"{directory}/stop", b"")
        assert (await watching.finish()).exit_code == 0
        sizes = set((await box.files.read_text(f"{directory}/sizes")).split())
        assert sizes == {str(len(SHORT)), str(len(LONG))}
        assert await _names(box, f"{directory}/watched") == ["file"]

    @promise("F2")
    async def test_a_write_in_place_is_seen_half_done(self, stage: Stage, box: AsyncSandbox) -> None:
        # The control of the test above: its watcher sees what is not atomic.
        directory = await writable(box)
        path = f"{directory}/file"
        async with box.files.open_write(path, atomic=False) as writer:
            await writer.write(SHORT)
            await writer.write(SHORT)

            async def half() -> bool:
                return 0 < (await box.files.stat(path)).size <= 2 * len(SHORT)

            assert await stage.eventually(half)
            await writer.write(LONG)
        assert await box.files.read(path) == SHORT + SHORT + LONG

    @promise("F2", delta=True)
    async def test_a_failed_write_leaves_the_old_file_and_nothing_else(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/file"
        await box.files.write(path, b"old", mode=0o640)
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with box.files.open_write(path) as writer:
                await writer.write(LONG)
                _ = 1 // 0
        assert await box.files.read(path) == b"old"
        assert await _names(box, directory) == ["file"]
        with pytest.raises(ZeroDivisionError):  # noqa: PT012
            async with box.files.open_write(f"{directory}/new") as writer:
                await writer.write(b"x")
                _ = 1 // 0
        assert await _names(box, directory) == ["file"]

    @promise("F2", delta=True)
    async def test_nothing_is_seen_before_the_block_ends(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/file"
        await box.files.write(path, b"old")
        async with box.files.open_write(path) as writer:
            await writer.write(LONG)
            assert await box.files.read(path) == b"old"
            await writer.write(SHORT)
        assert await box.files.read(path) == LONG + SHORT

    @promise("F2")
    async def test_a_client_killed_in_a_write_leaves_the_old_file(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/file"
        await box.files.write(path, b"old")
        with stage.child(acts.write_endlessly, box.id, path, b"new " * 16) as child:
            for _ in range(5):
                assert child.line() == "writing"
            child.kill()
        assert await box.files.read(path) == b"old"

        async def tidy() -> bool:
            return await _names(box, directory) == ["file"]

        assert await stage.eventually(tidy)
        with stage.child(acts.write_over_and_over, box.id, path, [SHORT, LONG]) as child:
            for _ in range(4):
                assert child.line() == "written"
            child.kill()
        assert await box.files.read(path) in (SHORT, LONG)
        assert await stage.eventually(tidy)

    @promise("F2")
    async def test_an_interrupted_write_leaves_the_old_file(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        path = f"{directory}/file"
        await box.files.write(path, b"old")

        async def write() -> None:
            async with box.files.open_write(path) as writer:
                while True:
                    await writer.write(LONG)

        async def begun() -> bool:
            return len(await _names(box, directory)) > 1

        took = await stage.interrupted(write, lambda: stage.eventually(begun, within=5))
        assert took < 10
        assert await box.files.read(path) == b"old"
        assert await _names(box, directory) == ["file"]

    @promise("F2", delta=True)
    async def test_symlinks_are_followed_and_the_mode_is_kept(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        script = (
            'cd "$D" && mkdir real && echo old >real/file && chmod 751 real/file && '
            'ln -s real/file relative && ln -s "$D/real/file" absolute && ln -s relative twice && ln -s no dangling'
        )
        assert (await box.exec(script, env={"D": directory})).exit_code == 0
        for name in ("relative", "absolute", "twice"):
            await box.files.write(f"{directory}/{name}", name)
            assert (await box.files.stat(f"{directory}/{name}", follow=False)).type == "symlink"
            assert await box.files.read(f"{directory}/real/file") == name.encode()
            assert (await box.files.stat(f"{directory}/real/file")).mode == 0o751
        await box.files.write(f"{directory}/dangling", b"made")
        assert await box.files.read(f"{directory}/no") == b"made"
        assert (await box.files.stat(f"{directory}/dangling", follow=False)).type == "symlink"

    @promise("F2", delta=True)
    async def test_where_a_write_cannot_be_atomic_it_is_an_error(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        with pytest.raises(sandboxkit.NotAtomic):
            await box.files.write("/dev/null", b"x")
        await box.files.write("/dev/null", b"x", atomic=False)
        assert (await box.files.stat("/dev/null")).type == "character"
        assert (await box.exec(["mkfifo", f"{directory}/fifo"])).exit_code == 0
        with pytest.raises(sandboxkit.NotAtomic):
            await box.files.write(f"{directory}/fifo", b"x")
        assert (await box.files.stat(f"{directory}/fifo")).type == "fifo"
        if await user_id(box) != 0:
            await box.files.write(f"{directory}/closed/file", b"old")
            await box.exec(["chmod", "555", f"{directory}/closed"])
            with pytest.raises(sandboxkit.NotAtomic):
                await box.files.write(f"{directory}/closed/file", b"new")
            assert await box.files.read(f"{directory}/closed/file") == b"old"
            await box.files.write(f"{directory}/closed/file", b"new", atomic=False)
            assert await box.files.read(f"{directory}/closed/file") == b"new"

    @promise("F2", delta=True)
    async def test_a_write_in_place_keeps_the_file_itself(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        script = 'cd "$D" && echo old >file && ln file link'
        assert (await box.exec(script, env={"D": directory})).exit_code == 0
        await box.files.write(f"{directory}/file", b"in place", atomic=False)
        assert await box.files.read(f"{directory}/link") == b"in place"
        await box.files.write(f"{directory}/file", b"another")
        assert await box.files.read(f"{directory}/link") == b"in place"

    @promise("F7", delta=True)
    async def test_files_are_the_sandboxs_users(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        await box.files.write(f"{directory}/made/file", b"x")
        await box.files.mkdir(f"{directory}/dir")
        uid = await user_id(box)
        for name in ("made", "made/file", "dir"):
            assert (await box.files.stat(f"{directory}/{name}")).uid == uid

    @promise("F7", delta=True)
    async def test_files_land_where_the_sandbox_sees_them(self, box: AsyncSandbox) -> None:
        seen = 0
        for directory in (await writable(box), "/dev/shm", "/tmp"):
            if not await may_write(box, directory):
                continue
            seen += 1
            path = f"{directory}/contract-lands"
            await box.files.write(path, b"from outside")
            assert (await box.exec(["cat", path])).stdout == b"from outside"
            assert (await box.exec('printf inside >"$F"', env={"F": path})).exit_code == 0
            assert await box.files.read(path) == b"inside"
            await box.files.remove(path)
            assert (await box.exec(["cat", path])).exit_code == 1
        assert seen

    @promise("F7", delta=True)
    async def test_what_is_read_only_stays_so(self, box: AsyncSandbox) -> None:
        if await may_write(box, "/bin"):
            pytest.skip("all of the sandbox may be written")
        with pytest.raises(PermissionError):
            await box.files.write("/bin/contract", b"x")
        with pytest.raises(PermissionError):
            await box.files.mkdir("/contract/below")
        with pytest.raises(PermissionError):
            await box.files.remove("/bin/sh")
        assert await has(box, "sh")
