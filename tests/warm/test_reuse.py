"""One command after another on a kept channel, none of which can tell or harm another."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandboxkit import runner
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import StatusUnreported, WorkingDirectoryError
from sandboxkit.sync import Client
from sandboxkit.worlds import BlockingWorld
from tests.support.hostshell import HostShell
from tests.support.warmside import (
    INPUTS,
    SocketHost,
    Stage,
    alive,
    check_clean,
    check_opened,
    ended_at_last,
    make_host,
    needle,
    stage,
)

PROBE = """\
printf ok; printf err >&2; pwd; umask; ulimit -n; ulimit -f; ulimit -c; trap; env
(exec 2>/dev/null; cat <&3; cat <&4); exit 5"""
"""Tells all that a command before it might have left behind."""


def test_one_channel_carries_one_command_after_another(place: Stage) -> None:
    for number in range(20):
        assert place.exec(["printf", "%s", str(number)]).text == str(number)
    assert place.exec(["cat"], input=b"x" * 200_000, timeout=30).stdout == b"x" * 200_000
    assert place.exec("exit 3", timeout=30).exit_code == 3
    assert place.told(["true"], cwd="/no/such/place")[0] == "WorkingDirectoryError"
    assert place.exec(["printf", "%s", "last"]).text == "last"
    check_opened(place, 1)


@pytest.mark.parametrize(
    "leave",
    [
        "(trap '' PIPE; sleep 0.2; echo late; echo late >&2; exec sleep {0}) & echo $!",
        # It says when it has let go of the pipes: then nothing but its session tells of it.
        "(: >{1}; exec sleep {0}) >/dev/null 2>&1 & while [ ! -e {1} ]; do :; done; echo $!",
        "setsid sleep {0} 9>&1 >/dev/null 2>&1 & echo $!",
        "setsid sleep {0} 9>&2 >/dev/null 2>&1 & echo $!",
        "(setsid sh -c 'sleep {0} & sleep {0}' >/dev/null &); echo $$",
        "exec 9>&1; sh -c 'sleep {0} &' >/dev/null 2>&1; echo $$",
    ],
    ids=["pipes", "session", "held out", "held err", "double fork", "inherited"],
)
def test_a_command_that_leaves_something_behind_is_the_channels_last(
    place: Stage, leave: str, tmp_path: Path
) -> None:
    with ended_at_last(needle()) as number:
        assert place.exec(leave.format(number, tmp_path / "there")).exit_code == 0
        until = time.monotonic() + 0.4
        while time.monotonic() < until:
            check_clean(place)
        check_opened(place, 2)
        assert alive(number)


def test_a_process_with_a_newline_in_its_name_is_left_behind_too(place: Stage, tmp_path: Path) -> None:
    with ended_at_last(needle()) as number:
        (tmp_path / "a\nb").symlink_to("/bin/sleep")
        place.exec(f"setsid '{tmp_path}/a\nb' {number} & until grep -qs {number} /proc/$!/cmdline; do :; done")
        check_clean(place)
        check_opened(place, 2)
        assert alive(number)


HOPS = "hop() { [ -e {0} ] && { echo late; exit; }; (hop) & exit 0; }; (hop) & sleep 0.05"
"""Starts a chain of processes that each live for a moment and hold the pipes, and say so when the file is there."""


def test_a_chain_of_processes_that_hop_is_left_behind_too(place: Stage, tmp_path: Path) -> None:
    for number in range(4):
        there = tmp_path / str(number)
        assert place.exec(HOPS.replace("{0}", str(there))).exit_code == 0
        there.touch()
        assert place.exec("sleep 0.2; echo mine").stdout == b"mine\n"


MANY = "i=0; while [ $i -lt 400 ]; do (:); i=$((i+1)); done"
"""Starts more processes than a runner looks for one by one."""


def test_a_command_that_starts_many_processes_costs_no_channel(place: Stage) -> None:
    for _ in range(3):
        assert place.exec(MANY).exit_code == 0
    check_clean(place)
    check_opened(place, 1)


def test_what_is_left_behind_is_found_among_many(place: Stage) -> None:
    with ended_at_last(needle()) as number:
        assert place.exec(f"sleep {number} & {MANY}").exit_code == 0
        check_clean(place)
        check_opened(place, 2)
        assert alive(number)


NEXT = Path("/proc/sys/kernel/ns_last_pid")


@pytest.fixture
def apart(shell: Stage) -> Iterator[Stage]:
    """A host whose process ids are its own: whoever else runs on this machine may count on what comes next."""
    most = Path("/proc/sys/kernel/pid_max")
    there = int(most.read_text())
    if there >= runner._NO_LAP:
        pytest.skip("this host has too many process ids for a lap")
    # Since Linux 6.14 such a namespace has its own limit, and a high one.
    arrange = f"[ $(cat {most}) = {there} ] || echo {there} >{most}; echo; exec sleep 600"
    first = subprocess.Popen(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", arrange], stdout=subprocess.PIPE
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == b"\n"
        (inside,) = Path(f"/proc/{first.pid}/task/{first.pid}/children").read_text().split()
        enter, leader = "/usr/bin/nsenter", "/usr/bin/setsid"
        shell.host.shell = (enter, "-t", inside, "-p", "-m", "--", leader, *shell.host.shell)
        yield shell
    finally:
        first.kill()
        first.communicate()


@pytest.mark.skipif(not os.access(NEXT, os.W_OK), reason="only root may say which process id comes next")
def test_what_is_left_behind_is_found_after_a_lap_of_process_ids(apart: Stage) -> None:
    # As after 32,768 of them: what is left has one that is not among those given out last.
    lap = (
        f"read -r a a a a last a </proc/loadavg; there=$((last>16000?last-9000:last+9000)); echo $there >{NEXT}; "
        f"sleep {{}} & echo $((last+1)) >{NEXT}; sleep 3.2; echo $((last+1)) >{NEXT}"
    )
    apart.exec(["true"])
    with ended_at_last(needle()) as number:
        assert apart.exec(lap.format(number)).exit_code == 0
        check_clean(apart)
        check_opened(apart, 2)
        assert alive(number)


def test_a_child_that_has_shed_everything_leaves_the_channel_usable(place: Stage, tmp_path: Path) -> None:
    with ended_at_last(needle()) as number:
        child = f"setsid sh -c '>{tmp_path}/there; exec sleep {number}' </dev/null >/dev/null 2>&1 &"
        place.exec(f"{child} while [ ! -e {tmp_path}/there ]; do :; done")
        check_clean(place)
        check_opened(place, 1)
        assert alive(number)


@pytest.mark.parametrize("world", ["blocking", "asyncio"])
@pytest.mark.parametrize("name", ["dash", "bash", "busybox"])
def test_streams_that_are_no_pipes_are_not_kept(
    name: str, world: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with stage(make_host(name, world, tmp_path_factory, SocketHost)) as place:
        for _ in range(2):
            check_clean(place)
            assert place.exec(["cat"], input=b"x" * 100_000).stdout == b"x" * 100_000
        # The first finds out; each that follows has a channel of its own.
        check_opened(place, 8)
        assert place.pool.never


HARD = {
    "reads on": "cat; cat; cat; read -r x; exit 3",
    "reads little": "dd bs=3 count=1 2>/dev/null; exit 3",
    "closes stdin": "exec 0<&-; sleep 0.05; echo out; exit 3",
    "closes all": 'echo out; for n in 0 1 2 3 4 5 6 7 8 9; do eval "exec $n<&-"; done; exit 8',
    "changes all": "cd /; umask 0; ulimit -n 10; ulimit -f 0; trap '' TERM HUP INT; export A=b IFS=x PATH=/; exit 3",
    "becomes another": "exec sh -c 'cat; exit 9'",
    "kills its group": "trap '' TERM; kill 0; echo out; exit 6",
    "signals its group": "trap '' INT HUP; kill -INT 0; kill -HUP 0; echo out; exit 6",
    "dies with its group": "kill 0; sleep 5",
    "signals its parent": "for s in HUP INT QUIT TERM USR1 USR2 PIPE ALRM; do kill -$s $PPID; done; echo out; exit 7",
    "writes much": "head -c 3000000 /dev/zero | tr '\\000' x; head -c 300000 /dev/zero >&2; exit 2",
    "writes both": "for n in 1 2 3 4 5 6 7 8 9; do echo $n; echo $n >&2; done",
    "does not block": "/usr/bin/python3 -c 'import os; os.set_blocking(1, False); os.set_blocking(2, False)'",
    "redefines": "__check() { :; }; __say() { :; }; __t=x; __m=1; alias exec=false; echo out",
    "counts its descriptors": "for n in 3 4 5 6 7 8; do [ -e /proc/self/fd/$n ] && echo $n; done; exit 0",
}


@pytest.mark.parametrize("size", INPUTS)
def test_whatever_a_command_does_it_ends_as_on_a_channel_of_its_own_and_the_next_is_right(
    shell: Stage, cold: Stage, size: str
) -> None:
    options = {"input": INPUTS[size]} if INPUTS[size] else {}
    before = shell.told(PROBE)
    for name, script in HARD.items():
        expected = cold.told(script, timeout=20, **options)
        assert (name, *expected) == (name, *shell.told(script, timeout=20, **options))
        assert (name, *before) == (name, *shell.told(PROBE))
        check_clean(shell)


@pytest.mark.parametrize("size", INPUTS)
@pytest.mark.parametrize(
    "script", ["echo out; kill -9 $PPID", "echo out; kill -9 $PPID; sleep 2", "echo out; kill -9 0; sleep 2"]
)
def test_a_runner_killed_by_its_command_is_an_error_of_its_own(place: Stage, script: str, size: str) -> None:
    place.exec(["true"])
    options = {"input": INPUTS[size]} if INPUTS[size] else {}
    with pytest.raises(StatusUnreported) as caught:
        place.exec(script, timeout=20, **options)
    assert (caught.value.dispatched, caught.value.stdout) == (True, b"out\n")
    check_clean(place)


@pytest.mark.parametrize("data", [b"", b"x"])
def test_death_by_each_signal_is_128_and_its_number_and_costs_no_channel(shell: Stage, data: bytes) -> None:
    numbers = [n for n in range(1, 32) if n not in (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)]
    harmless = (signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH)
    for number in numbers:
        script = f"ulimit -c 0; printf out; kill -{int(number)} $$; exit 99"
        result = shell.exec(script, **({"input": data} if data else {}))
        assert (number, 99 if number in harmless else 128 + number, b"out", b"") == (
            number, result.exit_code, result.stdout, result.stderr,
        )  # fmt: skip
    check_opened(shell, 1)


def test_a_variable_called_like_one_of_the_runners_is_only_the_commands(shell: Stage) -> None:
    names = ("__t", "__l", "__sid", "__start", "__o", "__m", "__x", "__nl", "__v", "__d")
    for name in names:
        result = shell.exec(f'printf %s "${name}"', env={name: "value", "OTHER": "2"}, cwd="/")
        assert (name, 0, b"value", b"") == (name, result.exit_code, result.stdout, result.stderr)
    assert shell.exec('printf %s "${OTHER-none}${__d-none}"').text == "nonenone"
    check_clean(shell)


def test_a_variable_called_like_the_runners_newline_changes_no_newline(shell: Stage) -> None:
    env = {"__nl": "not a newline", "A": "a\nb"}
    result = shell.exec(["sh", "-c", 'printf "%s|" "$@" "$A" "$__nl"', "sh", "x\ny"], env=env)
    assert result.text == "x\ny|a\nb|not a newline|"
    check_opened(shell, 1)


def test_the_environment_is_that_of_a_channel_of_its_own(shell: Stage) -> None:
    def told() -> list[list[str]]:
        surroundings: list[dict[str, Any]] = [{}, {"cwd": "/usr"}, {"env": {"OLDPWD": "/opt"}}]
        return [sorted(shell.exec(["env"], **each).text.splitlines()) for each in surroundings]

    kept = told()
    shell.go(shell.client.cool())
    shell.host.keep_warm(False)
    assert kept == told()


def test_non_blocking_outputs_left_behind_lose_the_next_command_nothing(shell: Stage) -> None:
    shell.exec(["/usr/bin/python3", "-c", "import os; os.set_blocking(1, False); os.set_blocking(2, False)"])
    result = shell.exec("head -c 3000000 /dev/zero; head -c 3000000 /dev/zero >&2")
    assert (len(result.stdout), len(result.stderr)) == (3_000_000, 3_000_000)
    check_opened(shell, 1)


def test_a_working_directory_that_was_made_anew_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    host = HostShell(BlockingWorld(), ("dash",), os.environ["PATH"])
    host.keep_warm(True)
    box = Client(AsyncClient(host, "test")).get("host")
    try:
        assert box.exec("echo one >file; rm -r ../there; mkdir ../there; pwd").text == f"{there}\n"
        assert box.exec("pwd -P; ls; echo two >file").text == f"{there}\n"
        assert (there / "file").read_text() == "two\n"
        box.exec("rm -r ../there")
        with pytest.raises(WorkingDirectoryError):
            box.exec("pwd")
        there.mkdir()
        assert box.exec("ls").text == ""
    finally:
        run(host.cool())
        run(host.close())
