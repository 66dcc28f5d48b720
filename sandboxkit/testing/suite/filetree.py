"""Directories and what is in them: F5."""

from __future__ import annotations

import errno
import time

import pytest

import sandboxkit
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.looking import writable
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

TREE = (
    'cd "$D" && mkdir -p d/e .h && echo 1 >a.txt && echo 22 >b.txt && echo 333 >d/c.txt && echo 4 >d/e/f.txt && '
    "echo 5 >.hidden && echo 6 >.h/g.txt && ln -s a.txt link && ln -s no dangling && ln -s d dirlink && "
    "mkfifo fifo && chmod 640 a.txt && chmod 711 d && echo 7 >'odd [x].txt'"
)


async def _tree(box: AsyncSandbox) -> str:
    directory = await writable(box)
    assert (await box.exec(TREE, env={"D": directory})).exit_code == 0
    return directory


class FileTree:
    """Tests of file operations other than reading and writing."""

    @promise("F5", delta=True)
    async def test_list_describes_everything(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        infos = {info.name: info for info in await box.files.list(directory)}
        types = {name: info.type for name, info in infos.items()}
        assert types == {
            "a.txt": "file", "b.txt": "file", "d": "directory", ".h": "directory", ".hidden": "file",
            "link": "symlink", "dangling": "symlink", "dirlink": "symlink", "fifo": "fifo", "odd [x].txt": "file",
        }  # fmt: skip
        assert (infos["a.txt"].size, infos["b.txt"].size) == (2, 3)
        assert (infos["a.txt"].mode, infos["d"].mode) == (0o640, 0o711)
        assert (infos["link"].target, infos["dangling"].target, infos["a.txt"].target) == ("a.txt", "no", None)
        assert abs(infos["a.txt"].mtime - time.time()) < 600
        assert await box.files.list(f"{directory}/d/e") != []
        await box.files.mkdir(f"{directory}/empty")
        assert list(await box.files.list(f"{directory}/empty")) == []

    @promise("F5", delta=True)
    async def test_a_large_directory_is_listed_whole(self, box: AsyncSandbox) -> None:
        directory = await writable(box)
        made = await box.exec(
            'cd "$D" && n=0; while [ $n -lt 2500 ]; do : >$n; n=$((n+1)); done', env={"D": directory}
        )
        assert made.exit_code == 0
        assert {info.name for info in await box.files.list(directory)} == {str(n) for n in range(2500)}

    @promise("F5", delta=True)
    async def test_stat_follows_links_unless_told(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        info = await box.files.stat(f"{directory}/link")
        assert (info.type, info.size, info.path) == ("file", 2, f"{directory}/link")
        info = await box.files.stat(f"{directory}/link", follow=False)
        assert (info.type, info.target) == ("symlink", "a.txt")
        with pytest.raises(FileNotFoundError):
            await box.files.stat(f"{directory}/dangling")
        assert (await box.files.stat(f"{directory}/dangling", follow=False)).target == "no"
        assert (await box.files.stat("/dev/null")).type == "character"
        assert (await box.files.stat("/")).type == "directory"

    @promise("F5", delta=True)
    async def test_exists_tells_what_is_there(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        answers = {
            n: await box.files.exists(f"{directory}/{n}") for n in ("a.txt", "d", "link", "no", "dangling", "a.txt/x")
        }
        assert answers == {"a.txt": True, "d": True, "link": True, "no": False, "dangling": False, "a.txt/x": False}

    @promise("F5", delta=True)
    async def test_mkdir_makes_parents_and_once_only(self, stage: Stage, box: AsyncSandbox) -> None:
        directory = await writable(box)
        await box.files.mkdir(f"{directory}/a/b/c", mode=0o701)
        assert (await box.files.stat(f"{directory}/a/b/c")).mode == 0o701
        await box.files.mkdir(f"{directory}/a/b/c")
        with pytest.raises(FileExistsError):
            await box.files.mkdir(f"{directory}/a/b/c", exist_ok=False)
        with pytest.raises(FileNotFoundError):
            await box.files.mkdir(f"{directory}/no/d", parents=False)
        await box.files.write(f"{directory}/file", b"x")
        with pytest.raises(FileExistsError):
            await box.files.mkdir(f"{directory}/file")
        with pytest.raises(NotADirectoryError):
            await box.files.mkdir(f"{directory}/file/below")

        async def claim() -> bool:
            try:
                await box.files.mkdir(f"{directory}/claimed", exist_ok=False)
            except sandboxkit.FileExists:
                return False
            return True

        assert sorted(await stage.gather(*[claim] * 5)) == [False, False, False, False, True]

    @promise("F5", delta=True)
    async def test_remove_takes_what_it_is_told_to(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        await box.files.remove(f"{directory}/a.txt")
        assert not await box.files.exists(f"{directory}/a.txt")
        with pytest.raises(FileNotFoundError):
            await box.files.remove(f"{directory}/a.txt")
        await box.files.remove(f"{directory}/a.txt", missing_ok=True)
        with pytest.raises(OSError, match="not empty") as caught:
            await box.files.remove(f"{directory}/d")
        assert caught.value.errno == errno.ENOTEMPTY
        # A link goes, and not what it points to.
        await box.files.remove(f"{directory}/dirlink", recursive=True)
        assert await box.files.exists(f"{directory}/d/c.txt")
        await box.files.remove(f"{directory}/d", recursive=True)
        assert not await box.files.exists(f"{directory}/d")
        await box.files.mkdir(f"{directory}/empty")
        await box.files.remove(f"{directory}/empty")
        await box.files.remove(f"{directory}/fifo")
        names = {info.name for info in await box.files.list(directory)}
        assert names == {"b.txt", ".h", ".hidden", "link", "dangling", "odd [x].txt"}

    @promise("F5", delta=True)
    async def test_move_renames_and_replaces_files_only(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        await box.files.move(f"{directory}/a.txt", f"{directory}/new.txt")
        assert not await box.files.exists(f"{directory}/a.txt")
        assert await box.files.read(f"{directory}/new.txt") == b"1\n"
        with pytest.raises(FileExistsError):
            await box.files.move(f"{directory}/new.txt", f"{directory}/b.txt", overwrite=False)
        await box.files.move(f"{directory}/new.txt", f"{directory}/b.txt")
        assert await box.files.read(f"{directory}/b.txt") == b"1\n"
        await box.files.move(f"{directory}/d", f"{directory}/moved")
        assert await box.files.read(f"{directory}/moved/e/f.txt") == b"4\n"
        with pytest.raises(IsADirectoryError):
            await box.files.move(f"{directory}/b.txt", f"{directory}/moved")
        with pytest.raises(FileNotFoundError):
            await box.files.move(f"{directory}/no", f"{directory}/x")
        with pytest.raises(OSError, match="itself"):
            await box.files.move(f"{directory}/moved", f"{directory}/moved/e/below")
        assert await box.files.read(f"{directory}/moved/e/f.txt") == b"4\n"

    @promise("F5", delta=True)
    async def test_copy_keeps_modes_and_the_source(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)
        await box.files.copy(f"{directory}/a.txt", f"{directory}/copy.txt")
        assert await box.files.read(f"{directory}/copy.txt") == b"1\n"
        assert (await box.files.stat(f"{directory}/copy.txt")).mode == 0o640
        assert await box.files.read(f"{directory}/a.txt") == b"1\n"
        with pytest.raises(FileExistsError):
            await box.files.copy(f"{directory}/a.txt", f"{directory}/b.txt", overwrite=False)
        with pytest.raises(IsADirectoryError):
            await box.files.copy(f"{directory}/d", f"{directory}/dcopy")
        await box.files.copy(f"{directory}/d", f"{directory}/dcopy", recursive=True)
        assert await box.files.read(f"{directory}/dcopy/e/f.txt") == b"4\n"
        assert (await box.files.stat(f"{directory}/dcopy")).mode == 0o711
        assert await box.files.read(f"{directory}/d/e/f.txt") == b"4\n"
        with pytest.raises(FileNotFoundError):
            await box.files.copy(f"{directory}/no", f"{directory}/x")

    @promise("F5", delta=True)
    async def test_glob_matches_as_pathlib_does(self, box: AsyncSandbox) -> None:
        directory = await _tree(box)

        async def found(pattern: str) -> list[str]:
            return [path.removeprefix(directory + "/") for path in await box.files.glob(f"{directory}/{pattern}")]

        assert await found("*.txt") == ["a.txt", "b.txt", "odd [x].txt"]
        assert await found("?.txt") == ["a.txt", "b.txt"]
        assert await found("[!a].txt") == ["b.txt"]
        assert await found("d/*") == ["d/c.txt", "d/e"]
        assert await found("**/*.txt") == [
            ".h/g.txt", "a.txt", "b.txt", "d/c.txt", "d/e/f.txt", "odd [x].txt",
        ]  # fmt: skip
        assert await found("odd [[]x].txt") == ["odd [x].txt"]
        assert await found("no*") == []
        assert await found("no/*") == []

    @promise("F5", delta=True)
    async def test_a_range_and_an_append(self, box: AsyncSandbox) -> None:
        path = f"{await writable(box)}/new/file"
        await box.files.append(path, b"0123")
        await box.files.append(path, "456789")
        assert await box.files.read(path) == b"0123456789"
        for offset, length, wanted in (
            (0, 3, b"012"),
            (3, 4, b"3456"),
            (8, 100, b"89"),
            (10, 1, b""),
            (100, 1, b""),
            (2**63 - 1, 1, b""),
            (2**62, None, b""),
            (4, None, b"456789"),
            (2, 0, b""),
        ):
            assert await box.files.read(path, offset=offset, length=length) == wanted
        data = bytes(range(256)) * 4000
        await box.files.write(path, data)
        assert await box.files.read(path, offset=65_535, length=70_001) == data[65_535 : 65_535 + 70_001]
        async with box.files.open_write(path, append=True, atomic=False) as writer:
            await writer.write(b"more")
        assert await box.files.read(path, offset=len(data)) == b"more"
