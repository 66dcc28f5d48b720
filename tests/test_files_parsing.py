"""What the file programs print and complain of, and how patterns match: pure functions."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.errors import (
    FileError,
    FileExists,
    FileMissing,
    FilePermission,
    IsDirectory,
    NoSpaceLeft,
    NotAtomic,
    NotDirectory,
)
from sandboxkit.fileerrors import SOURCE, TOLD, Complaint, file_error, understand
from sandboxkit.filelisting import parse_list, parse_stat
from sandboxkit.globbing import Pattern

names = st.binary(min_size=1, max_size=20).filter(lambda b: b"\0" not in b and b"/" not in b)
sly = st.sampled_from([b"\n81a4 1 2 0 0 .", b"81a4 1 2 0 0 .", b"\n", b" ", b"a\n81a4 1 2 0 0 .\n81a4 1 2 0 0 ."])


def listing(entries: dict[bytes, bytes | None]) -> bytes:
    """Print what LIST would, in one lot: names with their targets."""
    lines = b"".join(b"%s 5 -7 1 2 ./%b\n" % (b"a1ff" if to else b"81a4", name) for name, to in entries.items())
    links = {name: to for name, to in entries.items() if to}
    ends = [b"./%b\0" % name for name in links] + [b"\0"] + [b"%b\0" % to for to in links.values()]
    return lines + b"\0" + b"".join(ends)


@given(st.dictionaries(names | sly, st.none() | names, max_size=6))
def test_a_listing_is_taken_apart_whatever_the_names_hold(entries: dict[bytes, bytes | None]) -> None:
    infos = parse_list(b".", listing(entries) if entries else b"")
    assert [(n, t) for n, t in sorted(entries.items())] == [
        (i.path.encode("utf-8", "surrogateescape"), i.target and i.target.encode("utf-8", "surrogateescape"))
        for i in infos
    ]
    assert all((i.size, i.mtime, i.uid, i.gid) == (5, -7.0, 1, 2) for i in infos)


def test_lots_of_a_listing_are_joined_and_sorted() -> None:
    infos = parse_list(b"d/", listing({b"z": b"t", b"y": None}) + listing({b".a": b"u"}))
    assert [i.path for i in infos] == ["d/.a", "d/y", "d/z"]
    assert [i.target for i in infos] == ["u", None, "t"]


@pytest.mark.parametrize("cut", range(1, len(listing({b"a": b"t", b"b": None}))))
def test_a_listing_that_was_cut_is_never_taken_for_whole(cut: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - its caller makes the error
        parse_list(b".", listing({b"a": b"t", b"b": None})[:cut])


def test_a_description_has_kind_and_permission_bits_apart() -> None:
    info = parse_stat(b"d", b"43ff 4096 1700000000 5 6\n")
    assert (
        info.type,
        info.mode,
        info.size,
        info.mtime,
        info.uid,
        info.gid,
        info.target,
    ) == ("directory", 0o1777, 4096, 1700000000.0, 5, 6, None)
    assert parse_stat(b"l", b"a1ff 3 0 0 0\na\n\n").target == "a\n\n"


@pytest.mark.parametrize(
    ("words", "kind", "number"),
    [
        (b"cat: x: No such file or directory\n", FileMissing, errno.ENOENT),
        (b"cat: can't open 'x': No such file or directory\n", FileMissing, errno.ENOENT),
        (b"dd: failed to open './x': Permission denied\n", FilePermission, errno.EACCES),
        (b"mkdir: can't create directory './x': Read-only file system\n", FilePermission, errno.EROFS),
        (
            b"dd: error writing 'standard output': No space left on device\n1+0 records in\n",
            NoSpaceLeft,
            errno.ENOSPC,
        ),
        (b"dd: error writing: Disk quota exceeded\n", NoSpaceLeft, errno.EDQUOT),
        (b"mkdir: can't create directory 'x': Not a directory\n", NotDirectory, errno.ENOTDIR),
        (b"rm: 'x' is a directory\n", IsDirectory, errno.EISDIR),
        (b"mkdir: cannot create directory 'x': File exists\n", FileExists, errno.EEXIST),
        (b"mv: can't rename 'x': Filename too long\n", FileError, errno.ENAMETOOLONG),
        (b"something else entirely\n", FileError, errno.EIO),
        (b"", FileError, errno.EIO),
        # A name may say anything; only what ends a line counts.
        (b"rm: can't remove 'No such file or directory': Permission denied\n", FilePermission, errno.EACCES),
        (b"rm: can't remove 'x\nFile exists\ny': Permission denied\n", FilePermission, errno.EACCES),
    ],
)
def test_a_tools_last_words_become_a_typed_error(words: bytes, kind: type[FileError], number: int) -> None:
    error = file_error("write", understand(1, words), "x")
    assert (kind, number, "x") == (type(error), error.errno, error.path)


def test_what_a_program_knows_itself_is_believed_only_with_its_exit_code() -> None:
    assert Complaint(errno.EINVAL, about_source=True, told="EINVAL") == understand(
        TOLD, b"x\nsandboxkit:EINVAL:source\n"
    )
    assert understand(1, b"sandboxkit:EISDIR\n").number == 0
    assert understand(SOURCE, b"stat: x: Permission denied\n").about_source
    assert isinstance(file_error("write", understand(TOLD, b"sandboxkit:NOTATOMIC\n"), "x"), NotAtomic)


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        (b"*", [b"a", b".a", b"\xff", b"a\nb"], [b""]),
        (b"d/**/*", [b"d/a"], [b"d/"]),
        (b"*.py", [b"a.py", b".py"], [b"a.pyc", b"A.PY"]),
        (b"?", [b"a", "é".encode(), b"\xff"], [b"ab"]),
        (b"[!a-c]x", [b"dx"], [b"ax", b"x"]),
        (b"[*]", [b"*"], [b"a"]),
        (b"[", [b"["], [b"a"]),
        (b"[]]", [b"]"], [b"a"]),
        (b"[!]]", [b"a"], [b"]"]),
        (b"[z-a]", [], [b"b", b"-"]),
        (b"a[/]b", [], [b"a/b"]),
        (b"[^a]", [b"^", b"a"], [b"b"]),
        (b"a.*+(b)|$", [b"a.x+(b)|$"], [b"axx+(b)|$"]),
        (b"a/*/c", [b"a/b/c"], [b"a/c", b"a/b/b/c"]),
        (b"a/**/c", [b"a/c", b"a/b/c", b"a/b/b/c"], [b"a/b", b"b/c"]),
        (b"**", [b"a", b"a/b"], []),
        (b"a/**", [b"a/b", b"a/b/c"], [b"a"]),
        (b"**/x*/**/y", [b"x/y", b"a/x1/b/c/y"], [b"y", b"a/y"]),
        (b"/e/*", [b"/e/a"], []),
        (b"./*", [b"./a"], []),
        (b"*/", [b"a/."], []),
    ],
)
def test_a_pattern_matches_as_documented(pattern: bytes, matching: list[bytes], others: list[bytes]) -> None:
    found = Pattern.parse(pattern).select([*others, *matching, *matching])
    assert sorted(path.removesuffix(b"/.") for path in matching) == found


def test_a_walk_names_what_is_literal_and_hides_what_is_not() -> None:
    assert Pattern.parse(b"/a//[b]/**/**/x y/").walk() == [*(b"1", b"/", b"=a", b"*", b"**", b"=x y")]
    assert Pattern.parse(b"a/*/").walk() == [b"", b"", b"=a", b"*", b"=."]
