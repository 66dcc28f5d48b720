"""What the processes of a container have used, read from ``/proc``."""

from __future__ import annotations

import os

from sandboxkit_eci.emulator.backend import Usage
from sandboxkit_eci.emulator.backends.usage import disk_command, read_usage, with_disk


def test_usage_is_added_up_whatever_processes_are_called() -> None:
    line = b"7 (%b) S 1 7 7 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 1 0 555 1234567 250 18446744073709551615 1 1\n"
    found = read_usage(line % b"sh" + line % b"a) R 1\n (b")
    assert found.cpu_nanoseconds == 100 * 1_000_000_000 // os.sysconf("SC_CLK_TCK")
    assert found.memory_bytes == 500 * os.sysconf("SC_PAGE_SIZE")


def test_what_passed_the_disk_is_added_up_too() -> None:
    counted = b"rchar: 9\nread_bytes: 5\nwrite_bytes: 7\ncancelled_write_bytes: 1\n"
    found = with_disk(Usage(memory_bytes=3), counted + counted + b"8\t/root\n4\t/var\n")
    assert found == Usage(memory_bytes=3, read_bytes=10, written_bytes=14, files_bytes=12 << 10)
    assert with_disk(Usage(), b"") == Usage()


def test_counts_do_not_go_back_but_files_may() -> None:
    before = Usage(cpu_nanoseconds=9, memory_bytes=9, read_bytes=9, written_bytes=1, files_bytes=9)
    after = Usage(cpu_nanoseconds=1, memory_bytes=1, read_bytes=1, written_bytes=9, files_bytes=1)
    assert after.since(before) == Usage(
        cpu_nanoseconds=9, memory_bytes=1, read_bytes=9, written_bytes=9, files_bytes=1
    )
    assert Usage().since(before).read_bytes == 9
    assert Usage(read_bytes=0).since(Usage()).read_bytes == 0


def test_a_sandbox_without_a_view_of_its_own_is_looked_at_where_it_is() -> None:
    assert disk_command({"isolation": "namespaces"})[-4:] == ("/root", "/tmp", "/var", "/workspace")
    bare = disk_command({"isolation": "none", "workspace": "/state/id/workspace"})
    assert bare[-3:] == ("/state/id/home", "/state/id/tmp", "/state/id/workspace")
