"""The file operations on dash, bash and busybox's ash with busybox's tools: what they do, and what they refuse."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit.driver import run
from sandboxkit.errors import (
    FileError,
    FileExists,
    FileMissing,
    FileTooLarge,
    InvalidRequest,
    IsDirectory,
    NotAtomic,
    NotDirectory,
)
from sandboxkit.sync import Files
from tests.support.shellbox import SHELLS, ShellBox, entries, leftovers, make_box

NAMES = [
    "a b",
    "quotes'\"`$(exit)\\n",
    "new\nline",
    "\n",
    "end\n",
    "-rf",
    "--",
    "*?[a]",
    "...",
    "..x",
    "~",
    "!",
    "(",
    "=",
    "é中",
    "\udcff\udc80",
    "81a4 1 1 0 0 .",
    "\n81a4 1 1 0 0 .",
    "x" * 255,
]


@pytest.fixture(scope="module", params=[(shell, warm) for shell in SHELLS for warm in (False, True)], ids=str)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellBox]:
    shell, warm = request.param
    made = make_box(shell, tmp_path_factory)
    made.keep_warm(warm)
    yield made
    run(made.cool())
    run(made.close())


@pytest.fixture
def files(box: ShellBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.chdir(tmp_path)
    run(box.cool())  # a shell that is kept has the directory that it began in
    yield box.face
    assert leftovers(tmp_path) == []


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).lstat().st_mode)


@pytest.mark.parametrize("name", NAMES)
def test_every_legal_name_works(files: Files, name: str) -> None:
    data = os.fsencode(name)
    files.write(name, data)
    files.append(name, b"+")
    files.copy(name, "d")
    files.move(name, "e")
    files.move("e", name)
    assert entries() == sorted(["d", name], key=os.fsencode)
    assert files.read(name) == data + b"+" == Path("d").read_bytes()
    assert files.stat(name).size == len(data) + 1
    assert files.stat(name).path == name
    assert [i.path for i in files.list()] == sorted(["d", name], key=os.fsencode)
    assert files.glob("*") == sorted(["d", name], key=os.fsencode)
    files.remove(name)
    files.mkdir(name)
    files.write(f"{name}/{name}", b"")
    assert [i.path for i in files.list(name)] == [f"{name}/{name}"]
    assert files.glob("**/*") == sorted(["d", name, f"{name}/{name}"], key=os.fsencode)
    files.remove(name, recursive=True)
    assert entries() == ["d"]


@pytest.mark.parametrize("data", [b"", b"\0", b"\r\n\n", b"no end", bytes(range(256)) * 300, os.urandom(1_500_000)])
def test_bytes_come_back_as_they_were(files: Files, box: ShellBox, data: bytes) -> None:
    before = len(box.channels)
    files.write("f", data)
    assert files.read("f") == data
    assert len(box.channels) - before == 2
    assert Path("f").read_bytes() == data


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 0), (0, 1), (1, None), (65535, 3), (65536, 65536), (99_990, 100), (100_000, 1), (200_000, 5), (7, None)],
)
def test_a_range_is_exact(files: Files, offset: int, length: int | None) -> None:
    data = os.urandom(100_000)
    Path("f").write_bytes(data)
    expected = data[offset:] if length is None else data[offset : offset + length]
    assert files.read("f", offset=offset, length=length) == expected
    with files.open_read("f", offset=offset, length=length) as reader:
        assert reader.read() == expected


@pytest.mark.parametrize("offset", [10**10, 1 << 44, 1 << 62, (1 << 63) - 65537, (1 << 63) - 1])
@pytest.mark.parametrize("length", [None, 1, (1 << 63) - 1])
def test_an_offset_that_no_file_reaches_reads_nothing(files: Files, offset: int, length: int | None) -> None:
    files.write("f", b"0123456789" * 1000)
    files.write("empty", b"")
    # tmpfs takes larger offsets than other file systems, and /proc knows no sizes.
    paths = ["f", "empty", "/proc/version", *(["/dev/shm/sandboxkit-test-f"] if Path("/dev/shm").is_dir() else [])]
    try:
        for path in paths:
            if path.startswith("/dev/shm"):
                files.write(path, b"0123456789")
            assert files.read(path, offset=offset, length=length) == b""
            with files.open_read(path, offset=offset, length=length) as reader:
                assert reader.read() == b""
    finally:
        files.remove("/dev/shm/sandboxkit-test-f", missing_ok=True)
    with pytest.raises(FileNotFoundError):
        files.read("missing", offset=offset, length=length)
    with pytest.raises(IsADirectoryError):
        files.read("/", offset=offset, length=length)


@pytest.mark.parametrize("length", [None, 3])
def test_what_is_far_in_a_file_is_read(files: Files, length: int | None) -> None:
    far = 20_000_000_000
    with Path("sparse").open("wb") as file:
        file.seek(far)
        file.write(b"far")
    assert files.read("sparse", offset=far, length=length) == b"far"
    assert files.read("sparse", offset=far + 1, length=length) == b"ar"


def test_a_reader_is_an_iterator(files: Files) -> None:
    Path("f").write_bytes(b"x" * 100_000)
    with files.open_read("f") as reader:
        first = next(reader)
        assert first + b"".join(reader) == b"x" * 100_000
        with pytest.raises(StopIteration):
            next(reader)


def test_the_limit_is_on_what_is_returned(files: Files, box: ShellBox) -> None:
    Path("f").write_bytes(bytes(1000))
    assert len(files.read("f", limit=1000)) == 1000
    assert len(files.read("f", offset=990, limit=10)) == 10
    assert len(files.read("f", length=5, limit=5)) == 5
    for arguments in ({"limit": 999}, {"limit": 10, "offset": 989}, {"limit": 4, "length": 5}):
        with pytest.raises(FileTooLarge):
            files.read("f", **arguments)
    assert not box.channels[-1].killed


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 2049, 65535, 65536, 65537, 200_000])
def test_what_is_written_is_read_whatever_its_size(files: Files, box: ShellBox, size: int) -> None:
    content = (bytes(range(256)) + b"%s\\n'") * (size // 256 + 1)
    files.write("f", content[:size])
    assert files.read("f") == content[:size]
    files.write("f", content[: size + 1][::-1], mode=0o640)
    assert files.read("f", limit=size + 1) == content[: size + 1][::-1]
    with pytest.raises(FileTooLarge):
        files.read("f", limit=size)
    files.append("f", content[:size])
    files.write("f", content[:size], atomic=False)
    assert files.read("f") == content[:size]
    assert files.stat("f").mode == 0o640


@pytest.mark.parametrize("path", ["/proc/cpuinfo", "/dev/zero"])
def test_the_limit_holds_for_what_has_no_size(files: Files, box: ShellBox, path: str) -> None:
    with pytest.raises(FileTooLarge):
        files.read(path, limit=10)
    assert box.channels[-1].closed
    assert files.read(path, length=10, limit=10)


def test_text_is_decoded_whole(files: Files) -> None:
    files.write("f", "é\r\n")
    assert files.read_text("f") == "é\r\n"
    with pytest.raises(UnicodeDecodeError):
        files.read_text("f", encoding="ascii")
    assert files.read_text("f", encoding="latin-1") == "Ã©\r\n"


def test_append_adds_in_place_and_makes_what_is_missing(files: Files) -> None:
    files.append("d/f", "a")
    inode = Path("d/f").stat().st_ino
    files.append("d/f", b"b" * 2_000_000)
    assert Path("d/f").read_bytes() == b"a" + b"b" * 2_000_000
    assert inode == Path("d/f").stat().st_ino


def test_stat_tells_kinds_and_follows_on_request(files: Files) -> None:
    files.write("f", b"123", mode=0o640)
    os.utime("f", (0, 1_600_000_000))
    Path("l").symlink_to("f")
    os.mkfifo("p")
    info = files.stat("l")
    assert (info.type, info.size, info.mode, info.mtime, info.target) == ("file", 3, 0o640, 1_600_000_000.0, None)
    assert (info.uid, info.gid) == (os.getuid(), os.getgid())
    assert (files.stat("l", follow=False).type, files.stat("l", follow=False).target) == ("symlink", "f")
    assert [files.stat(p).type for p in (".", "p", "/dev/null")] == ["directory", "fifo", "character"]


def test_exists_follows_symlinks_and_knows_no_errors_but_real_ones(files: Files) -> None:
    Path("f").touch()
    Path("dangling").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    assert [files.exists(p) for p in ("f", ".", "x", "f/x", "dangling", "loop")] == [True, True] + [False] * 4


def test_a_listing_has_every_entry_and_each_target(files: Files) -> None:
    assert files.list() == []
    Path("d").mkdir()
    targets = {".hidden": "x", "l1": "a\nb", "l2": "a\n", "l3": "d", "l4": "\udcfe -> '"}
    for name, target in targets.items():
        Path("d", name).symlink_to(target)
    for i in range(4100):
        Path("d", f"f{i}").touch()
    infos = files.list("d")
    assert [i.name for i in infos] == entries("d")
    assert {i.name: i.target for i in infos if i.type == "symlink"} == targets


def test_mkdir_makes_parents_and_knows_what_was_there(files: Files) -> None:
    files.mkdir("a/b/c", mode=0o2750)
    assert (mode("a/b/c"), mode("a/b")) == (0o2750, 0o777 & ~_umask())
    files.mkdir("a/b/c/", mode=0o700)
    assert mode("a/b/c") == 0o2750
    Path("f").touch()
    Path("dangling").symlink_to("nowhere")
    with pytest.raises(FileExists):
        files.mkdir("a", exist_ok=False)
    for path in ("f", "dangling"):
        with pytest.raises(FileExists):
            files.mkdir(path)
    with pytest.raises(FileMissing):
        files.mkdir("x/y", parents=False)
    with pytest.raises(NotDirectory):
        files.mkdir("f/y")


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def test_remove_takes_symlinks_themselves_and_directories_only_when_told(files: Files) -> None:
    files.write("d/e/f", b"")
    Path("l").symlink_to("d")
    Path("ro").write_bytes(b"")
    Path("ro").chmod(0)
    for path in ("l/", "ro"):
        files.remove(path)
    assert entries() == ["d"]
    with pytest.raises(FileError) as caught:
        files.remove("d")
    assert caught.value.errno == errno.ENOTEMPTY
    files.remove("d/e/f")
    files.remove("d/e")
    files.write("d/x/y", b"")
    Path("d/out").symlink_to("/tmp")
    files.remove("d", recursive=True)
    assert entries() == []
    for recursive in (False, True):
        with pytest.raises(FileMissing):
            files.remove("d", recursive=recursive)
        files.remove("d", recursive=recursive, missing_ok=True)
    for path in (".", "/", "x/..", "//"):
        with pytest.raises(InvalidRequest):
            files.remove(path, recursive=True)


def test_move_renames_and_never_into_a_directory(files: Files) -> None:
    files.write("f", b"1")
    files.write("g", b"2")
    inode = Path("f").stat().st_ino
    files.move("f", "g")
    assert (Path("g").stat().st_ino, entries()) == (inode, ["g"])
    files.move("g", "g")
    files.write("d/x", b"3")
    files.mkdir("e")
    for source, target, kind in (("g", "d", IsDirectory), ("d", "e", FileExists), ("d", "g", FileExists)):
        with pytest.raises(kind) as caught:
            files.move(source, target)
        assert caught.value.path == target
    files.move("d", "h")
    assert Path("h/x").read_bytes() == b"3"
    Path("l").symlink_to("h")
    files.move("l", "k")
    with pytest.raises(IsDirectory):
        files.move("g", "k")
    assert Path("k").readlink() == Path("h")
    Path("m").symlink_to("g")
    files.move("g", "m")
    assert Path("m").read_bytes() == b"1"
    with pytest.raises(FileExists):
        files.move("m", "h/x", overwrite=False)
    files.move("m", "h/y", overwrite=False)
    assert entries("h") == ["x", "y"]


@pytest.mark.parametrize(("tool", "operation"), [("stat", "move"), ("cp", "copy")])
def test_a_target_that_comes_meanwhile_is_not_overwritten_unasked(
    files: Files, tmp_path_factory: pytest.TempPathFactory, tool: str, operation: str
) -> None:
    box = shimmed(tmp_path_factory, tool, f'echo first >"$PWD/g"; exec {shutil.which(tool)} "$@"')
    Path("f").write_bytes(b"1")
    with pytest.raises(FileExists):
        getattr(box.face, operation)("f", "g", overwrite=False)
    assert (Path("f").read_bytes(), Path("g").read_bytes()) == (b"1", b"first\n")
    run(box.close())


def test_a_frame_that_dd_did_not_take_whole_commits_nothing(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dd = shutil.which("dd")
    short = f'[ "$1" != bs=7 ]&&exec {dd} "$@";{dd} bs=1 count=1 2>/dev/null;echo "0+1 records in" >&2'
    box = shimmed(tmp_path_factory, "dd", short)
    with pytest.raises(FileError, match="lost a part"):
        box.face.write("f", b"a0\nrest")
    assert entries() == []
    run(box.close())


@pytest.mark.parametrize("shell", SHELLS)
def test_a_glob_needs_no_find(files: Files, tmp_path_factory: pytest.TempPathFactory, shell: str) -> None:
    box = shimmed(tmp_path_factory, "find", "exit 127", shell)
    for name in ("a b", "-x", "n\nl", ".h", "..x", "*"):
        files.write(f"d/{name}/{name}", b"")
    Path("link").symlink_to("d")
    for pattern in ("**", "d/**", "**/.*", "**/d/*/-x", "**/", "-*/**"):
        assert box.face.glob(pattern) == files.glob(pattern), pattern
    assert len(files.glob("**")) == 14
    run(box.close())


def test_the_tools_speak_english(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    box = shimmed(tmp_path_factory, "cat", 'printf %s "$LC_ALL"')
    Path("f").write_bytes(bytes(1 << 16))  # what is behind that many bytes is cat's
    assert box.face.read("f") == bytes(1 << 16) + b"C"
    run(box.close())


def shimmed(factory: pytest.TempPathFactory, tool: str, script: str, shell: str = "dash") -> ShellBox:
    """Make a box where one tool is a script."""
    box = make_box(shell, factory)
    shim = factory.mktemp("shim") / tool
    shim.write_text(f"#!/bin/sh\n{script}\n")
    shim.chmod(0o755)
    box.path = f"{shim.parent}:{box.path}"
    return box


def test_move_names_the_path_that_is_wrong(files: Files) -> None:
    files.write("f", b"1")
    files.write("d/x", b"")
    for source, target, kind, wrong in (
        ("nope", "g", FileMissing, "nope"),
        ("f", "no/g", FileMissing, "no/g"),
        ("f", "f/g", NotDirectory, "f/g"),
        ("d", "d/e", FileError, "d"),
    ):
        for operation in (files.move, files.copy):
            with pytest.raises(kind) as caught:
                operation(source, target, **({"recursive": True} if operation == files.copy else {}))
            assert caught.value.path == wrong
    assert entries() == ["d", "f"]


@pytest.mark.skipif(Path("/dev/shm").stat().st_dev == Path("/tmp").stat().st_dev, reason="needs two file systems")
def test_move_across_file_systems_brings_files_and_trees(
    files: Files, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = Path("/dev/shm") / tmp_path_factory.mktemp("x").parent.name / f"sandboxkit-test-{os.getpid()}"
    far.mkdir(parents=True)
    try:
        files.write("f", b"1", mode=0o701)
        files.move("f", str(far / "f"))
        assert ((far / "f").read_bytes(), mode(str(far / "f"))) == (b"1", 0o701)
        files.write("t/a/b", b"2")
        Path("t/l").symlink_to("a/b")
        files.move("t", str(far / "t"))
        assert ((far / "t/l").readlink(), (far / "t/l").read_bytes()) == (Path("a/b"), b"2")
        assert entries() == []
        files.write("f", b"3")
        with pytest.raises(FileExists):
            files.move("f", str(far / "f"), overwrite=False)
        files.move("f", str(far / "f"))
        assert (far / "f").read_bytes() == b"3"
        assert leftovers(far) == []
    finally:
        files.remove(str(far), recursive=True)


def test_copy_keeps_modes_and_symlinks_and_takes_trees_when_told(files: Files) -> None:
    files.write("f", b"1", mode=0o751)
    files.write("g", b"old", mode=0o600)
    Path("l").symlink_to("f")
    Path("to").symlink_to("g")
    files.copy("l", "to")
    assert (Path("g").read_bytes(), mode("g"), Path("to").readlink()) == (b"1", 0o751, Path("g"))
    with pytest.raises(FileExists):
        files.copy("f", "to", overwrite=False)
    files.write("t/a/b", b"2", mode=0o640)
    Path("t/l").symlink_to("/etc")
    Path("t/a").chmod(0o710)
    with pytest.raises(IsDirectory) as caught:
        files.copy("t", "u")
    assert caught.value.path == "t"
    files.copy("t", "u", recursive=True)
    assert (Path("u/l").readlink(), mode("u/a"), mode("u/a/b")) == (Path("/etc"), 0o710, 0o640)
    with pytest.raises(FileExists):
        files.copy("t", "u", recursive=True)
    with pytest.raises(IsDirectory):
        files.copy("f", "u")
    os.mkfifo("p")
    with pytest.raises(FileError):
        files.copy("p", "q")
    with pytest.raises(NotAtomic):
        files.copy("f", "p")


def test_a_glob_walks_as_pathlib_does(files: Files) -> None:
    for path in ("a/b/c.py", "a/.h/d.py", "a/e.py", ".top.py", "z.txt"):
        files.write(path, b"")
    Path("link").symlink_to("a")
    for pattern in ("*.py", "a/*", "*/*.py", "**/*.py", "a/**/*.py", "a/b/c.py", "a/../*.py", "nope/*", "*/b/c.py"):
        assert files.glob(pattern) == sorted(str(p) for p in Path().glob(pattern)), pattern
    assert files.glob("*/") == ["a", "link"]
    assert files.glob("a/**") == ["a/.h", "a/.h/d.py", "a/b", "a/b/c.py", "a/e.py"]
    assert files.glob("**/") == ["a", "a/.h", "a/b"]
    assert files.glob("./**/e.py") == ["./a/e.py"]
    absolute = Path.cwd()
    assert files.glob(f"{absolute}/*.txt") == [f"{absolute}/z.txt"]
    assert files.glob("/") == ["/"]
