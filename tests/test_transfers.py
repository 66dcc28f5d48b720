"""Uploads and downloads on dash, bash and busybox's ash, with GNU's tar and busybox's."""

from __future__ import annotations

import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit import FileError, TransferProgress
from sandboxkit.driver import run
from sandboxkit.errors import BadArchive, FilePermission, InvalidRequest, IsDirectory, NotAtomic, NotDirectory
from sandboxkit.sync import Files
from tests.support.shellbox import SHELLS, Disturbed, ShellBox, leftovers, make_box, undisturbed
from tests.test_files_operations import NAMES

WHEN = 1_000_000_000


@pytest.fixture(scope="module", params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellBox]:
    made = make_box(request.param, tmp_path_factory)
    yield made
    run(made.close())


@pytest.fixture
def files(box: ShellBox, tmp_path: Path) -> Iterator[Files]:
    yield box.face
    box.disturb = undisturbed
    assert leftovers(tmp_path) == []
    assert all(channel.closed for channel in box.channels)
    # Directories without rights are pytest's to remove.
    subprocess.run(["chmod", "-R", "u+rwx", tmp_path], check=True)


def tree(directory: Path) -> Path:
    """Make a directory with everything that can be in one."""
    for name in NAMES:
        (directory / "names").mkdir(parents=True, exist_ok=True)
        (directory / "names" / name).write_bytes(os.fsencode(name))
    long = directory / "long" / ("l" * 250) / ("m" * 250)
    long.mkdir(parents=True)
    (long / ("n" * 250)).write_text("long")
    (long / "link").symlink_to("t" * 300)
    (directory / "empty").mkdir(mode=0o711)
    (directory / "empty.txt").touch()
    (directory / "closed" / "below").mkdir(parents=True)
    (directory / "closed" / "file").write_text("closed")
    (directory / "secret").write_bytes(bytes(range(256)) * 40)
    (directory / "secret").chmod(0o600)
    (directory / "tool").write_text("#!/bin/sh\n")
    (directory / "tool").chmod(0o4755)
    os.link(directory / "secret", directory / "zhard")
    (directory / "absolute").symlink_to("/etc/passwd")
    (directory / "up").symlink_to("../../../x")
    (directory / "loop").symlink_to("loop")
    (directory / "block").write_bytes(b"b" * 512)
    (directory / "block1").write_bytes(b"b" * 513)
    os.mkfifo(directory / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(directory / "socket"))
    for path in directory.rglob("*"):
        os.utime(path, (WHEN, WHEN), follow_symlinks=False)
    for path in (directory / "closed", directory / "closed" / "below"):
        path.chmod(0o555)
    directory.chmod(0o750)
    os.utime(directory, (WHEN, WHEN))
    return directory


Look = dict[str, tuple[str, int, int, bytes | str]]


def look(directory: Path) -> Look:
    """Describe everything in a directory: kind, mode, time, contents or target."""
    found: Look = {}
    for path in [directory, *directory.rglob("*")]:
        info = path.lstat()
        what: bytes | str = ""
        if stat.S_ISLNK(info.st_mode):
            what = str(path.readlink())
        elif stat.S_ISREG(info.st_mode):
            what = path.read_bytes()
        kind = stat.filemode(info.st_mode)[0]
        if kind in "d-l":
            mode = 0 if kind == "l" else stat.S_IMODE(info.st_mode) & 0o777
            # tar sets no time of a symlink everywhere.
            found[str(path.relative_to(directory))] = kind, mode, 0 if kind == "l" else int(info.st_mtime), what
    return found


@pytest.mark.parametrize("doing", ["upload", "download"])
def test_everything_that_is_in_a_directory_arrives(files: Files, tmp_path: Path, doing: str) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "a" / "b"
    transfer = files.upload if doing == "upload" else files.download
    result = transfer(str(source), str(target))
    assert look(target) == look(source)
    kinds = [kind for kind, *_ in look(source).values()]
    assert (result.files, result.symlinks) == (kinds.count("-"), kinds.count("l"))
    assert result.directories == kinds.count("d") - 1
    assert result.bytes == sum(len(what) for kind, _, _, what in look(source).values() if kind == "-")
    assert sorted(result.skipped) == ["fifo", "socket"]
    assert result.changed == ()
    assert (target / "zhard").stat().st_nlink == 1


@pytest.mark.parametrize("doing", ["upload", "download"])
def test_a_directory_that_exists_is_filled(files: Files, tmp_path: Path, doing: str) -> None:
    source, target = tree(tmp_path / "source"), tmp_path / "target"
    transfer = files.upload if doing == "upload" else files.download
    transfer(str(source), str(target))
    (target / "closed").chmod(0o700)
    (target / "closed" / "below").chmod(0o700)
    (target / "names" / "old").write_text("old")
    (target / "secret").unlink()
    (target / "secret").symlink_to("names/old")
    (target / "absolute").unlink()
    (target / "absolute").write_text("absolute")
    shutil.rmtree(target / "long")
    target.chmod(0o700)
    transfer(str(source), str(target))
    found, wanted = look(target), look(source)
    assert found.pop("names/old")[3] == b"old"
    kept = {"": 0o700, ".": 0o700, "closed": 0o700, "closed/below": 0o700}
    for name, (kind, mode, when, what) in wanted.items():
        assert found[name][0] == kind
        assert (found[name][1], found[name][3]) == (kept.get(name, mode), what)
        if kind == "-":
            assert found[name][2] == when
    assert found.keys() == wanted.keys()


def test_many_files_are_merged_in_lots(files: Files, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    for number in range(777):
        (source / f"{number}").write_text(str(number))
    for number in range(300):
        (source / f".{number}").write_text(str(number))
    (source / "..x").write_text("x")
    target.mkdir()
    assert files.upload(source, str(target)).files == 1078
    assert look(target).keys() == look(source).keys()
    assert (target / "776").read_text() == "776"


def test_a_file_arrives_under_its_full_name(files: Files, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3_000_000))
    source.chmod(0o751)
    os.utime(source, (WHEN, WHEN))
    told: list[TransferProgress] = []
    result = files.upload(source, f"{tmp_path}/x/there", progress=told.append)
    assert (result.files, result.bytes) == (1, 3_000_000)
    result = files.download(f"{tmp_path}/x/there", tmp_path / "y" / "back", progress=told.append)
    assert (result.files, result.bytes) == (1, 3_000_000)
    for place in ("x/there", "y/back"):
        info = (tmp_path / place).stat()
        assert (tmp_path / place).read_bytes() == source.read_bytes()
        assert (stat.S_IMODE(info.st_mode), info.st_mtime) == (0o751, WHEN)
    assert {each.total for each in told} == {3_000_000}
    assert [each.bytes for each in told].count(3_000_000) == 2
    (tmp_path / "link").symlink_to("source")
    files.upload(tmp_path / "link", f"{tmp_path}/through")
    files.download(f"{tmp_path}/link", tmp_path / "through too")
    assert (tmp_path / "through").read_bytes() == (tmp_path / "through too").read_bytes() == source.read_bytes()
    assert not (tmp_path / "through too").is_symlink()


@pytest.mark.parametrize("when", [-1, -2, -315_619_200])
def test_a_time_before_1970_arrives(files: Files, box: ShellBox, tmp_path: Path, when: int) -> None:
    busybox = "busybox" in box.program[0]
    (tmp_path / "d" / "e").mkdir(parents=True)
    (tmp_path / "d" / "f").write_text("old")
    (tmp_path / "d" / "link").symlink_to("f")
    for name in ("d/f", "d/link", "d/e", "d"):
        # Not a whole second: it is rounded as stat does it.
        os.utime(tmp_path / name, ns=(0, when * 10**9 + 5), follow_symlinks=False)
    for transfer in (files.upload, files.download):
        name = transfer.__name__
        transfer(f"{tmp_path}/d/f", f"{tmp_path}/{name}")
        # busybox's touch knows no -1, and its tar writes no time before 1970.
        stamped = 0 if busybox and when == -1 and name == "upload" else when
        assert (tmp_path / name).stat().st_mtime == stamped
        transfer(f"{tmp_path}/d", f"{tmp_path}/{name} tree")
        tree = tmp_path / f"{name} tree"
        packed = 0 if busybox and name == "download" else when
        assert [(tree / each).lstat().st_mtime for each in ("f", "e")] == [packed, packed]
        assert tree.stat().st_mtime == (packed if name == "download" else stamped)


def test_progress_names_what_goes(files: Files, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(5):
        (source / f"{number}").write_bytes(b"x" * 800_000)
    for transfer in (files.upload, files.download):
        told: list[TransferProgress] = []
        transfer(str(source), str(tmp_path / transfer.__name__), progress=told.append)
        sizes = [each.bytes for each in told]
        assert sizes == sorted(sizes)
        assert sizes[-1] == 4_000_000
        assert len(told) > 2
        assert {each.path for each in told} <= {"0", "1", "2", "3", "4"}
        assert told[0].total is None


def test_where_kinds_differ_it_is_an_error(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("file")
    (tmp_path / "d" / "x").mkdir(parents=True)
    (tmp_path / "d" / "x" / "f").write_text("new")
    (tmp_path / "to" / "x").mkdir(parents=True)
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "x").write_text("flat")
    with pytest.raises(IsDirectory):
        files.upload(tmp_path / "file", f"{tmp_path}/to")
    with pytest.raises(IsADirectoryError):
        files.download(f"{tmp_path}/file", tmp_path / "to")
    with pytest.raises(NotDirectory):
        files.upload(tmp_path / "d", f"{tmp_path}/file")
    with pytest.raises(NotDirectory):
        files.upload(tmp_path / "d", f"{tmp_path}/file/below")
    with pytest.raises(NotDirectory):
        files.upload(tmp_path / "d", f"{tmp_path}/flat")
    with pytest.raises(IsDirectory):
        files.upload(tmp_path / "flat", f"{tmp_path}/to")
    (tmp_path / "to" / "x").rmdir()
    (tmp_path / "to" / "x").symlink_to(tmp_path / "d" / "x")
    with pytest.raises(NotDirectory):
        files.upload(tmp_path / "d", f"{tmp_path}/to")
    assert (tmp_path / "flat" / "x").read_text() == "flat"
    with pytest.raises(FileNotFoundError, match="missing"):
        files.upload(tmp_path / "missing", "/x")
    with pytest.raises(FileNotFoundError):
        files.download(f"{tmp_path}/missing", tmp_path / "x")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(InvalidRequest, match="neither"):
        files.upload(tmp_path / "fifo", "/x")
    with pytest.raises(FileError, match="not possible"):
        files.download(f"{tmp_path}/fifo", tmp_path / "x")
    for target in ("fifo", "link"):
        if target == "link":
            (tmp_path / "link").symlink_to("fifo")
        with pytest.raises(NotAtomic):
            files.upload(tmp_path / "file", f"{tmp_path}/{target}")
        with pytest.raises(NotAtomic, match=target):
            files.download(f"{tmp_path}/file", tmp_path / target)
        assert (tmp_path / "fifo").is_fifo()
    for bad in ("", "a\0b", "\ud800", b"bytes", 5, None):
        with pytest.raises(InvalidRequest):
            files.upload(bad, "/x")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest):
            files.download(f"{tmp_path}/file", bad)  # type: ignore[arg-type]
    assert not (tmp_path / "x").exists()


def test_a_symlink_to_a_directory_is_followed_at_the_top_only(files: Files, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "f").write_text("f")
    (tmp_path / "real").mkdir()
    for name, target in (("from", "source"), ("to", "real")):
        (tmp_path / name).symlink_to(target)
    files.upload(tmp_path / "from", f"{tmp_path}/to/")
    assert (tmp_path / "real" / "f").read_text() == "f"
    files.download(f"{tmp_path}/from/", tmp_path / "to")
    assert (tmp_path / "to").is_symlink()


def test_a_mount_within_the_target_is_not_copied_into(
    box: ShellBox, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sandboxkit import transfer, treeprograms

    mounted = tmp_path / "to" / "a b\n\\é"
    mounted.mkdir(parents=True)
    quoted = "".join(f"\\{ord(c):03o}" if c in " \n\\" else c for c in str(mounted))
    (tmp_path / "mounts").write_text(f"1 1 0:1 / / rw - x\n2 1 0:2 / {quoted} rw - x\n3 1 0:1 / /x rw - x\n")
    monkeypatch.setattr(
        transfer, "UNPACK", treeprograms.UNPACK.replace("/proc/self/mountinfo", str(tmp_path / "mounts"))
    )
    (tmp_path / "d" / mounted.name).mkdir(parents=True)
    (tmp_path / "d" / mounted.name / "f").write_text("f")
    with pytest.raises(FileError, match="atomically") as caught:
        files.upload(tmp_path / "d", f"{tmp_path}/to")
    assert caught.value.code == "not_atomic"
    (tmp_path / "mounts").write_text("1 1 0:1 / / rw - x\n")
    files.upload(tmp_path / "d", f"{tmp_path}/to")
    assert (mounted / "f").read_text() == "f"


def test_what_changes_while_it_is_read_is_told(files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandboxkit import transfer, treeprograms

    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("f")
    said = 'tar -cf - .;echo "tar: ./f: file changed as we read it" >&2;exit 1'
    monkeypatch.setattr(transfer, "PACK", treeprograms.PACK.replace("exec tar -cf - .", said))
    assert files.download(f"{tmp_path}/d", tmp_path / "x").changed == ("f",)
    worse = said.replace("exit 1", "echo 'tar: f: bad' >&2;exit 1")
    monkeypatch.setattr(transfer, "PACK", treeprograms.PACK.replace("exec tar -cf - .", worse))
    with pytest.raises(FileError, match="tar: f: bad"):
        files.download(f"{tmp_path}/d", tmp_path / "y")
    assert not (tmp_path / "y").exists()


@pytest.mark.parametrize("answer", ["", "x", "f", "f 1\\n", "f644 0 x\\n", "f999 0 0\\n", "f%0300d\\n", "dnothing"])
def test_an_answer_that_makes_no_sense_is_an_error(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    from sandboxkit import transfer

    monkeypatch.setattr(transfer, "PACK", f"printf '{answer}' 0")
    with pytest.raises(BadArchive):
        files.download("/x", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_image_without_tar_says_so(
    files: Files, box: ShellBox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if "busybox" in box.program[0]:
        pytest.skip("its shell has a tar of its own")
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("dd", "mkdir", "stat", "rm", "setsid"):
        found = shutil.which(name)
        assert found is not None
        (tools / name).symlink_to(found)
    monkeypatch.setattr(box, "path", str(tools))
    (tmp_path / "d").mkdir()
    with pytest.raises(FileError, match="has no tar"):
        files.upload(tmp_path / "d", f"{tmp_path}/x")
    with pytest.raises(FileError, match="has no tar"):
        files.download(f"{tmp_path}/d", tmp_path / "x")


class Vanished(BaseException):
    """Stands for Ctrl-C: no ``except Exception`` may swallow it."""


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize("turn", [0, 1, 2, 3, 5, 8])
@pytest.mark.parametrize("doing", ["upload", "download"])
def test_a_transfer_that_is_given_up_changes_nothing(
    box: ShellBox, files: Files, tmp_path: Path, doing: str, turn: int, new: bool
) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "d").mkdir(parents=True)
    for number in range(4):
        (source / "d" / str(number)).write_bytes(os.urandom(1_000_000))
    (source / "d").chmod(0o500)
    if not new:
        target.mkdir()
        (target / "old").write_text("old")
    first = len(box.channels)

    def disturb(channel: Disturbed, outgoing: bytes | memoryview) -> bytes | memoryview:
        if channel is box.channels[first] and channel.turns > turn and not channel.killed:
            raise Vanished
        return outgoing

    box.disturb = disturb
    with pytest.raises(Vanished):
        (files.upload if doing == "upload" else files.download)(str(source), str(target))
    box.disturb = undisturbed
    for process in box.processes:
        process.wait(timeout=10)
    assert not (target / "d").exists()
    assert target.exists() == (not new)
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 1.0])
def test_a_client_that_vanishes_uploads_nothing(box: ShellBox, files: Files, tmp_path: Path, part: float) -> None:
    from sandboxkit.localsource import open_source
    from sandboxkit.programs import start_program
    from sandboxkit.treeprograms import COMPLETE, CONTENT, UNPACK

    (tmp_path / "d").mkdir()
    for number in range(40):
        (tmp_path / "d" / str(number)).write_bytes(b"x" * 512)
    source = open_source(str(tmp_path / "d"), prefix=CONTENT, last=COMPLETE)
    data = source.read(1 << 20)
    source.close()
    # Cut between two entries, where tar notices nothing; all but the last entry at most, which says that it is whole.
    cut = min(int(len(data) * part) // 1024 * 1024, 40 * 1024)
    args = (str(tmp_path / "x").encode(), b".sandboxkit-t", b"755", b"0")

    async def send() -> None:
        program = await start_program(box, "host", "upload", UNPACK, args, stdin="stream")
        await program.send(data[:cut])
        if part == 1.0:
            await program.channel.close_stdin()
            await program.finish()
            assert program.exit_code == 98
        await program.channel.close()

    run(send())
    for process in box.processes:
        process.wait(timeout=10)
    assert not (tmp_path / "x").exists()
    assert leftovers(tmp_path) == []


def test_an_error_of_the_listener_gives_the_transfer_up(files: Files, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"x" * 3_000_000)

    def refuse(progress: TransferProgress) -> None:
        raise ZeroDivisionError

    for place in ("d", "d/f"):
        with pytest.raises(ZeroDivisionError):
            files.upload(tmp_path / place, f"{tmp_path}/x", progress=refuse)
        with pytest.raises(ZeroDivisionError):
            files.download(f"{tmp_path}/{place}", tmp_path / "x", progress=refuse)
        assert not (tmp_path / "x").exists()


def test_a_file_that_becomes_shorter_is_an_error(files: Files, box: ShellBox, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "f"
    path.write_bytes(b"x" * 5_000_000)

    def shorten(progress: TransferProgress) -> None:
        os.truncate(path, 10)

    with pytest.raises(OSError, match="shorter") as caught:
        files.upload(tmp_path / "d", f"{tmp_path}/x", progress=shorten)
    assert caught.value.filename == str(path)
    assert not (tmp_path / "x").exists()


def test_what_tells_no_true_size_arrives_all_the_same(files: Files, tmp_path: Path) -> None:
    none, page = Path("/proc/version"), Path("/sys/devices/system/cpu/online")
    assert (none.stat().st_size, page.stat().st_size > len(page.read_bytes())) == (0, True)
    for source in (none, page):
        told: list[TransferProgress] = []
        result = files.upload(source, f"{tmp_path}/x", progress=told.append)
        assert (tmp_path / "x").read_bytes() == source.read_bytes() != b""
        assert (result.files, result.bytes) == (1, len(source.read_bytes()))
        assert (told[-1].bytes, told[-1].total) == (result.bytes, result.bytes)
    for directory, name in (
        (Path("/proc/sys/kernel/random"), "boot_id"),
        (Path("/sys/devices/system/cpu/cpu0/topology"), "core_id"),
    ):
        result = files.upload(directory, f"{tmp_path}/{name}")
        assert (tmp_path / name / name).read_bytes() == (directory / name).read_bytes() != b""
        assert result.bytes == sum(path.stat().st_size for path in (tmp_path / name).rglob("*") if path.is_file())


def test_a_file_that_tells_no_size_is_read_to_its_end(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As large ones of /proc do, such as kallsyms, which not every machine shows.
    (tmp_path / "d").mkdir()
    data = os.urandom(3_000_001)
    (tmp_path / "d" / "f").write_bytes(data)
    real = os.fstat

    def sizeless(fd: int) -> os.stat_result:
        found = real(fd)
        return os.stat_result((*found[:6], 0, *found[7:10]), {"st_mtime_ns": found.st_mtime_ns})

    monkeypatch.setattr("os.fstat", sizeless)
    told: list[TransferProgress] = []
    result = files.upload(tmp_path / "d" / "f", f"{tmp_path}/x", progress=told.append)
    assert (tmp_path / "x").read_bytes() == data
    assert (result.bytes, told[-1].bytes, {each.total for each in told}) == (len(data), len(data), {None})
    # An archive names a size first.
    with pytest.raises(InvalidRequest, match=r"d/f.*by itself"):
        files.upload(tmp_path / "d", f"{tmp_path}/y")
    assert not (tmp_path / "y").exists()
    (tmp_path / "d" / "f").write_bytes(data[:1_000_000])
    files.upload(tmp_path / "d", f"{tmp_path}/y")
    assert (tmp_path / "y" / "f").read_bytes() == data[:1_000_000]


def test_a_file_that_cannot_be_read_is_named(files: Files, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output error") as caught:
        files.upload("/proc/self/mem", f"{tmp_path}/x")
    assert caught.value.filename == "/proc/self/mem"
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize("shell", SHELLS)
def test_a_user_without_rights_is_told_so(
    shell: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for parent in [tmp_path, *tmp_path.parents][:3]:
        parent.chmod(0o755)
    box = make_box(shell, tmp_path_factory, user=65534)
    source = tree(tmp_path / "source")
    source.chmod(0o755)
    mine = tmp_path / "mine"
    mine.mkdir()
    os.chown(mine, 65534, 65534)
    box.face.upload(source, f"{mine}/x")
    assert look(mine / "x").keys() == look(source).keys()
    assert {path.lstat().st_uid for path in mine.rglob("*")} == {65534}
    with pytest.raises(FilePermission):
        box.face.upload(source, f"{tmp_path}/x")
    with pytest.raises(FilePermission):
        box.face.upload(source, str(source))
    with pytest.raises(FilePermission) as caught:
        box.face.download(f"{source}/", tmp_path / "back")  # a file of it may not be read
    assert caught.value.path in (f"{source}/secret", f"{source}/zhard")
    assert repr(caught.value.path) in str(caught.value)
    assert not (tmp_path / "back").exists()
    assert leftovers(tmp_path) == []
    run(box.close())
