"""A log keeps the newest MiB and knows when each line of it began."""

from __future__ import annotations

from sandboxkit_eci.emulator.logs import LIMIT, Log, Written


def test_lines_have_the_time_of_their_first_byte() -> None:
    log = Log()
    log.add(b"one\ntw", now=1.0)
    log.add(b"o\r\n", now=2.0)
    log.add(b"\n\nend", now=3.0)
    expected = [(1.0, b"one\n"), (1.0, b"two\r\n"), (3.0, b"\n"), (3.0, b"\n"), (3.0, b"end")]
    assert list(log.read().lines()) == expected
    assert log.read().data == b"one\ntwo\r\n\n\nend"


def test_nothing_has_no_lines() -> None:
    assert list(Log().read().lines()) == list(Written().lines()) == []


def test_the_newest_mib_is_kept_with_its_times() -> None:
    log, whole, times = Log(), bytearray(), []
    for number in range(300):
        line = bytes([65 + number % 26]) * 9999 + b"\n"
        log.add(line, now=float(number))
        whole += line
        times.append((float(number), line))
        assert log.read().data == bytes(whole[-LIMIT:])
        kept = list(log.read().lines())
        assert kept[1:] == times[len(times) - len(kept) + 1 :]
        assert kept[0][0] == times[-len(kept)][0]
    assert len(log.read().marks) < 2 * LIMIT / 10_000 + 2
