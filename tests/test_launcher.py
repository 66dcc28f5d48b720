"""The launcher on every shell that is found here: dash, bash and busybox's ash with busybox's tools."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import (
    ArgumentsTooLong,
    CommandTimeout,
    SandboxNotFound,
    StatusUnreported,
    WorkingDirectoryError,
)
from sandboxkit.launcher import BOOTSTRAP, Place, Ticket, command_script, frame, kill_script
from sandboxkit.model import Command
from sandboxkit.scan import SCAN
from sandboxkit.sync import Client, Sandbox
from sandboxkit.worlds import BlockingWorld
from tests.support.expiry import expire, long_timeout
from tests.support.hostshell import HostShell, busybox_applets, shells

SHELLS = dict(shells())

RLIMIT_LOCKS = 10


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostShell]:
    if request.param not in SHELLS:
        pytest.skip(f"no {request.param} on this machine")
    path = busybox_applets(tmp_path_factory.mktemp("applets")) if request.param == "busybox" else None
    provider = HostShell(BlockingWorld(), SHELLS[request.param], path)
    yield provider
    run(provider.close())


@pytest.fixture
def box(host: HostShell) -> Sandbox:
    return Client(AsyncClient(host, "test")).get("host")


def alive(marker: str) -> list[int]:
    """Give the processes of this host whose arguments hold the marker, zombies left out."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


@pytest.fixture
def storm() -> Iterator[bytes]:
    """Processes that come and go beside, two thousand a second; the time at which the first one began."""
    program = ["/bin/sh", "-c", "while :; do /bin/true; done"]
    with subprocess.Popen(program) as one, subprocess.Popen(program) as other:
        yield Path(f"/proc/{one.pid}/stat").read_bytes().rpartition(b") ")[2].split()[19]
        one.kill()
        other.kill()


def test_a_kill_reports_while_others_come_and_go(host: HostShell, storm: bytes) -> None:
    # Of a process that ends while bash reads of it, bash takes the rest of what it had for the next file's.
    place = Place(b"1", b"x", storm)
    for _ in range(20):
        report = Ticket()
        script = frame(kill_script(Ticket(), place, everything=False, report=report))
        argv = [*host.shell, *BOOTSTRAP[1:]]
        told = subprocess.run(argv, input=script, capture_output=True, env={"PATH": host.path}).stdout
        # On a busy machine it may not be sure.
        assert told in (b"%b:E3,0;" % report.token, b"%b:E4,0;" % report.token)


@pytest.mark.parametrize(
    ("start", "meanwhile"),
    [pytest.param(0, "", id="not marked yet"), pytest.param(1, "__new=99999999", id="process ids that begin again")],
)
def test_what_was_no_part_of_the_command_may_be_one_later(host: HostShell, start: int, meanwhile: str) -> None:
    mark = Ticket().mark
    scan = f"__hit=;__scan;echo ${{__hit:-0}} >&3;read -r __x;{meanwhile}\n"
    set_up = f"cd /proc;M={mark} S=x B={start} A= __o=' ' __ours=' ' __new=0 __learn="
    script = f"exec 3>&1 >/dev/null 2>&1;{set_up}\n{SCAN}\n{scan}{scan}"
    argv = [*host.shell, "-c", script]
    with (
        subprocess.Popen(["sleep", "600"]) as process,
        subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PATH": host.path}) as scanner,
    ):
        try:
            assert scanner.stdout is not None
            assert scanner.stdout.readline() == b"0\n"
            resource.prlimit(process.pid, RLIMIT_LOCKS, (mark + 1, resource.RLIM_INFINITY))
            assert scanner.communicate(b"\n")[0] == b"1\n"
            assert process.wait(timeout=10) == -signal.SIGKILL
        finally:
            process.kill()
            scanner.kill()


@pytest.mark.parametrize("name", ["a\nb", "x) Z\n1 2 3"])
def test_a_process_with_a_newline_in_its_name_is_ended(box: Sandbox, tmp_path: Path, name: str) -> None:
    number = str(60 + time.time_ns() % 10**9 / 10**9)
    (tmp_path / name).symlink_to("/bin/sleep")
    with box.spawn(["setsid", f"{tmp_path}/{name}", number]) as process:
        while not alive(number):
            process.wait(0.01)
        assert process.kill() is True
    assert alive(number) == []


# The first thread ends, another one goes on: what is left looks like a zombie.
HEADLESS = """
import ctypes, platform, sys, threading, time
threading.Thread(target=time.sleep, args=[float(sys.argv[1])]).start()
ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
"""


def headless(marker: str) -> list[int]:
    """Give the processes whose first thread has ended and whose last thread's arguments hold the marker."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if any(marker.encode() in (task / "cmdline").read_bytes() for task in (entry / "task").iterdir()):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("warm", [True, False])
def test_a_process_whose_first_thread_has_ended_is_ended_too(host: HostShell, box: Sandbox, warm: bool) -> None:
    host.keep_warm(warm)
    number = f"{61 + time.time_ns() % 10**9 / 10**9:.9f}"
    try:
        with pytest.raises(CommandTimeout) as caught:
            box.exec([sys.executable, "-c", HEADLESS, number], timeout=1.0)
        assert caught.value.killed is True
        assert headless(number) == []
    finally:
        for pid in headless(number):
            os.kill(pid, signal.SIGKILL)
        run(host.cool())
        host.keep_warm(False)


def test_streams_and_exit_codes_come_apart(box: Sandbox) -> None:
    result = box.exec("printf out; printf err >&2; exit 5")
    assert (result.exit_code, result.stdout, result.stderr) == (5, b"out", b"err")


def test_every_byte_survives_in_arguments_and_environment(box: Sandbox) -> None:
    every = bytes(range(1, 256))
    result = box.exec(["printf", "%s|%s", every, b"-n"], env={"ALL": every.decode("utf-8", "surrogateescape")})
    assert result.stdout == every + b"|-n"
    assert box.exec('printf %s "$ALL"', env={"ALL": every.decode("utf-8", "surrogateescape")}).stdout == every


@pytest.mark.parametrize("size", [1, 65536, 65537, 1_000_003])
def test_known_input_arrives_whole_and_ends(box: Sandbox, size: int) -> None:
    data = os.urandom(size)
    assert box.exec(["cat"], input=data).stdout == data


def test_unread_input_holds_nothing_up(box: Sandbox) -> None:
    assert box.exec(["true"], input=b"x" * 3_000_000, timeout=20).exit_code == 0
    assert box.exec(["dd", "bs=3", "count=1"], input=b"abcdef" * 500_000).stdout == b"abc"


def test_a_long_text_runs_in_the_shell_that_was_asked_for(box: Sandbox) -> None:
    text = "cat; printf '%s ' $$; : " + "x" * 300_000 + "\nread -r one < /proc/self/stat; echo ${one%% *}"
    first, second = box.exec(text, input=b"in ").text.removeprefix("in ").split()
    assert first == second


def test_a_missing_program_is_127_and_a_forbidden_one_126(box: Sandbox) -> None:
    assert box.exec(["/missing"]).exit_code == 127
    assert box.exec(["no-such-program"]).exit_code == 127
    assert box.exec(["/etc/passwd"]).exit_code == 126
    assert box.exec(["--odd"]).exit_code == 127
    assert box.exec(["sh", "-c", "exit 126"]).exit_code == 126


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGKILL, signal.SIGSEGV, signal.SIGPIPE])
def test_death_by_a_signal_is_128_and_its_number(box: Sandbox, number: int) -> None:
    assert box.exec(["sh", "-c", f"kill -{int(number)} $$; sleep 5"]).exit_code == 128 + number


def test_signals_to_the_group_do_not_reach_the_launcher(box: Sandbox) -> None:
    assert box.exec(["sh", "-c", "trap '' TERM; kill 0; exit 6"]).exit_code == 6
    assert box.exec(["sh", "-c", "trap '' TERM; kill 0; exit 6"], input=b"x").exit_code == 6


def test_a_launcher_killed_by_its_command_is_an_error_of_its_own(box: Sandbox) -> None:
    with pytest.raises(StatusUnreported) as caught:
        box.exec(["sh", "-c", "echo before; kill -9 $PPID"])
    assert caught.value.dispatched is True
    assert caught.value.stdout == b"before\n"


def test_a_stopped_launcher_is_continued_at_the_timeout(box: Sandbox) -> None:
    with pytest.raises(CommandTimeout) as caught:
        box.exec("kill -STOP $PPID; sleep 61", timeout=0.3)
    assert caught.value.killed is True


@pytest.mark.parametrize(
    "tree",
    [
        "sleep {0} & sleep {0}",
        "setsid sleep {0} & sleep {0}",
        "(setsid sh -c 'sleep {0} & sleep {0}' &) ; sleep {0}",
        "trap '' TERM INT HUP; sleep {0}; sleep {0}",
        "env -i setsid sleep {0} & sleep {0}",
        # As su does it, which waits for its child.
        "(ulimit -S -x 7 2>/dev/null || ulimit -S -w 7; setsid sh -c 'sleep {0}; :'; :); :",
    ],
)
def test_a_timeout_ends_the_whole_tree(box: Sandbox, tree: str) -> None:
    # The number tells this test's processes from all others.
    number = str(60 + time.time_ns() % 10**9 / 10**9)
    timeout = long_timeout()
    with box.spawn(tree.format(number), timeout=timeout) as process:
        while not alive(number):
            process.wait(0.01)
        expire(timeout)
        with pytest.raises(CommandTimeout) as caught:
            process.wait()
    assert caught.value.killed is True
    assert alive(number) == []


def test_nothing_of_the_launcher_stays_after_a_command(box: Sandbox, host: HostShell) -> None:
    timeout = long_timeout()
    marker = f"{timeout:.0f}"
    # Many, since what may go wrong is a race between the watchdog's start and its end.
    for _ in range(30):
        box.exec(["true"], timeout=timeout)
        host.processes[-1].wait(timeout=10)
    # What was killed a moment ago may not have noticed on a busy machine; what was missed sleeps for days.
    limit = time.monotonic() + 10
    while alive(marker) and time.monotonic() < limit:
        time.sleep(0.01)
    assert alive(marker) == []


def test_a_shell_whose_channel_closes_ends(host: HostShell) -> None:
    async def open_and_drop() -> None:
        channel = await host.open_channel("host", BOOTSTRAP, user=None, urgent=False, until=None)
        await channel.close()

    run(open_and_drop())
    assert host.processes[-1].wait(timeout=10) != 0


@pytest.mark.parametrize("name", ["UID", "EUID", "PPID", "GROUPS", "SHELLOPTS", "BASH_VERSINFO", "RANDOM", "OPTIND"])
def test_a_variable_of_the_shells_own_is_what_was_given(box: Sandbox, name: str) -> None:
    result = box.exec(["env"], env={name: "it's 7", "OTHER": "x"})
    assert result.exit_code == 0
    assert {f"{name}=it's 7", "OTHER=x"} <= set(result.text.splitlines())


def test_a_variable_called_like_one_of_the_launchers_is_only_the_commands(box: Sandbox) -> None:
    for name in ("__t", "__l", "__sid", "__start", "__m", "__d", "__s"):
        result = box.exec(f'printf %s "${name}"', env={name: "value"}, cwd="/")
        assert (name, result.exit_code, result.stdout) == (name, 0, b"value")


@pytest.mark.parametrize("missing", [1.0, 0.9, 0.5, 100, 3, 2, 1])
def test_a_script_cut_short_runs_nothing(host: HostShell, tmp_path: Path, missing: float) -> None:
    trace = tmp_path / "ran"
    script = frame(command_script(Command(argv=(b"touch", bytes(trace))), Ticket()))
    argv = [*host.shell, *BOOTSTRAP[1:]]
    cut = missing if isinstance(missing, int) else int(len(script) * missing)
    subprocess.run(argv, input=script[:-cut], capture_output=True, env={"PATH": host.path})
    assert not trace.exists()
    subprocess.run(argv, input=script, capture_output=True, env={"PATH": host.path})
    assert trace.exists()


def test_a_missing_directory_is_an_error_of_its_own(box: Sandbox) -> None:
    with pytest.raises(WorkingDirectoryError) as missing:
        box.exec(["true"], cwd="/no/such/place")
    assert missing.value.errno == 2
    with pytest.raises(WorkingDirectoryError) as odd:
        box.exec(["true"], cwd="/etc/passwd")
    assert odd.value.errno == 20
    assert box.exec(["pwd"], cwd="/usr").stdout == b"/usr\n"


def test_arguments_that_the_kernel_refuses_are_an_error_of_their_own(box: Sandbox) -> None:
    with contextlib.suppress(ArgumentsTooLong):
        # busybox runs its applets without execve, so there is nothing for the kernel to refuse.
        assert box.exec(["true", *["x" * 120_000] * 60]).exit_code == 0


def test_a_background_child_neither_holds_up_nor_is_harmed(box: Sandbox, tmp_path: Path) -> None:
    go, trace = tmp_path / "go", tmp_path / "later"
    result = box.exec(f"(until [ -e {go} ]; do sleep 0.05; done; echo later > {trace}) & echo now")
    assert result.stdout == b"now\n"
    go.touch()
    limit = time.monotonic() + 20
    while not trace.exists():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_non_blocking_output_left_behind_loses_nothing(box: Sandbox) -> None:
    program = (
        "import os;os.set_blocking(1,False)\nn=0\nwhile n<200000:\n"
        " try: n+=os.write(1,b'x'*1000)\n except BlockingIOError: pass"
    )
    assert len(box.exec(["/usr/bin/python3", "-c", program]).stdout) >= 200_000


def test_an_unknown_sandbox_is_an_error_at_once(host: HostShell) -> None:
    client = Client(AsyncClient(host, "test"))
    with pytest.raises(SandboxNotFound):
        client.get("other")


def test_one_command_opens_one_channel(box: Sandbox, host: HostShell) -> None:
    before = host.opened
    box.exec(["cat"], input=b"x" * 100_000, timeout=10)
    assert host.opened == before + 1


def test_the_token_is_in_no_argument_and_no_environment(box: Sandbox) -> None:
    # The watchdog may become a shell of its own only after the command has begun.
    timeout = long_timeout()
    script = (
        f'until grep -qs "{timeout // 10:.0f}[{timeout % 10:.0f}]" /proc/[0-9]*/cmdline; do sleep 0.05; done; '
        "cat /proc/[0-9]*/cmdline /proc/$PPID/environ /proc/self/environ; true"
    )
    seen = box.exec(script, timeout=timeout).stdout
    assert b"__scan" in seen
    assert Ticket().token[:1] == b"K"
    assert not any(len(word) == 33 and word.startswith(b"K") for word in seen.replace(b"\0", b" ").split())
