"""What may be a path in a sandbox, and in which bytes it gets there."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.errors import InvalidRequest
from sandboxkit.paths import RemotePath, display, names_directory, remote_path, tool_argument, without_slashes


@pytest.mark.parametrize(
    ("given_path", "expected"),
    [
        ("a b", b"a b"),
        ("é", b"\xc3\xa9"),
        ("\udcff\n", b"\xff\n"),
        (b"\xff/x", b"\xff/x"),
        (PurePosixPath("/a//b/."), b"/a/b"),
        ("a//b/", b"a//b/"),
        ("C:\\x", b"C:\\x"),
    ],
)
def test_a_path_becomes_the_bytes_that_the_sandbox_sees(given_path: RemotePath, expected: bytes) -> None:
    assert expected == remote_path(given_path)


@pytest.mark.parametrize(
    "refused", ["", b"", "a\0b", b"\0", "\ud800", PureWindowsPath("C:/x"), 7, None, ["a"], "x" * 131_070]
)
def test_what_cannot_be_a_path_is_refused(refused: RemotePath) -> None:
    with pytest.raises(InvalidRequest):
        remote_path(refused)


@given(st.binary(min_size=1).filter(lambda b: b"\0" not in b))
def test_text_and_bytes_are_the_same_path(path: bytes) -> None:
    assert path == remote_path(display(path))


@given(st.binary(min_size=1).filter(lambda b: b"\0" not in b))
def test_a_tool_sees_a_path_with_a_directory_part_and_no_option(path: bytes) -> None:
    argument = tool_argument(path)
    assert argument.startswith((b"/", b"./", b"../"))
    assert argument in (path, b"./" + path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [(b"a/", True), (b"/", True), (b".", True), (b"a/..", True), (b"a", False), (b"a/.b", False), (b"...", False)],
)
def test_a_path_that_only_a_directory_can_have_is_known(path: bytes, expected: bool) -> None:
    assert expected is names_directory(path)


def test_slashes_at_the_end_are_dropped_but_the_roots() -> None:
    assert [without_slashes(p) for p in (b"a//", b"//", b"/a/b/")] == [b"a", b"/", b"/a/b"]
