"""Files and directories that move between this machine and a sandbox: F6."""

from __future__ import annotations

import os
import stat
import time
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit.archive import Entry, end, header
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import may_write, user_id, writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

WHEN = 1_000_000_000
NAMES = ("a b", "-rf", "new\nline", "*?[a]'\"$(exit)\\", ".hidden", "..x", "\udcff\udc80", "x" * 255)

# What FILES makes in a sandbox, with modes, and things that are no files; the long path is over 255 bytes.
MAKE = (
    'cd "$D" && mkdir -m 750 t && cd t && echo one >one && chmod 600 one && echo two >two && chmod 755 two && '
    "ln one hard && ln -s one link && ln -s /etc/passwd absolute && ln -s nowhere/at/all dangling && mkdir empty && "
    "mkfifo fifo && mkdir -p d/e && echo deep >d/e/deep && chmod 555 d/e && touch -d @1000000000 one && "
    "n=$(printf %0200d 7) && mkdir -p l/$n/$n && echo long >l/$n/$n/$n"
)
# Shows everything below $D/t: kind, mode, size, time of files, target, name.
SHOW = (
    'cd "$D/t" && find . ! -name . | sort | while IFS= read -r f; do '
    'if [ -L "$f" ]; then printf "link %s %s\\n" "$f" "$(readlink "$f")"; '
    'elif [ -d "$f" ]; then printf "directory %s %s\\n" "$f" "$(stat -c %a "$f")"; '
    'else printf "file %s %s %s\\n" "$f" "$(stat -c "%a %s" "$f")" "$(cat "$f")"; fi; done'
)
# Prints every size that the files $F are seen to have until $D/stop is there.
WATCH = (
    'while ! [ -e "$D/stop" ]; do for f in $F; do cat "$f" >"$D/seen" 2>/dev/null && stat -c %s "$D/seen" || '
    "echo none; done; done | sort | uniq -c; echo watched"
)
SMALL = b"s" * 200_000
LARGE = b"l" * 700_000


def _local_tree(directory: Path) -> Path:
    source = directory / "source"
    (source / "names").mkdir(parents=True)
    for name in NAMES:
        (source / "names" / name).write_bytes(os.fsencode(name))
    (source / "one").write_bytes(bytes(range(256)) * 5000)
    (source / "one").chmod(0o600)
    (source / "two").write_text("#!/bin/sh\necho two\n")
    (source / "two").chmod(0o4755)
    os.link(source / "one", source / "zhard")
    (source / "link").symlink_to("one")
    (source / "absolute").symlink_to("/etc/passwd")
    (source / "empty").mkdir(mode=0o711)
    long = source / ("l" * 200) / ("m" * 200)
    long.mkdir(parents=True)
    (long / "deep").write_text("deep")
    os.mkfifo(source / "fifo")
    os.utime(source / "one", (WHEN, WHEN))
    return source


def _sizeless(name: str) -> bytes:
    """Give what a file of this machine holds that tells no size."""
    path = Path(name)
    if not path.exists():
        pytest.skip(f"this machine has no {name}")
    assert path.stat().st_size == 0
    data = path.read_bytes()
    assert data
    return data


def _files(source: Path, target: Path) -> None:
    """Compare a tree with the one that it should be, set-id bits aside."""
    wanted = sorted(path.relative_to(source) for path in source.rglob("*") if path.name != "fifo")
    assert sorted(path.relative_to(target) for path in target.rglob("*")) == wanted
    for name in wanted:
        there, here = (source / name).lstat(), (target / name).lstat()
        assert stat.S_IFMT(there.st_mode) == stat.S_IFMT(here.st_mode), name
        if stat.S_ISLNK(there.st_mode):
            assert (source / name).readlink() == (target / name).readlink()
            continue
        assert there.st_mode & 0o777 == here.st_mode & 0o7777, name
        if stat.S_ISREG(there.st_mode):
            assert (source / name).read_bytes() == (target / name).read_bytes(), name
            assert int(there.st_mtime) == int(here.st_mtime), name


class Transfers:
    """Tests of upload and download."""

    @promise("F6", delta=True)
    async def test_a_directory_goes_there_and_back(self, box: AsyncSandbox, tmp_path: Path) -> None:
        directory = await writable(box)
        source = _local_tree(tmp_path)
        sent = await box.files.upload(source, f"{directory}/new/there")
        size = 2 * 1_280_000 + 19 + 4 + sum(len(os.fsencode(name)) for name in NAMES)
        assert (sent.files, sent.symlinks, sent.bytes) == (4 + len(NAMES), 2, size)
        assert (sent.directories, sent.skipped) == (4, ("fifo",))
        info = await box.files.stat(f"{directory}/new/there/two")
        assert (info.mode, info.uid) == (0o755, await user_id(box))
        assert (await box.files.stat(f"{directory}/new/there/one")).mtime == WHEN
        assert (await box.files.stat(f"{directory}/new/there/link", follow=False)).target == "one"
        assert (await box.exec(["sh", f"{directory}/new/there/two"])).text == "two\n"
        received = await box.files.download(f"{directory}/new/there", tmp_path / "back")
        _files(source, tmp_path / "back")
        assert (received.files, received.symlinks, received.bytes) == (sent.files, 2, size)
        assert (received.directories, received.skipped) == (4, ())

    @promise("F6", delta=True)
    async def test_what_the_sandbox_made_is_downloaded_whole(self, box: AsyncSandbox, tmp_path: Path) -> None:
        directory = await writable(box)
        assert (await box.exec(MAKE, env={"D": directory})).exit_code == 0
        result = await box.files.download(f"{directory}/t", tmp_path / "t")
        assert result.skipped == ("fifo",)
        assert (result.files, result.directories, result.symlinks) == (5, 6, 3)
        assert {name: (tmp_path / "t" / name).read_text() for name in ("one", "two", "hard", "d/e/deep")} == {
            "one": "one\n", "two": "two\n", "hard": "one\n", "d/e/deep": "deep\n",
        }  # fmt: skip
        modes = {name: stat.S_IMODE((tmp_path / "t" / name).stat().st_mode) for name in (".", "one", "two", "d/e")}
        assert modes == {".": 0o750, "one": 0o600, "two": 0o755, "d/e": 0o555}
        assert (tmp_path / "t" / "one").stat().st_mtime == WHEN
        assert (tmp_path / "t" / "hard").stat().st_nlink == 1
        assert str((tmp_path / "t" / "absolute").readlink()) == "/etc/passwd"
        (tmp_path / "t" / "d" / "e").chmod(0o755)
        await box.files.upload(tmp_path / "t", f"{directory}/again/t")
        shown = (await box.exec(SHOW, env={"D": f"{directory}/again"})).text
        await box.exec('cd "$D/t" && rm fifo && chmod 755 d/e', env={"D": directory})
        assert shown == (await box.exec(SHOW, env={"D": directory})).text
        assert "link ./dangling nowhere/at/all" in shown

    @promise("F6", delta=True)
    async def test_a_directory_that_exists_is_filled(self, box: AsyncSandbox, tmp_path: Path) -> None:
        directory = await writable(box)
        source = _local_tree(tmp_path)
        (source / "zhard").unlink()
        for path, transfer in (("there", "upload"), ("back", "download")):
            target = f"{directory}/{path}" if transfer == "upload" else str(tmp_path / path)
            for _ in range(2):
                if transfer == "upload":
                    await box.files.upload(source, target)
                    await box.files.write(f"{target}/names/mine", b"mine")
                    await box.files.write(f"{target}/one", b"old")
                else:
                    await box.files.download(f"{directory}/there", target)
                    (tmp_path / path / "names" / "other").write_text("mine")
                    (tmp_path / path / "one").write_text("old")
        await box.files.upload(source, f"{directory}/there")
        assert await box.files.read(f"{directory}/there/names/mine") == b"mine"
        await box.files.download(f"{directory}/there", tmp_path / "back")
        assert (tmp_path / "back" / "names" / "mine").read_text() == "mine"
        assert (tmp_path / "back" / "names" / "other").read_text() == "mine"
        for name in ("mine", "other"):
            (tmp_path / "back" / "names" / name).unlink()
        _files(source, tmp_path / "back")

    @promise("F6", delta=True)
    async def test_a_file_gets_the_name_it_is_told(self, box: AsyncSandbox, tmp_path: Path) -> None:
        directory = await writable(box)
        source = tmp_path / "source"
        source.write_bytes(os.urandom(3_000_000))
        source.chmod(0o640)
        os.utime(source, (WHEN, WHEN))
        told: list[sandboxkit.TransferProgress] = []
        result = await box.files.upload(source, f"{directory}/a/b", progress=told.append)
        assert (result.files, result.bytes, result.directories) == (1, 3_000_000, 0)
        info = await box.files.stat(f"{directory}/a/b")
        assert (info.mode, info.mtime, info.size) == (0o640, WHEN, 3_000_000)
        result = await box.files.download(f"{directory}/a/b", tmp_path / "x" / "y", progress=told.append)
        assert (tmp_path / "x" / "y").read_bytes() == source.read_bytes()
        assert stat.S_IMODE((tmp_path / "x" / "y").stat().st_mode) == 0o640
        assert [each.bytes for each in told].count(3_000_000) == 2
        assert {each.total for each in told} == {3_000_000}
        os.utime(source, (-WHEN, -WHEN))  # before 1970
        await box.files.upload(source, f"{directory}/a/old")
        assert (await box.files.stat(f"{directory}/a/old")).mtime == -WHEN
        await box.files.download(f"{directory}/a/old", tmp_path / "old")
        assert (tmp_path / "old").stat().st_mtime == -WHEN
        await box.files.mkdir(f"{directory}/d")
        with pytest.raises(sandboxkit.IsDirectory):
            await box.files.upload(source, f"{directory}/d")
        with pytest.raises(IsADirectoryError):
            await box.files.download(f"{directory}/a/b", tmp_path)
        with pytest.raises(sandboxkit.FileMissing):
            await box.files.download(f"{directory}/missing", tmp_path / "z")
        with pytest.raises(FileNotFoundError):
            await box.files.upload(tmp_path / "missing", f"{directory}/z")
        assert not (tmp_path / "z").exists()
        assert not await box.files.exists(f"{directory}/z")

    @promise("F6")
    async def test_what_tells_no_size_arrives(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        data = _sizeless("/proc/version")
        result = await box.files.upload("/proc/version", f"{directory}/version")
        assert await box.files.read(f"{directory}/version") == data
        assert result.bytes == len(data)

    @promise("F6", delta=True)
    async def test_nothing_is_written_through_what_is_planted(self, box: AsyncSandbox, tmp_path: Path) -> None:
        directory = await writable(box)
        source = tmp_path / "source"
        (source / "d").mkdir(parents=True)
        (source / "d" / "f").write_text("mine")
        plant = 'cd "$D" && mkdir outside target && echo precious >outside/f && ln -s ../outside target/d'
        assert (await box.exec(plant, env={"D": directory})).exit_code == 0
        with pytest.raises(sandboxkit.NotDirectory):
            await box.files.upload(source, f"{directory}/target")
        assert await box.files.read(f"{directory}/outside/f") == b"precious\n"
        # Where the symlink is in the place of a file, it is replaced, and what it leads to is not touched.
        assert (
            await box.exec('cd "$D" && rm target/d && ln -s ../outside/f target/f', env={"D": directory})
        ).exit_code == 0
        await box.files.upload(source / "d", f"{directory}/target")
        assert await box.files.read(f"{directory}/outside/f") == b"precious\n"
        assert await box.files.read(f"{directory}/target/f") == b"mine"
        # The same on this side.
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "f").write_text("precious")
        (tmp_path / "target").mkdir()
        (tmp_path / "target" / "d").symlink_to(tmp_path / "outside")
        await box.files.upload(source, f"{directory}/whole")
        with pytest.raises(NotADirectoryError):
            await box.files.download(f"{directory}/whole", tmp_path / "target")
        assert (tmp_path / "outside" / "f").read_text() == "precious"

    @promise("F6")
    async def test_an_archive_that_points_outside_is_refused(
        self, box: AsyncSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Whoever rules the sandbox rules its tar.
        directory = await writable(box)
        program = f"printf d;cat {directory}/archive"
        monkeypatch.setattr("sandboxkit.transfer.PACK", program)
        (tmp_path / "outside").mkdir()
        good = Entry(name=b"./good", kind="file")
        attacks: tuple[list[Entry], ...] = (
            [Entry(name=b"../outside/f", kind="file")],
            [Entry(name=os.fsencode(tmp_path / "outside" / "f"), kind="file")],
            [Entry(name=b"l", kind="symlink", target=b"../outside"), Entry(name=b"l/f", kind="file")],
            [],
        )
        for entries in attacks:
            data = b"".join(header(entry) for entry in (good, *entries))
            await box.files.write(f"{directory}/archive", data + end(len(data)))
            if entries:
                with pytest.raises(sandboxkit.BadArchive):
                    await box.files.download(directory, tmp_path / "target")
                assert not (tmp_path / "target").exists()
            else:
                await box.files.download(directory, tmp_path / "target")
            assert list((tmp_path / "outside").iterdir()) == []
        assert [path.name for path in (tmp_path / "target").iterdir()] == ["good"]

    @promise("F6", delta=True)
    async def test_nobody_sees_half_a_file_of_a_directory(
        self, stage: Stage, box: AsyncSandbox, tmp_path: Path
    ) -> None:
        directory = await writable(box)
        for name, data in (("small", SMALL), ("large", LARGE)):
            (tmp_path / name).mkdir()
            for number in "123":
                (tmp_path / name / number).write_bytes(data)
        await box.files.upload(tmp_path / "small", f"{directory}/t")
        files = " ".join(f"{directory}/t/{number}" for number in "123")
        watching = stage.start(lambda: box.exec(WATCH, env={"F": files, "D": directory}, timeout=60))
        end = time.monotonic() + 1.0
        rounds = 0
        while time.monotonic() < end or rounds < 3:
            await box.files.upload(tmp_path / "large", f"{directory}/t")
            await box.files.upload(tmp_path / "small", f"{directory}/t")
            rounds += 1
        await box.files.write(f"{directory}/stop", b"")
        text = (await watching.finish()).text
        sizes = {line.split()[1] for line in text.splitlines() if line != "watched"}
        assert str(len(SMALL)) in sizes
        assert sizes <= {str(len(SMALL)), str(len(LARGE))}
        assert {info.name for info in await box.files.list(f"{directory}/t")} == {"1", "2", "3"}
        # The reader may have come at other moments only; what has the old file open has all of it, whenever it reads.
        await box.exec(["ln", f"{directory}/t/1", f"{directory}/kept"])
        await box.files.upload(tmp_path / "large", f"{directory}/t")
        assert await box.files.read(f"{directory}/kept") == SMALL
        assert await box.files.read(f"{directory}/t/1") == LARGE

    @promise("F6", "X7")
    async def test_an_interrupted_transfer_changes_nothing(
        self, stage: Stage, box: AsyncSandbox, tmp_path: Path
    ) -> None:
        directory = await writable(box)
        source = tmp_path / "source"
        (source / "d").mkdir(parents=True)
        with (source / "d" / "sparse").open("wb") as file:
            file.truncate(4_000_000_000)
        await box.files.write(f"{directory}/t/old", b"old")
        await box.exec(["truncate", "-s", "4000000000", f"{directory}/t/sparse"])
        (tmp_path / "t").mkdir()
        (tmp_path / "t" / "old").write_text("old")
        moved: list[int] = []

        async def going() -> None:
            async def some() -> bool:
                return bool(moved and moved[-1] > 1_000_000)

            assert await stage.eventually(some)

        def note(progress: sandboxkit.TransferProgress) -> None:
            moved.append(progress.bytes)

        took = await stage.interrupted(lambda: box.files.upload(source, f"{directory}/t", progress=note), going)
        assert took < 5.0
        assert {info.name for info in await box.files.list(f"{directory}/t")} == {"old", "sparse"}
        moved.clear()
        took = await stage.interrupted(
            lambda: box.files.download(f"{directory}/t", tmp_path / "t", progress=note), going
        )
        assert took < 5.0
        assert [path.name for path in (tmp_path / "t").iterdir()] == ["old"]

    @promise("F6")
    async def test_a_client_killed_in_an_upload_leaves_nothing(
        self, stage: Stage, box: AsyncSandbox, tmp_path: Path
    ) -> None:
        directory = await writable(box)
        (tmp_path / "d").mkdir()
        with (tmp_path / "d" / "sparse").open("wb") as file:
            file.truncate(4_000_000_000)
        with stage.child(acts.upload, box.id, str(tmp_path / "d"), f"{directory}/t") as child:
            for _ in range(3):
                assert child.line() == "uploading"
            child.kill()

        async def tidy() -> bool:
            return list(await box.files.list(directory)) == []

        assert await stage.eventually(tidy)

    @promise("F6", heavy=True)
    async def test_a_large_directory_moves_in_bounded_memory(
        self, stage: Stage, box: AsyncSandbox, tmp_path: Path
    ) -> None:
        directory = await writable(box)
        (tmp_path / "d").mkdir()
        for number in range(2):
            with (tmp_path / "d" / str(number)).open("wb") as file:
                file.truncate(100_000_000)
        with stage.child(
            acts.transfer, box.id, str(tmp_path / "d"), f"{directory}/t", str(tmp_path / "back")
        ) as child:
            grown, received = map(int, child.line(within=120.0).split())
            child.finish()
        assert received == 200_000_000
        assert grown < 32 * 1024

    @promise("F6", "F3", delta=True)
    async def test_a_directory_that_may_not_be_written_is_an_error(self, box: AsyncSandbox, tmp_path: Path) -> None:
        (tmp_path / "d").mkdir()
        (tmp_path / "d" / "f").write_text("f")
        directory = await writable(box)
        if not await may_write(box, "/"):
            with pytest.raises(PermissionError):
                await box.files.upload(tmp_path / "d", "/")
            with pytest.raises(sandboxkit.FilePermission):
                await box.files.upload(tmp_path / "d", "/contract-new")
        await box.files.write(f"{directory}/file", b"x")
        with pytest.raises(sandboxkit.NotDirectory):
            await box.files.upload(tmp_path / "d", f"{directory}/file")
        await box.files.mkdir(f"{directory}/t/f")
        with pytest.raises(sandboxkit.IsDirectory):
            await box.files.upload(tmp_path / "d", f"{directory}/t")
        assert [info.name for info in await box.files.list(f"{directory}/t")] == ["f"]
