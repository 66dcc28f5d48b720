"""Terminals in ``local``: what is left of them, and what a sandbox can do with them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sandboxkit.sync import Process, Sandbox

from .conftest import eventually

SIZE = (24, 80)


def rest(process: Process) -> bytes:
    return b"".join(chunk.data for chunk in process)


def test_terminals_leave_nothing_with_pid_1_nor_here(box: Sandbox, first_pid: Callable[[str], int]) -> None:
    def held() -> tuple[int, ...]:
        # PID 1 cannot be traced: only root may look at what it holds.
        pids = (first_pid(box.id), "self") if os.geteuid() == 0 else ("self",)
        return tuple(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)

    before = held()
    for command in (["true"], ["/no/such/program"], "exec <&- >&- 2>&-; sleep 0.01", "sleep 60 & exit 3"):
        for read in (True, False):
            with box.spawn(command, terminal=SIZE) as process:
                if read:
                    rest(process)
                    process.wait()
    # PID 1 lets go of a command's streams when it is told, not before. Here there may be fewer: what other tests
    # dropped is collected at any time.
    eventually(lambda: all(now <= then for now, then in zip(held(), before, strict=True)), "all is closed again")
    assert box.exec("ls /dev/pts").text == "ptmx\n"


def test_a_program_may_close_its_terminal_for_a_while(box: Sandbox) -> None:
    script = "echo one; exec <&- >&- 2>&-; sleep 0.3; exec >/dev/tty; echo two; exit 4"
    with box.spawn(script, terminal=SIZE) as process:
        assert rest(process) == b"one\r\ntwo\r\n"
        assert process.wait() == 4


def test_a_child_that_stays_on_the_terminal_cannot_write_to_it_any_more(box: Sandbox) -> None:
    late = "until [ -e /tmp/go ]; do sleep 0.01; done; echo late || echo failed >/tmp/late"
    script = f"(trap '' HUP; echo early; {late}) & read x; exit 3"
    with box.spawn(script, terminal=SIZE) as process:
        assert next(process).data == b"early\r\n"
        process.write("\n")
        assert rest(process) == b"\r\n"
        assert process.wait() == 3
    box.exec(": >/tmp/go")
    eventually(lambda: box.exec("cat /tmp/late").text == "failed\n", "its write fails")


def test_a_program_cannot_type_into_its_terminal(box: Sandbox) -> None:
    script = (
        "import fcntl, sys\n"
        "try: fcntl.ioctl(0, 0x5412, b'x'); print('typed')\n"
        "except OSError as exc: print(exc.errno)\n"
        "fcntl.ioctl(0, 0x5413, bytes(8)); print('asked')\n"
    )
    with box.spawn(["/usr/bin/env", "python3", "-c", script], terminal=SIZE) as process:
        assert rest(process) == b"1\r\nasked\r\n"


def test_terminals_are_of_the_sandbox_alone(box: Sandbox) -> None:
    with box.spawn("tty; echo ready; read x", terminal=SIZE) as process:
        seen = b""
        for chunk in process:
            seen += chunk.data
            if b"ready" in seen:
                break
        assert seen.startswith(b"/dev/pts/0\r\n")
        assert box.exec("ls /dev/pts").text == "0\nptmx\n"
        process.write("\n")
        process.wait()
