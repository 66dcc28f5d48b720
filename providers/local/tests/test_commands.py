"""How PID 1 starts, follows and ends commands: what the native channel must keep without the launcher."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sandboxkit
from sandboxkit.driver import run
from sandboxkit.model import Command
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local.process import LocalProcess, make_request

from .conftest import eventually, processes

# -- starting ------------------------------------------------------------------------------------------------------


def test_exit_codes_and_signals_are_exact(shared: Sandbox) -> None:
    assert [shared.exec(f"exit {n}").exit_code for n in (0, 1, 42, 126, 127, 128, 255)] == [
        0,
        1,
        42,
        126,
        127,
        128,
        255,
    ]
    assert [shared.exec(f"kill -{n} $$").exit_code for n in (1, 6, 9, 11, 15)] == [129, 134, 137, 139, 143]


def test_a_missing_program_is_127_and_one_that_may_not_run_126(box: Sandbox) -> None:
    box.exec(
        "echo '#!/no/such' > bad; echo 'echo ran $0 $1' > script; printf '\\177ELF\\0' > elf; : > empty; : > plain"
    )
    box.exec("chmod +x bad script elf empty")
    missing = box.exec(["no-such-program"])
    assert (missing.exit_code, missing.stderr) == (127, b"no-such-program: not found\n")
    assert [box.exec([name]).exit_code for name in ("./nope", "/etc/passwd/x", "./bad")] == [127] * 3
    assert [box.exec([name]).exit_code for name in ("./plain", "/etc", "./elf")] == [126] * 3
    assert box.exec(["./empty"]).exit_code == 0
    assert box.exec(["./script", "one"]).stdout == b"ran ./script one\n"


def test_programs_are_looked_up_in_the_commands_own_path(box: Sandbox) -> None:
    box.exec("mkdir a b; printf '#!/bin/sh\\necho a' > a/tool; printf '#!/bin/sh\\necho b' > b/tool; chmod +x b/tool")
    assert box.exec(["tool"]).exit_code == 127
    assert box.exec(["tool"], env={"PATH": "/workspace/a"}).exit_code == 126
    assert box.exec(["tool"], env={"PATH": "/nope:/workspace/a:/workspace/b"}).stdout == b"b\n"
    assert box.exec(["tool"], env={"PATH": ":/nope"}, cwd="/workspace/b").stdout == b"b\n"


def test_a_working_directory_that_cannot_be_entered_is_an_error_of_its_own(shared: Sandbox) -> None:
    for path, code in (("/nope", 2), ("/etc/passwd", 20)):
        with pytest.raises(sandboxkit.WorkingDirectoryError) as caught:
            shared.exec("true", cwd=path)
        assert (caught.value.errno, caught.value.dispatched) == (code, False)
    assert shared.exec("pwd", cwd="/tmp").stdout == b"/tmp\n"
    assert shared.exec("pwd").stdout == b"/workspace\n"


def test_arguments_reach_the_kernels_own_limit(shared: Sandbox) -> None:
    most = 131_071
    assert shared.exec(["sh", "-c", "echo ${#1}", "sh", "x" * most]).stdout == b"%d\n" % most
    with pytest.raises(sandboxkit.ArgumentsTooLong):
        shared.exec(["true", *["x" * most] * 60])
    with pytest.raises(sandboxkit.ArgumentsTooLong):
        shared.exec(["true", *["x" * most] * 200])


def test_a_text_of_any_length_runs_like_a_short_one(shared: Sandbox) -> None:
    for padding in (0, 131_000, 131_071, 300_000, 3_000_000):
        text = "# " + "x" * padding + "\nread line; echo $$ $line $s; ls -l /proc/$$/fd; exit 7"
        result = shared.exec(text, input=b"from stdin\n", env={"s": "kept"})
        first, _, *held = result.stdout.splitlines()
        assert first.split()[1:] == [b"from", b"stdin", b"kept"]
        assert first.split()[0].isdigit()
        assert len(held) >= 3
        assert not any(b"memfd" in line for line in held)
        assert (result.exit_code, result.stderr) == (7, b"")


def test_commands_begin_with_nothing_ignored_or_blocked(shared: Sandbox) -> None:
    fields = dict(line.split(":\t", 1) for line in shared.exec(["cat", "/proc/self/status"]).text.splitlines())
    assert {int(fields[name], 16) & 0x7FFFFFFF for name in ("SigBlk", "SigIgn", "SigCgt")} == {0}
    listed = shared.exec(["ls", "/proc/self/fd"]).text.split()
    assert listed == ["0", "1", "2", "3"]  # the last is ls's own


def test_standard_streams_can_be_opened_by_name(shared: Sandbox) -> None:
    result = shared.exec("cat /dev/stdin; echo out > /dev/stdout; echo err > /dev/stderr", input=b"in\n")
    assert (result.stdout, result.stderr) == (b"in\nout\n", b"err\n")


# -- streams -------------------------------------------------------------------------------------------------------


def test_the_last_byte_of_fast_commands_arrives(shared: Sandbox) -> None:
    for n in range(300):
        assert shared.exec(["printf", str(n)]).stdout == str(n).encode()


def test_big_streams_pass_both_ways(shared: Sandbox) -> None:
    data = os.urandom(1 << 20) * 20
    assert shared.exec("cat", input=data, max_output=None).stdout == data
    assert shared.exec("cat >&2 | head -c 0", input=data, max_output=None).stderr == data


def test_input_that_nobody_wants_is_no_error(shared: Sandbox) -> None:
    assert shared.exec("exec <&-; echo fine", input=b"x" * 5_000_000).stdout == b"fine\n"
    assert shared.exec("head -c 3", input=b"x" * 5_000_000).stdout == b"xxx"
    assert shared.exec("true", input=b"x" * 5_000_000).exit_code == 0


def test_a_background_child_delays_nothing_and_gets_no_error(box: Sandbox) -> None:
    script = (
        "(trap '' PIPE; while echo tick && sleep 0.01; do :; done; echo broken > /workspace/broken) & echo started"
    )
    result = box.exec(script, timeout=20)
    assert result.stdout.startswith(b"started\n") or b"started\n" in result.stdout
    before = processes(box)
    assert before >= 1
    # More than a pipe holds, if nobody emptied it.
    chatty = box.exec("(i=0; while [ $i -lt 40 ]; do head -c 65536 /dev/zero; i=$((i+1)); done; : > done) & exit 3")
    assert chatty.exit_code == 3
    eventually(lambda: box.exec("[ -e done ]").exit_code == 0, "the child's output is taken")
    assert box.exec("[ -e broken ]").exit_code == 1
    assert processes(box) >= 1


def test_output_fills_the_pipe_and_waits_for_its_reader(shared: Sandbox) -> None:
    with shared.spawn("head -c 3000000 /dev/zero; echo end >&2") as process:
        time.sleep(0.1)
        sizes = {1: 0, 2: 0}
        for chunk in process:
            sizes[chunk.stream] += len(chunk.data)
        assert sizes == {1: 3_000_000, 2: 4}


# -- ending --------------------------------------------------------------------------------------------------------


def test_a_signal_reaches_the_command_itself(shared: Sandbox) -> None:
    with shared.spawn("trap 'echo got; exit 5' USR1; echo ready; while :; do sleep 0.01; done") as process:
        assert next(iter(process)).data == b"ready\n"
        process.signal(signal.SIGUSR1)
        assert process.wait(timeout=10) == 5


def test_commands_without_a_client_run_on_and_write_on(
    client: Client, box: Sandbox, first_pid: Callable[[str], int]
) -> None:
    program = """
import sandboxkit, sys
with sandboxkit.connect("local", state_dir=sys.argv[1]) as client:
    box = client.get(sys.argv[2])
    with box.spawn("head -c 4000000 /dev/zero; : > /workspace/finished; sleep 600") as p:
        next(iter(p))
        print("running", flush=True)
        sys.stdin.read()
"""
    state = client._async.provider.state.path  # type: ignore[attr-defined]
    with subprocess.Popen(
        [sys.executable, "-c", program, state, box.id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"running\n"
        assert box.exec("[ -e /workspace/finished ]").exit_code == 1
        other.kill()
    eventually(lambda: box.exec("[ -e /workspace/finished ]").exit_code == 0, "it ran on with nobody reading")
    assert processes(box) >= 1


def test_a_timeout_holds_with_the_client_dead(client: Client, box: Sandbox) -> None:
    program = """
import sandboxkit, sys
with sandboxkit.connect("local", state_dir=sys.argv[1]) as client:
    with client.get(sys.argv[2]).spawn("setsid sleep 600 & echo; sleep 600", timeout=float(sys.argv[3])) as p:
        next(iter(p))
        print("running", flush=True)
        sys.stdin.read()
"""
    state = client._async.provider.state.path  # type: ignore[attr-defined]
    for timeout in (1.5, 4.0, 12.0):
        with subprocess.Popen(
            [sys.executable, "-c", program, state, box.id, str(timeout)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            told = other.stdout.readline()
            other.kill()
        # On a busy machine the time may be up before this.
        outlived = told == b"running\n" and processes(box) >= 2
        eventually(lambda: processes(box) == 0, "the watchdog ended the tree")
        if outlived:
            return
    pytest.fail(f"no tree outlived its client, not even one with {timeout} s")


def test_orphans_are_reaped(box: Sandbox) -> None:
    box.exec("i=0; while [ $i -lt 50 ]; do (true & true &) ; i=$((i+1)); done")
    eventually(lambda: " Z " not in box.exec("cat /proc/[0-9]*/stat").text, "no zombie is left")


def test_many_commands_at_once_do_not_disturb_each_other(shared: Sandbox) -> None:
    running = [shared.spawn(f"sleep 0.2; echo {n}; exit {n % 200}") for n in range(100)]
    for n, process in enumerate(running):
        assert b"".join(chunk.data for chunk in process) == b"%d\n" % n
        assert process.exit_code == n % 200
        process.close()


def held_here() -> int:
    # What other tests dropped may hold descriptors until it is collected: it must not hide that one stays open.
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_process_may_be_closed_under_its_reader(box: Sandbox) -> None:
    before = held_here()
    process = box.spawn("sleep 600")
    ended: list[object] = []

    def read() -> None:
        try:
            ended.extend(process)
        except sandboxkit.SandboxError as exc:
            ended.append(exc)
        ended.append("over")

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.1)
    process.close()
    reader.join(timeout=10)
    assert ended[-1] == "over"
    assert held_here() <= before


def test_descriptors_stay_flat_on_both_sides(box: Sandbox, first_pid: Callable[[str], int]) -> None:
    box.exec("true")
    before = held_here()
    for n in range(200):
        if n % 4 == 0:
            box.exec("sleep 0.05 & echo x", input=b"abc", timeout=5)
        elif n % 4 == 1:
            box.exec(["no-such-program"])
        elif n % 4 == 2:
            with pytest.raises(sandboxkit.WorkingDirectoryError):
                box.exec("true", cwd="/nope")
        else:
            with box.spawn("cat", stdin=True) as process:
                process.write(b"x")
    assert held_here() <= before
    if os.geteuid() == 0:
        pid = first_pid(box.id)
        eventually(lambda: len(list(Path(f"/proc/{pid}/fd").iterdir())) < 15, "PID 1 has let go of all pipes")


def test_a_stopped_pid_1_costs_no_more_than_the_timeout(
    client: Client, box: Sandbox, first_pid: Callable[[str], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    world = client._async.provider.world
    ready, sleep = world.ready, world.sleep
    waits: list[float] = []

    async def ready_noted(*, until: float | None = None, **fds: Any) -> Any:
        assert until is not None, "this may wait for ever"
        waits.append(max(0.0, until - world.now()))
        return await ready(until=until, **fds)

    async def sleep_noted(seconds: float) -> None:
        waits.append(seconds)
        await sleep(seconds)

    pid = first_pid(box.id)
    os.kill(pid, signal.SIGSTOP)
    try:
        # What it waits for at most, not how long it takes: that is more on a busy machine.
        with monkeypatch.context() as patch:
            patch.setattr(world, "ready", ready_noted)
            patch.setattr(world, "sleep", sleep_noted)
            with pytest.raises(sandboxkit.CommandTimeout) as caught:
                box.exec("true", timeout=0.2)
        assert caught.value.killed is None
        assert waits
        assert sum(waits) < 5.2
    finally:
        os.kill(pid, signal.SIGCONT)
    assert box.exec("echo again").stdout == b"again\n"


def test_a_command_that_was_ended_before_it_was_asked_for_never_starts(client: Client, box: Sandbox) -> None:
    provider = client._async.provider
    process = LocalProcess(provider.world, provider.state, box.id, "none", 0)  # type: ignore[attr-defined]
    command = Command(argv=(b"touch", b"/workspace/late"))
    request, _ = make_request(process.mark, command)
    process.started = None  # as if the request were under way
    assert run(process.kill(until=time.monotonic() + 5)) is True
    run(process.start(request, None, until=None))
    assert run(process.exchange()).closed
    assert process.report is not None
    assert (process.report.failure, process.started) == ("other", False)
    run(process.close())
    assert box.exec("[ -e /workspace/late ]").exit_code == 1


def test_a_command_that_was_ended_while_pid_1_stood_still_does_not_live_on(
    box: Sandbox, first_pid: Callable[[str], int]
) -> None:
    pid = first_pid(box.id)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(sandboxkit.CommandTimeout):
            box.exec(": > /workspace/late; sleep 600", timeout=0.1)
    finally:
        os.kill(pid, signal.SIGCONT)
    box.exec("true")
    eventually(lambda: processes(box) == 0, "nothing of it is left")
