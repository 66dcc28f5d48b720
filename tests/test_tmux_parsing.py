"""The pure parts of sessions: names, keys, and what the session programs print."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxkit.errors import InvalidRequest
from sandboxkit.keys import key_names, session_name
from sandboxkit.model import TmuxInfo, TmuxStatus
from sandboxkit.sessionlog import Answer, judge, parse_answer, parse_list
from sandboxkit.tmuxprograms import FIRST, OVERLAP

TOKEN = b"K" + b"0123456789abcdef" * 2
MARK = b"\x1bX" + TOKEN + b":%d;\x1b\\"
RUNNING, COMPLETED = TmuxStatus.RUNNING, TmuxStatus.COMPLETED


def answer(
    *pieces: tuple[int, bytes], alive: bool = True, exit_code: int | None = None, limit: int = 1 << 20
) -> Answer:
    return Answer(alive, exit_code, TOKEN, limit, pieces)


def printed(files: list[tuple[int, bytes]], offset: int, *, grown: bytes = b"") -> bytes:
    """Print a log as the program does, the newest file ``grown`` since it was measured."""
    total = files[-1][0] + len(files[-1][1]) if files else 0
    first = max(0, min(offset, total) - OVERLAP)
    names = " ".join(f"{FIRST + start} {len(data)}" for start, data in files)
    bodies = b"".join(data[max(0, first - start) :] for start, data in files)
    return b"1 - %b 1048576 %d\n%b\n%b" % (TOKEN, first, names.encode(), bodies + grown)


def test_a_running_session_has_what_it_wrote() -> None:
    found = judge(answer((0, b"some")), 1)
    assert (found.status, found.exit_code, found.output, found.offset) == (RUNNING, None, b"ome", 4)
    assert judge(answer(), 0).output == b""


def test_the_mark_ends_the_output_and_what_follows_is_no_output() -> None:
    found = judge(answer((0, b"all" + MARK % 7 + b"late")), 0)
    assert (found.status, found.exit_code, found.output, found.offset) == (COMPLETED, 7, b"all", 3)


def test_a_session_without_its_runner_has_no_invented_exit_code() -> None:
    found = judge(answer((0, b"all"), alive=False), 0)
    assert (found.status, found.exit_code, found.output) == (COMPLETED, None, b"all")
    assert judge(answer((0, b"all"), alive=False, exit_code=4), 0).exit_code == 4


def test_an_exit_code_without_the_mark_is_not_the_end() -> None:
    found = judge(answer((0, b"so far"), exit_code=3), 0)
    assert (found.status, found.exit_code) == (RUNNING, None)


@pytest.mark.parametrize("length", range(1, len(MARK % 7)))
def test_a_part_of_the_mark_is_held_back_until_it_is_whole(length: int) -> None:
    part = (MARK % 7)[:length]
    found = judge(answer((0, b"all" + part)), 0)
    assert (found.status, found.output, found.offset) == (RUNNING, b"all", 3)
    assert judge(answer((0, b"all" + part), alive=False), 0).output == b"all" + part


def test_what_the_log_lost_is_told() -> None:
    assert judge(answer((100, b"x" * 50)), 0).truncated
    assert not judge(answer((100, b"x" * 50)), 100).truncated
    found = judge(answer((0, b"x" * 50), limit=20), 0)
    assert (found.output, found.truncated) == (b"x" * 20, True)
    gap = answer((0, b"abc"), (10, b"def"))
    assert judge(gap, 0).truncated
    assert judge(gap, 11).output == b"ef"
    assert not judge(gap, 11).truncated


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 500), st.binary(max_size=20))
def test_an_answer_gives_the_log_from_any_offset(data: bytes, cut: int, offset: int, grown: bytes) -> None:
    cut = min(cut, len(data))
    files = [(0, data[:cut]), (cut, data[cut:])] if cut else [(0, data)]
    found = judge(parse_answer(printed(files, offset, grown=grown)), offset)
    whole = data + grown
    held = next((n for n in range(35, 0, -1) if whole.endswith(MARK[:n])), 0)
    whole = whole[: len(whole) - held]
    assert found.output == whole[offset:]
    assert found.offset == len(whole)
    assert not found.truncated


@pytest.mark.parametrize("text", [b"", b"1 -\n\n", b"1 - t x 0\n\n", b"1 - t 5 0\n5\n", b"nonsense"])
def test_an_unknown_answer_is_an_error(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_answer(text)


def test_a_list_is_read() -> None:
    assert parse_list(b"a tmux running -\nb plain completed 3\nc tmux completed -\n") == [
        TmuxInfo(name="a", status=RUNNING),
        TmuxInfo(name="b", status=COMPLETED, exit_code=3, terminal=False),
        TmuxInfo(name="c", status=COMPLETED),
    ]


def test_names_are_checked_or_made_up() -> None:
    assert session_name("a_B-9") == "a_B-9"
    assert session_name(None) != session_name(None)
    for name in ("", "a.b", "a:b", "-a", "a b", "a\n", "é", "a/b", ".", "x" * 65):
        with pytest.raises(InvalidRequest, match="letters, digits"):
            session_name(name)


def test_keys_are_checked() -> None:
    assert key_names("Enter") == (b"Enter",)
    assert key_names(["C-c", "M-S-Up", ";", "C-;", "F12"]) == (b"C-c", b"M-S-Up", b"\\;", b"C-\\;", b"F12")
    wrong: tuple[Any, ...] = ("", "ls", "enter x", "C-", "F13", "Enter\n", 5, None, [5])
    for keys in wrong:
        with pytest.raises(InvalidRequest, match="no key is called"):
            key_names(keys)
