"""The file operations on dash, bash and busybox's ash with busybox's tools: what they refuse, and how they say so."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandboxkit.driver import run
from sandboxkit.errors import (
    FileError,
    FileMissing,
    FilePermission,
    InvalidRequest,
    IsDirectory,
    NotAtomic,
    NotDirectory,
    SandboxNotFound,
)
from sandboxkit.files import AsyncFiles
from sandboxkit.shellfiles import ShellFiles
from sandboxkit.sync import Files
from tests.support.shellbox import SHELLS, ShellBox, entries, leftovers, make_box


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


def refusals(files: Files) -> dict[str, tuple[type[FileError], Callable[[], object]]]:
    return {
        "read missing": (FileMissing, lambda: files.read("nope")),
        "read directory": (IsDirectory, lambda: files.read("d")),
        "read below a file": (NotDirectory, lambda: files.read("f/x")),
        "stat missing": (FileMissing, lambda: files.stat("nope")),
        "stat dangling": (FileMissing, lambda: files.stat("dangling")),
        "list missing": (FileMissing, lambda: files.list("nope")),
        "list file": (NotDirectory, lambda: files.list("f")),
        "write directory": (IsDirectory, lambda: files.write("d", b"")),
        "write symlink to directory": (IsDirectory, lambda: files.write("dl", b"")),
        "write with a slash": (IsDirectory, lambda: files.write("new/", b"")),
        "write below a file": (NotDirectory, lambda: files.write("f/x/y", b"")),
        "append directory": (IsDirectory, lambda: files.append("d", b"")),
        "append below a file": (NotDirectory, lambda: files.append("f/x", b"")),
        "open_read missing": (FileMissing, lambda: files.open_read("nope").__enter__()),
        "open_write directory": (IsDirectory, lambda: files.open_write("d").__enter__()),
    }


@pytest.mark.parametrize("case", refusals(None))  # type: ignore[arg-type]
def test_what_is_wrong_has_a_type_an_errno_and_a_path(files: Files, case: str) -> None:
    Path("d").mkdir()
    Path("f").touch()
    Path("dl").symlink_to("d")
    Path("dangling").symlink_to("nowhere")
    kind, operation = refusals(files)[case]
    with pytest.raises(kind) as caught:
        operation()
    assert caught.value.errno == kind.default_errno
    assert caught.value.path
    assert repr(caught.value.path) in str(caught.value)
    assert entries() == ["d", "dangling", "dl", "f"]


def test_numbers_and_modes_are_checked_before_anything_is_sent(files: Files, box: ShellBox) -> None:
    before = len(box.channels)
    for operation in (
        lambda: files.read("f", offset=-1),
        lambda: files.read("f", length=-1),
        lambda: files.read("f", limit=True),
        lambda: files.read("f", offset=10**5000),
        lambda: files.read("f", offset=2**63),
        lambda: files.read("f", length=2**63),
        lambda: files.read("f", limit=2**63),
        lambda: files.open_read("f", offset=2**63),
        lambda: files.open_read("f", length=2**63),
        lambda: files.write("f", "\ud800"),
        lambda: files.append("f", "\ud800"),
        lambda: files.write("f", 5),  # type: ignore[arg-type]
        lambda: files.write("f", b"", mode=0o10000),
        lambda: files.mkdir("f", mode="755"),  # type: ignore[arg-type]
        lambda: files.read("a\0b"),
    ):
        with pytest.raises(InvalidRequest):
            operation()
    assert len(box.channels) == before


def test_a_streams_sizes_and_data_are_checked(files: Files) -> None:
    Path("f").write_bytes(b"four")
    with files.open_read("f") as reader:
        for size in ("x", 1.5, None, True):
            with pytest.raises(InvalidRequest, match="size"):
                reader.read(size)  # type: ignore[arg-type]
        assert reader.read(2**70) == b"four"
    with files.open_write("g") as writer:
        for data in ("\ud800", 5, None):
            with pytest.raises(InvalidRequest):
                writer.write(data)  # type: ignore[arg-type]
        writer.write("\udcff")
    assert Path("g").read_bytes() == b"\xff"


def test_an_unknown_sandbox_is_no_file_error(box: ShellBox) -> None:
    with pytest.raises(SandboxNotFound):
        run(AsyncFiles(ShellFiles(box, "other"), box, "other").read("f"))


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_what_the_user_may_not_do_is_a_permission_error(
    box: ShellBox, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> None:
    place = Path("/tmp") / f"sandboxkit-{os.getpid()}-{request.node.name[-5:-1]}"
    (place / "closed").mkdir(parents=True)
    (place / "mine").mkdir()
    os.chown(place / "mine", 65534, 65534)
    (place / "closed/f").write_bytes(b"old")
    (place / "closed/open").write_bytes(b"old")
    (place / "closed/open").chmod(0o666)
    (place / "closed/f").chmod(0o600)
    (place / "closed/dark").mkdir(mode=0o700)
    other = make_box(request.node.callspec.params["box"], tmp_path_factory, user=65534)
    files = other.face
    at = str(place / "closed")
    try:
        for operation in (
            lambda: files.read(f"{at}/f"),
            lambda: files.write(f"{at}/f", b""),
            lambda: files.write(f"{at}/new", b""),
            lambda: files.write(f"{at}/d/new", b""),
            lambda: files.append(f"{at}/f", b""),
            lambda: files.remove(f"{at}/f"),
            lambda: files.mkdir(f"{at}/d"),
            lambda: files.list(f"{at}/dark"),
            lambda: files.stat(f"{at}/dark/x"),
            lambda: files.move(f"{at}/f", str(place / "mine/f")),
            lambda: files.copy(f"{at}/f", str(place / "mine/f")),
            lambda: files.copy(f"{at}/open", f"{at}/new"),
        ):
            with pytest.raises(FilePermission) as caught:
                operation()
            assert caught.value.errno in (errno.EACCES, errno.EPERM)
        with pytest.raises(NotAtomic):
            files.write(f"{at}/open", b"new")
        assert (place / "closed/open").read_bytes() == b"old"
        files.write(f"{at}/open", b"new", atomic=False)
        assert (place / "closed/open").read_bytes() == b"new"
        files.copy(f"{at}/open", str(place / "mine/f"))
        assert files.glob(f"{at}/dark/*") == []
        assert leftovers(place) == []
    finally:
        run(other.close())
        box.face.remove(str(place), recursive=True)
