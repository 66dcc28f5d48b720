"""Making sense of what the session programs print: pure, bytes in, values out."""

from __future__ import annotations

import attrs

from sandboxkit.model import TmuxInfo, TmuxPoll, TmuxStatus
from sandboxkit.tmuxprograms import FIRST


@attrs.frozen
class Answer:
    """What :data:`~sandboxkit.tmuxprograms.POLL` printed: ``pieces`` of the log, each with its offset, in order."""

    alive: bool
    exit_code: int | None
    token: bytes
    limit: int
    pieces: tuple[tuple[int, bytes], ...]


def parse_answer(printed: bytes) -> Answer:
    """Take an answer apart; ``ValueError`` for one in an unknown form."""
    head, names, data = printed.split(b"\n", 2)
    alive, code, token, limit, start = head.split(b" ")
    first = int(start)
    numbers = [int(word) for word in names.split()]
    files = [(name - FIRST, size) for name, size in zip(numbers[::2], numbers[1::2], strict=True)]
    pieces = []
    for number, (offset, size) in enumerate(files):
        skipped = max(0, first - offset)
        # What was added to the newest one since it was measured was printed too.
        length = len(data) if number == len(files) - 1 else max(0, size - skipped)
        pieces.append((offset + skipped, data[:length]))
        data = data[length:]
    return Answer(alive == b"1", None if code == b"-" else int(code), token, int(limit), tuple(pieces))


def judge(answer: Answer, offset: int) -> TmuxPoll:
    """Say how the session is, and give its output from ``offset`` on."""
    output, code, ended, end = _cut(answer)
    begin = max(end - len(output), min(offset, end), end - answer.limit)
    status = TmuxStatus.COMPLETED if ended or not answer.alive else TmuxStatus.RUNNING
    return TmuxPoll(
        status=status,
        exit_code=(answer.exit_code if code is None else code) if status is TmuxStatus.COMPLETED else None,
        output=output[len(output) - (end - begin) :],
        offset=end,
        truncated=begin > min(offset, end) or _gap(answer, offset),
    )


def _cut(answer: Answer) -> tuple[bytes, int | None, bool, int]:
    """Join the pieces up to the mark of the end: the command's bytes, exit code, whether it was there, the offset."""
    opening = b"\x1bX" + answer.token + b":"
    joined = b"".join(data for _, data in answer.pieces)
    end = answer.pieces[-1][0] + len(answer.pieces[-1][1]) if answer.pieces else 0
    at = joined.find(opening)
    closing = joined.find(b";\x1b\\", at + len(opening)) if at >= 0 else -1
    if closing >= 0:
        return joined[:at], int(joined[at + len(opening) : closing]), True, end - (len(joined) - at)
    if answer.alive:
        # A part of the mark may have come; it is given as output only if it turns out to be some.
        cut = at if at >= 0 else len(joined) - _overlap(joined, opening)
        return joined[:cut], None, False, end - (len(joined) - cut)
    return joined, None, False, end


def _overlap(data: bytes, opening: bytes) -> int:
    longest = min(len(data), len(opening) - 1)
    return next((n for n in range(longest, 0, -1) if data.endswith(opening[:n])), 0)


def _gap(answer: Answer, offset: int) -> bool:
    """Whether a full disk has cost some of what follows ``offset``."""
    ends = [(start + len(data), following) for (start, data), (following, _) in _pairs(answer)]
    return any(end < following and offset < following for end, following in ends)


def _pairs(answer: Answer) -> zip[tuple[tuple[int, bytes], tuple[int, bytes]]]:
    return zip(answer.pieces, answer.pieces[1:], strict=False)


def parse_list(printed: bytes) -> list[TmuxInfo]:
    """Read the lines of :data:`~sandboxkit.tmuxprograms.LIST`."""
    found = []
    for line in printed.splitlines():
        name, mode, status, code = line.decode().split(" ")
        completed = status == TmuxStatus.COMPLETED
        exit_code = int(code) if completed and code != "-" else None
        found.append(TmuxInfo(name=name, status=TmuxStatus(status), exit_code=exit_code, terminal=mode == "tmux"))
    return found
