"""Commands on terminals by the launcher, on every shell that is found here, and what their start needs."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import CommandTimeout, InvalidCommand, ProviderError, Unsupported, WorkingDirectoryError
from sandboxkit.provider import ByteChannel
from sandboxkit.sync import Client, Process, Sandbox
from sandboxkit.worlds import BlockingWorld
from tests.support.expiry import expire, long_timeout
from tests.support.hostshell import HostShell, busybox_applets, shells
from tests.support.hostterminal import HostTerminal
from tests.test_launched import Slow
from tests.test_launcher import alive

SHELLS = dict(shells())
SIZE = (33, 101)


@pytest.fixture(scope="module", params=["dash", "bash", "busybox"])
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostTerminal]:
    if request.param not in SHELLS:
        pytest.skip(f"no {request.param} on this machine")
    path = busybox_applets(tmp_path_factory.mktemp("applets")) if request.param == "busybox" else None
    provider = HostTerminal(BlockingWorld(), SHELLS[request.param], path)
    yield provider
    run(provider.close())


@pytest.fixture
def box(host: HostTerminal) -> Sandbox:
    return Client(AsyncClient(host, "test")).get("host")


def rest(process: Process) -> bytes:
    return b"".join(chunk.data for chunk in process)


def upto(process: Process, text: bytes) -> bytes:
    seen = b""
    for chunk in process:
        seen += chunk.data
        if text in seen:
            return seen
    raise AssertionError(f"ended after {seen!r}")


def test_a_program_finds_a_terminal_of_its_size_and_kind(box: Sandbox) -> None:
    script = "stty size; echo $TERM; test -t 0 && test -t 1 && test -t 2 && echo all; : </dev/tty && echo own; exit 5"
    with box.spawn(script, terminal=SIZE) as process:
        assert rest(process) == b"33 101\r\nxterm-256color\r\nall\r\nown\r\n"
        assert process.wait() == 5


def test_the_terminals_settings_are_the_usual_ones(box: Sandbox) -> None:
    with box.spawn(["cat"], terminal=SIZE) as process:
        process.write("typed\n")
        # Echoed, edited by lines, and newlines become CR LF.
        assert upto(process, b"typed\r\ntyped\r\n") == b"typed\r\ntyped\r\n"
        process.write("xy\x7fz\n")
        upto(process, b"xz\r\n")
        process.write(b"\x04")
        assert process.wait() == 0


def test_what_a_raw_terminal_is_sent_and_gives_is_exact(box: Sandbox) -> None:
    every = bytes(range(256)) * 300
    script = f"stty raw -echo; echo ready; dd bs=1000 count={len(every) // 1000 + 1} iflag=fullblock 2>/dev/null"
    with box.spawn(script, terminal=SIZE) as process:
        upto(process, b"ready\n")
        data = every + bytes(1000 - len(every) % 1000)
        process.write(data)
        assert rest(process) == data
        assert process.wait() == 0


def test_nothing_of_the_script_is_shown(box: Sandbox) -> None:
    with box.spawn(["printf", "only"], terminal=SIZE, env={"SECRET": "value"}) as process:
        assert rest(process) == b"only"


def test_a_text_that_is_too_long_for_an_argument_runs(box: Sandbox) -> None:
    with box.spawn(
        ": " + "x" * 300_000 + "\ntty >/dev/null && read x; echo got $x; exit 4", terminal=SIZE
    ) as process:
        process.write("it\n")
        assert (rest(process), process.wait()) == (b"it\r\ngot it\r\n", 4)


def test_a_resize_reaches_the_program(box: Sandbox) -> None:
    script = "trap 'stty size; exit 6' WINCH; echo ready; while :; do sleep 0.1 || sleep 1; done"
    with box.spawn(script, terminal=SIZE) as process:
        upto(process, b"ready\r\n")
        process.resize(10, 20)
        upto(process, b"10 20\r\n")
        assert process.wait() == 6
    process.resize(11, 22)  # it has ended: nothing happens


def test_control_characters_are_the_programs(box: Sandbox) -> None:
    with box.spawn(
        "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.1; done", terminal=SIZE
    ) as p:
        upto(p, b"ready\r\n")
        p.write(b"\x03")
        upto(p, b"interrupted\r\n")
        assert p.wait() == 6
    with box.spawn(["sleep", "600"], terminal=SIZE) as p:
        p.write(b"\x03")
        assert p.wait() == 130


@pytest.mark.parametrize("code", [0, 1, 126, 127, 129, 255])
def test_exit_codes_are_exact(box: Sandbox, code: int) -> None:
    with box.spawn(f"exit {code}", terminal=SIZE) as process:
        assert process.wait() == code


@pytest.mark.parametrize("disorder", ["stty -opost -icanon olcuc tostop", "exec <&- >&- 2>&-", "set -m; kill -9 $$"])
def test_an_end_is_told_however_the_terminal_was_left(box: Sandbox, disorder: str) -> None:
    with box.spawn(f"{disorder}; exit 9", terminal=SIZE) as process:
        assert process.wait(timeout=20) == (137 if "kill" in disorder else 9)


def test_an_end_is_told_on_a_stopped_terminal(box: Sandbox) -> None:
    with box.spawn("echo ready; read x; exit 9", terminal=SIZE) as process:
        upto(process, b"ready\r\n")
        process.write(b"\x13\n")
        assert process.wait(timeout=20) == 9


def test_a_timeout_and_a_kill_end_the_tree(box: Sandbox) -> None:
    number = str(10**7 + time.monotonic_ns() % 10**7)
    script = f"trap '' HUP; setsid sleep {number} & (trap '' TERM HUP; sleep {number}) & echo ready; sleep {number}"
    timeout = long_timeout()
    with box.spawn(script, terminal=SIZE, timeout=timeout) as process:
        upto(process, b"ready\r\n")
        expire(timeout)
        with pytest.raises(CommandTimeout) as caught:
            process.wait()
    assert caught.value.killed is True
    assert alive(number) == []
    with box.spawn(script, terminal=SIZE) as process:
        upto(process, b"ready\r\n")
        assert alive(number)
        assert process.kill() is True
        assert alive(number) == []


def test_a_directory_that_is_missing_is_an_error_of_its_own(box: Sandbox) -> None:
    with pytest.raises(WorkingDirectoryError):
        box.spawn("true", terminal=SIZE, cwd="/no/such").wait()


def test_the_watcher_hangs_up_when_its_client_is_gone(host: HostTerminal, box: Sandbox) -> None:
    number = str(10**7 + time.monotonic_ns() % 10**7)
    script = f"(trap '' HUP; echo kept; exec sleep {number}1) & sleep {number}2 & sleep {number}3"
    process = box.spawn(script, terminal=SIZE)
    upto(process, b"kept\r\n")
    while not all(alive(f"sleep\0{number}{last}") for last in "123"):
        process.wait(0.01)
    assert alive(number)
    # As when the client dies: nothing is said, the channels are gone.
    channel = process._async._channel
    run(channel.watcher.close())  # type: ignore[attr-defined]
    assert process.wait(timeout=20) == 129
    limit = time.monotonic() + 20
    while alive(number + "2") and time.monotonic() < limit:  # it may not have heard yet
        time.sleep(0.01)
    left = alive(number)
    assert [pid for pid in left if alive(number + "1") != [pid]] == []
    for pid in left:
        os.kill(pid, signal.SIGKILL)


def test_a_channel_that_gets_no_script_ends_by_itself(host: HostTerminal) -> None:
    async def start() -> int:
        from sandboxkit.launcher import TERMINAL_BOOTSTRAP

        await host.open_terminal(TERMINAL_BOOTSTRAP)
        return host.processes[-1].wait(timeout=30)

    run(start())


def test_an_image_without_stty_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    host = HostTerminal(BlockingWorld(), SHELLS["dash"], str(tmp_path_factory.mktemp("empty")))
    with pytest.raises(ProviderError, match="stty"):
        Client(AsyncClient(host, "test")).get("host").spawn("true", terminal=SIZE)
    run(host.close())


def test_what_cannot_be_is_refused(box: Sandbox) -> None:
    for size in [(0, 80), (24, 70_000), (24.0, 80), (True, 80), "24x80", (24,), 24]:
        with pytest.raises(InvalidCommand):
            box.spawn("true", terminal=size)  # type: ignore[arg-type]
    with box.spawn("true") as process, pytest.raises(InvalidCommand, match="terminal=") as caught:
        process.resize(24, 80)
    assert "spawn" in str(caught.value)
    with box.spawn("read x", terminal=SIZE) as process:
        with pytest.raises(InvalidCommand, match="Ctrl-D"):
            process.close_stdin()
        with pytest.raises(InvalidCommand):
            process.resize(0, 80)


def test_without_the_capability_nothing_is_sent() -> None:
    host = HostShell(BlockingWorld())
    with pytest.raises(Unsupported) as caught:
        Client(AsyncClient(host, "test")).get("host").spawn("true", terminal=SIZE)
    assert caught.value.capability == "pty"
    assert host.opened == 0


class SlowToSend(HostTerminal):
    """Whose plain channels are followed by a client that is held up after it has sent something."""

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        return Slow(await super().open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until))


def test_a_watcher_that_has_closed_its_output_already_is_there() -> None:
    host = SlowToSend(BlockingWorld(), SHELLS.get("dash", ("/bin/sh",)))
    with Client(AsyncClient(host, "test")).get("host").spawn("echo on", terminal=SIZE) as process:
        assert rest(process) == b"on\r\n"
    run(host.close())
