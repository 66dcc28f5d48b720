"""Writing: atomic, through symlinks, with the right mode, and what happens where it cannot be atomic."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit.driver import run
from sandboxkit.errors import FileError, NoSpaceLeft, NotAtomic
from sandboxkit.filewriter import FRAME
from sandboxkit.sync import Files
from tests.support.shellbox import SHELLS, ShellBox, entries, leftovers, make_box

ROOT = os.getuid() == 0


@pytest.fixture(scope="module", params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellBox]:
    made = make_box(request.param, tmp_path_factory)
    yield made
    run(made.close())


@pytest.fixture
def files(box: ShellBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    monkeypatch.chdir(tmp_path)
    yield box.face
    assert leftovers(tmp_path) == []


def mode(path: str) -> int:
    return stat.S_IMODE(Path(path).lstat().st_mode)


@contextlib.contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


@contextlib.contextmanager
def mounted(*arguments: str) -> Iterator[None]:
    subprocess.run(["mount", *arguments], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", arguments[-1]], check=True)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_a_new_file_has_the_umasks_mode_and_a_replaced_one_keeps_its_own(files: Files, mask: int) -> None:
    with umask(mask):
        files.write("d/f", b"1")
        assert mode("d/f") == 0o666 & ~mask
        assert mode("d") == 0o777 & ~mask
        files.append("g", b"1")
        assert mode("g") == 0o666 & ~mask
        for kept in (0o600, 0o777, 0o444, 0o4755):
            Path("d/f").chmod(kept)
            files.write("d/f", b"2")
            assert mode("d/f") == kept
        files.write("d/f", b"3", mode=0o640)
        files.write("new", b"3", mode=0o1750)
        files.write("place", b"3", mode=0o604, atomic=False)
        assert [mode(p) for p in ("d/f", "new", "place")] == [0o640, 0o1750, 0o604]


@pytest.mark.skipif(not ROOT, reason="needs root to give files away")
def test_the_owner_is_kept_where_the_user_may_set_it(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    files.write("f", b"1", mode=0o4751)
    os.chown("f", 1234, 2345)
    Path("f").chmod(0o4751)
    files.write("f", b"2")
    info = Path("f").stat()
    assert (info.st_uid, info.st_gid, mode("f")) == (1234, 2345, 0o4751)


@pytest.mark.skipif(not ROOT, reason="needs root to become another user")
def test_bits_that_lend_the_owners_power_go_when_the_owner_does(
    request: pytest.FixtureRequest, files: Files, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_box(request.node.callspec.params["box"], tmp_path_factory, user=65534)
    place = Path("/dev/shm") / f"sandboxkit-{os.getpid()}"
    place.mkdir()
    try:
        place.chmod(0o777)
        (place / "f").write_bytes(b"1")
        (place / "f").chmod(0o6757)
        other.face.write(str(place / "f"), b"2")
        info = (place / "f").stat()
        assert (info.st_uid, stat.S_IMODE(info.st_mode)) == (65534, 0o757)
    finally:
        run(other.close())
        files.remove(str(place), recursive=True)


def test_symlinks_are_followed_to_what_is_there_or_will_be(files: Files) -> None:
    files.write("d/f", b"1")
    Path("a").symlink_to("b")
    Path("b").symlink_to("d/./g")
    Path("d/g").symlink_to("f")
    files.write("a", b"2")
    assert Path("d/f").read_bytes() == b"2"
    assert [Path(p).is_symlink() for p in ("a", "b", "d/g", "d/f")] == [True, True, True, False]
    Path("new").symlink_to("e/-x\n")
    files.write("new", b"3")
    assert Path("e/-x\n").read_bytes() == b"3"
    Path("l1").symlink_to("l2")
    Path("l2").symlink_to("l1")
    with pytest.raises(FileError, match="symbolic links"):
        files.write("l1", b"")
    Path("slash").symlink_to("nowhere/")
    with pytest.raises(FileError):
        files.write("slash", b"")
    assert "nowhere" not in entries()


def test_others_see_the_old_file_or_the_new_one_whole(files: Files) -> None:
    contents = [bytes([c]) * 3_000_000 for c in b"ab"]
    files.write("f", contents[0])
    seen: set[bytes] = set()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            seen.add(Path("f").read_bytes())

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for i in range(6):
            files.write("f", contents[i % 2])
            limit = time.monotonic() + 20
            while contents[i % 2] not in seen and time.monotonic() < limit:
                time.sleep(0.001)
        with files.open_write("f") as writer:
            for i in range(0, 3_000_000, 100_000):
                writer.write(contents[0][i : i + 100_000])
    finally:
        stop.set()
        reader.join()
    assert seen == set(contents)


def test_a_hard_link_elsewhere_keeps_the_old_content_unless_written_in_place(files: Files) -> None:
    files.write("f", b"1")
    os.link("f", "g")
    files.write("f", b"2")
    assert Path("g").read_bytes() == b"1"
    os.link("f", "h")
    files.write("f", b"3", atomic=False)
    assert Path("h").read_bytes() == b"3"


def test_what_no_file_can_be_renamed_onto_is_written_only_in_place(files: Files) -> None:
    os.mkfifo("p")
    for path in ("p", "/dev/null"):
        with pytest.raises(NotAtomic):
            files.write(path, b"x")
    with pytest.raises(NotAtomic), files.open_write("p"):
        pass
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(Path("p").read_bytes()))
    reader.start()
    files.write("p", b"through the pipe", atomic=False)
    reader.join()
    assert got == [b"through the pipe"]
    files.write("/dev/null", b"x" * 100_000, atomic=False)
    with pytest.raises(NoSpaceLeft):
        files.write("/dev/full", b"x" * 3_000_000, atomic=False)


@pytest.mark.skipif(not ROOT, reason="needs root to mount")
def test_a_mounted_file_is_written_only_in_place(files: Files) -> None:
    Path("under").write_bytes(b"old")
    Path("f").touch()
    with mounted("--bind", "under", "f"):
        with pytest.raises(NotAtomic):
            files.write("f", b"new")
        with pytest.raises(NotAtomic):
            files.copy("under", "f")
        assert Path("f").read_bytes() == b"old"
        files.write("f", b"new", atomic=False)
        files.append("f", b"er")
    assert Path("under").read_bytes() == b"newer"


def stream(files: Files, path: str, data: bytes) -> None:
    with files.open_write(path) as writer:
        for i in range(0, len(data), 300_000):
            writer.write(data[i : i + 300_000])


@pytest.mark.skipif(not ROOT, reason="needs root to mount")
@pytest.mark.parametrize("streamed", [False, True])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(files: Files, streamed: bool) -> None:
    Path("t").mkdir()
    with mounted("-t", "tmpfs", "-o", "size=2m", "none", "t"):
        files.write("t/f", b"old")
        data = bytes(20_000_000)
        with pytest.raises(NoSpaceLeft) as caught:
            stream(files, "t/f", data) if streamed else files.write("t/f", data)
        assert caught.value.path == "t/f"
        assert (Path("t/f").read_bytes(), entries("t")) == (b"old", ["f"])
        Path("big").write_bytes(data)
        for operation in (files.copy, files.move):
            with pytest.raises(NoSpaceLeft):
                operation("big", "t/f")
        assert (Path("t/f").read_bytes(), entries("t")) == (b"old", ["f"])
        assert Path("big").read_bytes() == data


@pytest.mark.skipif(not ROOT, reason="needs root to mount")
def test_a_read_only_file_system_is_a_permission_error(files: Files) -> None:
    Path("t").mkdir()
    Path("t/f").touch()
    with mounted("--bind", "t", "t"):
        subprocess.run(["mount", "-o", "remount,bind,ro", "t"], check=True)
        operations: list[Callable[[], object]] = [
            lambda: files.write("t/f", b""),
            lambda: files.write("t/new", b""),
            lambda: files.write("t/d/new", b""),
            lambda: files.append("t/f", b""),
            lambda: files.write("t/f", b"", atomic=False),
            lambda: files.mkdir("t/d"),
            lambda: files.remove("t/f"),
            lambda: files.copy("t/f", "t/g"),
            lambda: files.move("t/f", "g"),
        ]
        for operation in operations:
            with pytest.raises(PermissionError) as caught:
                operation()
            assert caught.value.errno == 30


@pytest.mark.parametrize(
    "sizes", [[], [0], [1], [FRAME], [FRAME - 1, 1, 1], [FRAME + 1], [3 * FRAME, 5], [100] * 50, [0, 7, 0]]
)
def test_a_streamed_file_is_what_was_written(files: Files, sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    with files.open_write("f", mode=0o600) as writer:
        for piece in pieces:
            writer.write(piece)
            assert not Path("f").exists()
    assert (Path("f").read_bytes(), mode("f")) == (b"".join(pieces), 0o600)
    with files.open_write("f", append=True) as writer:
        writer.write(memoryview(b"end"))
        writer.write(bytearray(b"ing"))
    assert Path("f").read_bytes() == b"".join(pieces) + b"ending"


def test_a_streamed_read_takes_what_it_is_asked_for(files: Files, box: ShellBox) -> None:
    data = os.urandom(2_000_000)
    Path("f").write_bytes(data)
    with files.open_read("f") as reader:
        assert reader.read(0) == b""
        assert reader.read(100_001) == data[:100_001]
        piece = next(iter(reader))
        assert data[100_001:].startswith(piece)
        assert piece
        assert b"".join(reader) == data[100_001 + len(piece) :]
        assert (reader.read(5), reader.read()) == (b"", b"")
    assert not box.channels[-1].killed


def test_a_reader_that_is_left_early_ends_its_program(files: Files, box: ShellBox) -> None:
    with files.open_read("/dev/zero") as reader:
        assert reader.read(1_000_000) == bytes(1_000_000)
    assert (box.channels[-1].killed, box.channels[-1].closed) == (True, True)
    with pytest.raises(ValueError, match="not open"):
        reader.read(1)


def test_a_reader_takes_no_more_than_it_needs(files: Files, box: ShellBox) -> None:
    with files.open_read("/dev/zero") as reader:
        reader.read(10)
        turns = box.channels[-1].turns
        for _ in range(5):
            reader.read(10)
        assert box.channels[-1].turns == turns
