"""What the processes of a container have used, read from ``/proc``."""

from __future__ import annotations

import os

from sandboxkit_eci.emulator.backends.usage import read_usage


def test_usage_is_added_up_whatever_processes_are_called() -> None:
    line = b"7 (%b) S 1 7 7 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 1 0 555 1234567 250 18446744073709551615 1 1\n"
    found = read_usage(line % b"sh" + line % b"a) R 1\n (b")
    assert found.cpu_nanoseconds == 100 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert found.memory_bytes == 500 * os.sysconf("SC_PAGE_SIZE")
