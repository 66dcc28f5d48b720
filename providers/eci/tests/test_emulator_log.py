"""What is kept of a container's output."""

from __future__ import annotations

from sandboxkit_eci.emulator.backends.machines import LOG_LIMIT, Log


def test_a_log_keeps_the_newest_mebibyte() -> None:
    log, whole = Log(), bytearray()
    for number in range(700):
        line = b"%d " % number * 1000
        whole += line
        log.add(line)
        assert log.read() == bytes(whole[-LOG_LIMIT:])
