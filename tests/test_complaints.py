"""What tar says: names of sockets and of files that changed, whatever the quoting and the pieces."""

from __future__ import annotations

import pytest

from sandboxkit.complaints import MAX_LINE, MAX_NAMES, Complaints


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_sockets_and_changes_are_told_apart(step: int) -> None:
    text = (
        b"tar: ./a/so cket: socket ignored\n"
        b"tar: ./a\\nb\\\\c\\303\\244: socket ignored\n"
        b"tar: ./log: file changed as we read it\n"
        b"tar: .: file changed as we read it\n"
        b"tar: ./gone: File removed before we read it\n"
        b"tar: Exiting with failure status due to previous errors\n"
    )
    found = Complaints()
    for at in range(0, len(text), step):
        found.feed(text[at : at + step])
    assert found.sockets == ["a/so cket", "a\nb\\cä"]
    assert found.changed == ["log", ".", "gone"]
    assert not found.others


@pytest.mark.parametrize(
    ("line", "name"),
    [
        (b"tar: ./x: Cannot open: Permission denied\n", "x"),
        (b"tar: .: Cannot open: Permission denied\n", "."),
        (b"tar: ./a: b/n\\nl\\303\\244: Cannot stat: Permission denied\n", "a: b/n\nlä"),
        (b"tar: ./x: Read error at byte 0, while reading 512 bytes: Input/output error\n", "x"),
        (b"tar: can't open './a b': Permission denied\n", "a b"),
        (b"tar: can't open './a\\nb': Permission denied\n", "a\\nb"),
        (b"tar: ./d: Permission denied\n", "d"),
        (b"tar: ./f: file changed as we read it\ntar: ./x: Cannot open: Permission denied\ntar: ./y: Bad\n", "x"),
        (b"tar: ./\n" + b"tar: can't open './a\nb': Permission denied\n", ""),
        (b"tar: write error: Broken pipe\n", ""),
        (b"sh: tar: not found\n", ""),
    ],
)
def test_what_could_not_be_read_is_named(line: bytes, name: str) -> None:
    found = Complaints()
    found.feed(line)
    assert found.others
    assert (found.unread[0] if found.unread else "") == name


@pytest.mark.parametrize(
    "line",
    [
        b"tar: ./x: Cannot open: Permission denied\n",
        b"tar: ./x: File shrank by 3 bytes; padding with zeros\n",
        b"sh: tar: not found\n",
        b"x" * (MAX_LINE + 1),
        b"tar: ./a: socket ignored\n" * (MAX_NAMES + 1),
    ],
)
def test_anything_else_is_noticed(line: bytes) -> None:
    found = Complaints()
    found.feed(line)
    assert found.others
    assert len(found.sockets) <= MAX_NAMES
