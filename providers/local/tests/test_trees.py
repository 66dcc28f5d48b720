"""Ending the whole tree of a command, whatever its processes do about it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local.options import LocalOptions

from .conftest import eventually, processes, reaching

PYTHON = "/usr/bin/python3"


def needs_python() -> None:
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON}")


TREES = {
    "plain": "sleep 600 &",
    "ignores TERM": "trap '' TERM HUP INT; sleep 600 &",
    "setsid": "setsid sleep 600 & setsid sh -c 'sleep 600 & sleep 600' &",
    "emptied environment": "env -i setsid /bin/sh -c '/bin/sleep 600 & /bin/sleep 600 & exit'",
    "double fork": "(setsid sh -c '(sleep 600 &) &' &)",
    "many": "for i in 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0; do (setsid sleep 600 &); done",
}


@pytest.mark.parametrize("name", TREES)
def test_a_timeout_ends_the_whole_tree(box: Sandbox, name: str) -> None:
    with box.spawn("setsid sleep 600 & sleep 600") as other:
        eventually(lambda: processes(box) >= 3, "the other command has started")
        beside = processes(box)

        def ended(timeout: float) -> sandboxkit.CommandTimeout:
            with pytest.raises(sandboxkit.CommandTimeout) as caught:
                box.exec(f"echo before; ({TREES[name]}\n: >reached; sleep 600)", timeout=timeout)
            assert caught.value.killed is True
            assert processes(box) == beside
            return caught.value

        assert reaching(box, ended).stdout == b"before\n"
        assert other.exit_code is None
        assert other.kill() is True
    assert processes(box) == 0


def test_what_left_its_session_or_its_mark_is_still_found(box: Sandbox) -> None:
    # One sheds the mark and keeps the session, the other the reverse.
    script = "(ulimit -S -w 7; sleep 600) & setsid sleep 600 & sleep 600"
    with box.spawn(script) as process:
        eventually(lambda: processes(box) >= 4, "all have started")
        assert process.kill() is True
    assert processes(box) == 0


HOPPERS = """
import os, time
def hop(pause):
    while True:
        if os.fork():
            os._exit(0)
        os.setsid()
        if pause:
            time.sleep(pause)
for n in range({count}):
    if os.fork() == 0:
        hop({pause})
print("hopping", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize(("count", "pause"), [(30, 0.05), (30, 0.002), (30, 0.0002), (120, 0)])
def test_chains_of_processes_that_hop_are_ended(client: Client, count: int, pause: float) -> None:
    needs_python()
    # Room for the zombies too, which come faster than they are reaped: thousands a second while PID 1 has no turn.
    # The machine itself has 32,768 pids by default, and keeps some.
    with client.create(ttl=120, options=LocalOptions(pids=25_000)) as box:
        with box.spawn([PYTHON, "-I", "-S", "-c", HOPPERS.format(count=count, pause=pause)], timeout=60) as process:
            assert next(iter(process)).data == b"hopping\n"
            assert processes(box) > 20
            assert process.kill() is True
        assert processes(box) == 0
        assert box.exec("echo usable").stdout == b"usable\n"


def test_others_are_left_as_they_were_by_a_kill_of_hoppers(box: Sandbox) -> None:
    needs_python()
    with box.spawn(["sleep", "600"]) as stopped, box.spawn("while :; do sleep 0.01; done") as ticker:
        stopped.signal(signal.SIGSTOP)
        eventually(lambda: states_of(box, "sleep").count("T") == 1, "it is stopped")
        with box.spawn([PYTHON, "-I", "-S", "-c", HOPPERS.format(count=60, pause=0)], timeout=60) as process:
            assert next(iter(process)).data == b"hopping\n"
            assert process.kill() is True
        assert states_of(box, "sleep").count("T") == 1
        assert "T" not in states_of(box, "sh")
        assert ticker.exit_code is None


TRACER = """
import ctypes, os, signal, sys
ptrace = ctypes.CDLL(None).ptrace
child = os.fork()
if child == 0:
    ptrace(0, 0, 0, 0)
    os.kill(os.getpid(), signal.SIGTRAP)
    os._exit(7)
os.waitpid(child, 0)
print("traced", flush=True)
sys.stdin.readline()
while True:
    ptrace(7, child, 0, 0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        break
    print("stopped by", os.WSTOPSIG(status), flush=True)
"""


def test_a_traced_process_gets_no_stop_from_a_kill_of_hoppers(box: Sandbox) -> None:
    needs_python()
    with box.spawn([PYTHON, "-I", "-S", "-c", TRACER], stdin="stream") as tracer:
        assert next(iter(tracer)).data == b"traced\n"
        with box.spawn([PYTHON, "-I", "-S", "-c", HOPPERS.format(count=60, pause=0)], timeout=60) as process:
            assert next(iter(process)).data == b"hopping\n"
            assert process.kill() is True
        tracer.write(b"\n")
        tracer.close_stdin()
        output = b"".join(chunk.data for chunk in tracer)
        assert b"stopped by %d\n" % signal.SIGSTOP not in output, output


def states_of(box: Sandbox, name: str) -> list[str]:
    lines = box.exec("cat /proc/[0-9]*/stat").text.splitlines()
    return [line.split()[2] for line in lines if f"({name})" in line]


def test_a_process_whose_first_thread_ended_is_no_zombie(box: Sandbox) -> None:
    needs_python()
    script = (
        "import ctypes, os, threading, time\n"
        "if os.fork(): time.sleep(600)\n"
        "os.setsid(); threading.Thread(target=time.sleep, args=(600,)).start(); print('there', flush=True)\n"
        "ctypes.CDLL(None).syscall(60, 0)\n"
    )
    if os.uname().machine != "x86_64":
        pytest.skip("the number of exit is that of x86_64")
    with box.spawn([PYTHON, "-I", "-S", "-c", script]) as process:
        assert next(iter(process)).data == b"there\n"
        eventually(lambda: " Z " in box.exec("cat /proc/[0-9]*/stat").text, "the first thread has ended")
        assert processes(box) == 2
        assert process.kill() is True
    assert processes(box) == 0


def test_a_fork_bomb_is_held_and_ended(client: Client) -> None:
    with client.create(ttl=120, options=LocalOptions(pids=100)) as box:
        with pytest.raises(sandboxkit.CommandTimeout) as caught:
            box.exec("bomb() { bomb | bomb & }; bomb; sleep 600", timeout=1)
        assert caught.value.killed is True
        assert processes(box) == 0
        needs_python()
        with box.spawn([PYTHON, "-I", "-S", "-c", FULL]) as full:
            assert next(iter(full)).data == b"full\n"
            with pytest.raises(sandboxkit.SandboxError, match="no room for another process"):
                box.exec("true")
            assert full.kill() is True
        assert box.exec("echo usable").stdout == b"usable\n"


FULL = """
import os, time
try:
    while os.fork():
        pass
except OSError:
    print("full", flush=True)
time.sleep(600)
"""
