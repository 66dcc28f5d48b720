"""Tar archives: what is written is what Python's tarfile reads, and the other way; whatever comes, in pieces."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.archive import BLOCK, MAX_EXTENSION, RECORD, ArchiveReader, Entry, end, header, padding

NAMES = [
    "a",
    "d/" + "n" * 97,
    "d/" + "n" * 98,
    "d/" + "n" * 99,
    "x" * 255 + "/" + "y" * 255,
    "new\nline",
    "-r",
    "\udcff",
]


def _read(data: bytes, *, step: int | None = None) -> list[tuple[Entry, bytes]]:
    """Feed an archive, whole or in steps; give each entry with its contents."""
    reader = ArchiveReader()
    found: list[tuple[Entry, bytes]] = []
    for at in range(0, len(data), step or len(data) or 1):
        for each in reader.feed(data[at : at + (step or len(data))]):
            if isinstance(each, Entry):
                found.append((each, b""))
            else:
                found[-1] = found[-1][0], found[-1][1] + bytes(each)
    assert reader.ended
    return found


def _write(entries: list[tuple[Entry, bytes]]) -> bytes:
    data = b"".join(header(entry) + contents + padding(len(contents)) for entry, contents in entries)
    return data + end(len(data))


def _entries() -> list[tuple[Entry, bytes]]:
    named = [name.encode("utf-8", "surrogateescape") for name in NAMES]
    files = [
        (Entry(name=name, kind="file", size=len(name) * 7, mode=0o640, mtime=12345), b"7" * len(name) * 7)
        for name in named
    ]
    links = [(Entry(name=b"l" + name, kind="symlink", target=name * 2, mode=0o777, mtime=5), b"") for name in named]
    directories = [(Entry(name=name + b"/", kind="directory", mode=0o711, mtime=7), b"") for name in named]
    return [*files, *links, *directories]


def test_tarfile_reads_what_is_written() -> None:
    written = _write(_entries())
    assert len(written) % RECORD == 0
    with tarfile.open(fileobj=io.BytesIO(written), encoding="utf-8", errors="surrogateescape") as archive:
        members = archive.getmembers()
        assert len(members) == len(_entries())
        for member, (entry, contents) in zip(members, _entries(), strict=True):
            assert member.name.encode("utf-8", "surrogateescape") == entry.name.rstrip(b"/")
            assert (member.mode, member.mtime, member.size) == (entry.mode, entry.mtime, len(contents))
            assert member.linkname.encode("utf-8", "surrogateescape") == entry.target
            if entry.kind == "file":
                file = archive.extractfile(member)
                assert file is not None
                assert file.read() == contents


@pytest.mark.parametrize("when", [-1, -315_619_200, -(1 << 40)])
def test_a_time_before_1970_is_written_and_read(when: int) -> None:
    data = header(Entry(name=b"old", kind="file", mtime=when)) + end(BLOCK)
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        assert found.getmember("old").mtime == when
    (entry,) = ArchiveReader().feed(data)
    assert isinstance(entry, Entry)
    assert entry.mtime == when


def test_a_size_beyond_octal_is_written_and_read() -> None:
    entry = Entry(name=b"large", kind="file", size=1 << 40)
    assert tarfile.TarInfo.frombuf(header(entry), "utf-8", "strict").size == 1 << 40
    assert ArchiveReader().feed(header(entry)) == [entry]


@pytest.mark.parametrize("step", [None, 1, 3, 511, 512, 513, 10240])
@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, "own"])
def test_what_tarfile_writes_is_read(kind: int | str, step: int | None) -> None:
    entries = _entries()
    if isinstance(kind, str):
        written = _write(entries)
    else:
        buffer = io.BytesIO()
        with tarfile.open(
            fileobj=buffer, mode="w", format=kind, encoding="utf-8", errors="surrogateescape"
        ) as archive:
            for entry, contents in entries:
                info = tarfile.TarInfo(entry.name.decode("utf-8", "surrogateescape"))
                info.type = {"file": b"0", "symlink": b"2", "directory": b"5"}[entry.kind]
                info.mode, info.mtime, info.size = entry.mode, entry.mtime, len(contents)
                info.linkname = entry.target.decode("utf-8", "surrogateescape")
                archive.addfile(info, io.BytesIO(contents))
        written = buffer.getvalue()
    found = [
        (e.name.rstrip(b"/"), e.kind, e.size, e.mode, e.mtime, e.target, c) for e, c in _read(written, step=step)
    ]
    wanted = [(e.name.rstrip(b"/"), e.kind, e.size, e.mode, e.mtime, e.target, c) for e, c in entries]
    assert found == wanted


def test_devices_fifos_and_hard_links_are_told_apart() -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for number, kind in enumerate(b"1346"):
            info = tarfile.TarInfo(f"entry{number}")
            info.type, info.linkname = bytes([kind]), "there"
            archive.addfile(info)
    assert [entry.kind for entry, _ in _read(buffer.getvalue())] == ["hardlink", "special", "special", "special"]


def _announce(kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_a_long_name_has_a_limit(kind: bytes) -> None:
    assert ArchiveReader().feed(_announce(kind, MAX_EXTENSION)) == []
    with pytest.raises(ValueError, match="of 65537 bytes"):
        ArchiveReader().feed(_announce(kind, MAX_EXTENSION + 1))


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (_announce(b"S", 0), "unknown kind"),
        (b"x" * BLOCK, "no number"),
        (_announce(b"0", 0)[:-1] + b"x", "checksum"),
        (bytes(BLOCK) + _announce(b"0", 0), "goes on"),
        (_announce(b"x", 3) + b"9 a" + bytes(509), "pax"),
        (_announce(b"x", 6) + b"6 a=b;" + bytes(506), "pax"),
        (_announce(b"x", 11) + b"11 size=-1\n" + bytes(501) + _announce(b"0", 0), "size of -1"),
        (_announce(b"x", 12) + b"12 mtime=no\n" + bytes(500) + _announce(b"0", 0), "number is none"),
        (_announce(b"x", 13) + b"13 mtime=inf\n" + bytes(499) + _announce(b"0", 0), "number is none"),
        (_announce(b"x", 22) + b"22 GNU.sparse.major=1\n" + bytes(490), "sparse"),
    ],
)
def test_what_is_no_archive_is_an_error(bad: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        ArchiveReader().feed(bad)


@given(st.lists(st.binary(max_size=700), max_size=6))
def test_nothing_but_a_value_error_comes_of_garbage(pieces: list[bytes]) -> None:
    reader = ArchiveReader()
    try:
        for piece in pieces:
            reader.feed(piece)
            assert len(reader._held) <= BLOCK
    except ValueError:
        return


@given(st.data())
def test_a_damaged_archive_is_an_archive_or_a_value_error(data: st.DataObject) -> None:
    written = bytearray(_write(_entries()[:4]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(written) - 1))
        block = at - at % BLOCK
        written[at] = data.draw(st.integers(0, 255))
        if data.draw(st.booleans()):
            # With the right checksum it gets past the first look.
            written[block + 148 : block + 156] = b" " * 8
            written[block + 148 : block + 156] = b"%06o\0 " % sum(written[block : block + BLOCK])
    try:
        for each in ArchiveReader().feed(bytes(written)):
            if isinstance(each, Entry):
                assert each.size >= 0
    except ValueError:
        return
