"""What a sandbox sends goes into the target and nowhere else, and leaves no temporary name behind."""

from __future__ import annotations

import errno
import io
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit.errors import BadArchive
from sandboxkit.localtarget import FileTarget, TreeTarget

Member = tuple[str, bytes, str | bytes]
"""A name, a type of tarfile's, and contents or a link's target."""


def archive(*members: Member, mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, kind, what in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode, 1_000_000_000
            if isinstance(what, str):
                info.linkname = what
                tar.addfile(info)
            else:
                info.size = len(what)
                tar.addfile(info, io.BytesIO(what))
    return buffer.getvalue()


def receive(data: bytes, path: Path, *, step: int = 1 << 20) -> TreeTarget:
    target = TreeTarget(str(path))
    try:
        for at in range(0, len(data), step):
            target.feed([data[at : at + step]])
        target.commit()
    finally:
        target.discard()
    return target


FILE, LINK, SYMLINK, DIRECTORY, FIFO, DEVICE = b"0", b"1", b"2", b"5", b"6", b"3"


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory beside the target that must stay as it is; the target's is empty or whole, and nothing is left."""
    place = tmp_path / "outside"
    place.mkdir()
    (place / "precious").write_text("precious")
    yield place
    assert [path.name for path in place.iterdir()] == ["precious"]
    assert (place / "precious").read_text() == "precious"
    assert (place / "precious").stat().st_nlink == 1
    assert not list(tmp_path.rglob(".sandboxkit-*"))


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(
    "members",
    [
        lambda outside: [("../outside/new", FILE, b"bad")],
        lambda outside: [("a/../../outside/new", FILE, b"bad")],
        lambda outside: [(f"{outside}/new", FILE, b"bad")],
        lambda outside: [("../outside/precious", FILE, b"bad")],
        lambda outside: [("../outside/new", DIRECTORY, "")],
        lambda outside: [("../outside/new", SYMLINK, "x")],
        lambda outside: [("link", SYMLINK, str(outside)), ("link/new", FILE, b"bad")],
        lambda outside: [("link", SYMLINK, "../outside"), ("link/new", DIRECTORY, "")],
        lambda outside: [("link", SYMLINK, "../outside/precious"), ("link", FILE, b"bad")],
        lambda outside: [("link", SYMLINK, str(outside)), ("link", DIRECTORY, ""), ("link/new", FILE, b"bad")],
        lambda outside: [("hard", LINK, f"{outside}/precious")],
        lambda outside: [("hard", LINK, "../outside/precious")],
        lambda outside: [("link", SYMLINK, "../outside"), ("hard", LINK, "link/precious")],
        lambda outside: [("link", SYMLINK, "../outside/precious"), ("hard", LINK, "link")],
        lambda outside: [("hard", LINK, "never")],
        lambda outside: [("d", DIRECTORY, ""), ("hard", LINK, "d")],
        lambda outside: [("hard", LINK, "")],
        lambda outside: [("f", FILE, b"x"), ("f/below", FILE, b"bad")],
        lambda outside: [("f", FILE, b"x"), ("f", FILE, b"y")],
        lambda outside: [("", FILE, b"x")],
        lambda outside: [(".", SYMLINK, "../outside")],
    ],
)
def test_nothing_leads_outside(
    outside: Path, tmp_path: Path, members: Callable[[Path], list[Member]], there: bool
) -> None:
    target = tmp_path / "target"
    if there:
        target.mkdir()
        (target / "old").write_text("old")
    with pytest.raises(BadArchive):
        receive(archive(("good", FILE, b"good"), *members(outside)), target)
    assert [path.name for path in tmp_path.rglob("*")].count("good") == 0
    assert target.exists() == there
    if there:
        assert [path.name for path in target.iterdir()] == ["old"]


def test_what_is_planted_in_the_target_is_not_followed(outside: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "d").symlink_to(outside)
    with pytest.raises(NotADirectoryError) as caught:
        receive(archive(("d/new", FILE, b"bad")), target)
    assert caught.value.filename == str(target / "d")
    (target / "precious").symlink_to(outside / "precious")
    receive(archive(("precious", FILE, b"mine")), target)
    assert not (target / "precious").is_symlink()
    assert (target / "precious").read_text() == "mine"


def test_devices_are_skipped_and_set_id_bits_dropped(outside: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    data = archive(("./", DIRECTORY, ""), ("f", FILE, b"x"), ("n", DEVICE, ""), ("p", FIFO, ""), mode=0o7755)
    done = receive(data, target)
    assert done.tally.skipped == ["n", "p"]
    assert [path.name for path in target.iterdir()] == ["f"]
    assert stat.S_IMODE((target / "f").stat().st_mode) == stat.S_IMODE(target.stat().st_mode) == 0o755


@pytest.mark.parametrize("step", [1, 700, 1 << 20])
def test_a_tree_is_what_was_archived(outside: Path, tmp_path: Path, step: int) -> None:
    members: list[Member] = [
        ("./", DIRECTORY, ""),
        ("./closed/", DIRECTORY, ""),
        ("./closed/deep/", DIRECTORY, ""),
        ("./closed/deep/file", FILE, b"d" * 2000),
        ("./closed/file", FILE, b"c"),
        ("./hard", LINK, "./closed/deep/file"),
        ("./implied/directory/file", FILE, b""),
        ("./symlink", SYMLINK, "/nowhere"),
    ]
    target = tmp_path / "a" / "b" / "target"
    done = receive(archive(*members, mode=0o555), target, step=step)
    tally = done.tally
    assert (tally.files, tally.directories, tally.symlinks, tally.bytes) == (4, 2, 1, 4001)
    for path in (target, target / "closed", target / "closed" / "deep", target / "closed" / "deep" / "file"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o555, path
        assert path.stat().st_mtime == 1_000_000_000
    assert (target / "hard").read_bytes() == b"d" * 2000
    assert (target / "hard").stat().st_nlink == 1
    assert (target / "symlink").readlink() == Path("/nowhere")
    assert (target / "implied" / "directory" / "file").read_bytes() == b""
    for path in (target, target / "closed", target / "closed" / "deep"):
        path.chmod(0o755)


def test_a_directory_that_exists_is_filled_and_keeps_its_mode(outside: Path, tmp_path: Path) -> None:
    target = tmp_path / "target"
    (target / "d").mkdir(parents=True, mode=0o700)
    target.chmod(0o750)
    (target / "d" / "old").write_text("old")
    (target / "d" / "file").write_text("old")
    (target / "d" / "link").symlink_to("old")
    data = archive(
        ("./", DIRECTORY, ""), ("d/", DIRECTORY, ""), ("d/file", FILE, b"new"), ("d/link", SYMLINK, "file"),
        ("d/n/", DIRECTORY, ""), ("d/n/f", FILE, b"n"), mode=0o555,
    )  # fmt: skip
    receive(data, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o750
    assert stat.S_IMODE((target / "d").stat().st_mode) == 0o700
    assert (target / "d" / "old").read_text() == "old"
    assert (target / "d" / "link").read_text() == "new"
    assert stat.S_IMODE((target / "d" / "n").stat().st_mode) == 0o555
    (target / "d" / "n").chmod(0o755)


@pytest.mark.parametrize("old", ["file", "directory"])
def test_kinds_that_differ_are_an_error(outside: Path, tmp_path: Path, old: str) -> None:
    target = tmp_path / "target"
    target.mkdir()
    if old == "file":
        (target / "x").write_text("old")
        with pytest.raises(NotADirectoryError, match="target/x"):
            receive(archive(("x/", DIRECTORY, "")), target)
        assert (target / "x").read_text() == "old"
        with pytest.raises(NotADirectoryError, match="target/x"):
            receive(archive(("x/", DIRECTORY, "")), target / "x")
        with pytest.raises(NotADirectoryError):
            receive(archive(("x/", DIRECTORY, "")), target / "x" / "y")
    else:
        (target / "x").mkdir()
        with pytest.raises(IsADirectoryError, match="target/x"):
            receive(archive(("x", FILE, b"new")), target)
        with pytest.raises(IsADirectoryError, match="target/x"):
            FileTarget(str(target / "x"), mode=0o644, mtime=0)


@pytest.mark.parametrize("cut", [0, 1, 512, 600, 1024, 1536])
def test_an_archive_without_its_end_changes_nothing(outside: Path, tmp_path: Path, cut: int) -> None:
    target = tmp_path / "target"
    with pytest.raises(BadArchive, match="without an end"):
        receive(archive(("f", FILE, b"x" * 600))[:cut], target)
    assert not target.exists()


def test_a_target_that_someone_else_made_meanwhile_is_filled(outside: Path, tmp_path: Path) -> None:
    path = tmp_path / "target"
    target = TreeTarget(str(path))
    target.feed([archive(("f", FILE, b"x"))])
    path.mkdir()
    (path / "theirs").write_text("theirs")
    target.commit()
    target.discard()
    assert {entry.name for entry in path.iterdir()} == {"f", "theirs"}


def test_what_is_given_up_ends_soon_and_leaves_nothing(outside: Path, tmp_path: Path) -> None:
    target = TreeTarget(str(tmp_path / "target"))
    data = archive(("d/", DIRECTORY, ""), ("d/f", FILE, b"x" * 10_000), mode=0o000)
    target.feed([data[:3000]])
    target.discard()
    with pytest.raises((InterruptedError, OSError)):
        target.feed([data[3000:]])
    target.discard()
    assert not (tmp_path / "target").exists()


def test_a_file_is_replaced_whole_and_a_symlink_to_it_stays(outside: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    target = FileTarget(str(tmp_path / "link"), mode=0o4751, mtime=1_000_000_000)
    target.feed([b"n", b"ew"])
    assert (tmp_path / "file").read_text() == "old"
    target.commit()
    target.discard()
    assert (tmp_path / "link").is_symlink()
    found = (tmp_path / "file").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_mtime) == (0o751, 1_000_000_000)
    assert (tmp_path / "file").read_text() == "new"


@pytest.mark.parametrize("name", ["loop", "loop/below", "loop/below/it"])
def test_a_loop_of_symlinks_is_an_os_error(outside: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to("loop")
    path = str(tmp_path / name)
    for make in (TreeTarget, lambda path: FileTarget(path, mode=0o644, mtime=0)):
        with pytest.raises(OSError, match="symbolic links") as caught:
            make(path)
        assert (caught.value.errno, caught.value.filename) == (errno.ELOOP, path)
    assert [each.name for each in tmp_path.iterdir() if each != outside] == ["loop"]
    assert (tmp_path / "loop").is_symlink()


@pytest.mark.parametrize("name", ["x/", "x/.", "x/..", "d/", "f/"])
def test_a_name_of_a_directory_takes_no_file(outside: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("old")
    with pytest.raises(IsADirectoryError) as caught:
        FileTarget(f"{tmp_path}/{name}", mode=0o644, mtime=0)
    assert caught.value.filename == f"{tmp_path}/{name}"
    assert not (tmp_path / "x").exists()
    assert (tmp_path / "f").read_text() == "old"


def test_no_descriptor_stays_open(outside: Path, tmp_path: Path) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    receive(archive(("a/b/c/d", FILE, b"x"), ("hard", LINK, "a/b/c/d"), ("e", SYMLINK, "x")), tmp_path / "target")
    with pytest.raises(BadArchive):
        receive(archive(("a/b/c/d", FILE, b"x"), ("hard", LINK, "a/b/c")), tmp_path / "target2")
    assert sorted(Path("/proc/self/fd").iterdir()) == before
