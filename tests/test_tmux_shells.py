"""The session programs on dash, bash and busybox's ash with busybox's tools, the latter without tmux."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from sandboxkit.client import AsyncClient
from sandboxkit.driver import run
from sandboxkit.errors import SessionError, SessionExists, TmuxUnavailable
from sandboxkit.model import Command, TmuxStatus
from sandboxkit.provider import ProcessChannel
from sandboxkit.sync import Client, Tmux
from tests.support.shellbox import SHELLS, ShellBox, entries, make_box

LIMIT = 20.0
FIRST_PROCESS = Path("/proc/1/stat").read_text().rpartition(") ")[2].split()[19]
STATE = f".sandboxkit-{os.geteuid()}-{FIRST_PROCESS}"


@pytest.fixture(scope="module", params=SHELLS)
def box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShellBox]:
    made = make_box(request.param, tmp_path_factory)
    shell = b" ".join(map(os.fsencode, made.program))
    original = made.start_process

    async def start_process(sandbox_id: str, command: Command, *, until: float | None) -> ProcessChannel:
        # What a session program starts itself is to run in the same shell.
        argv = tuple(
            word.replace(b"exec /bin/sh", b"exec " + shell).replace(b"setsid /bin/sh", b"setsid " + shell)
            for word in command.argv or ()
        )
        return await original(sandbox_id, attrs.evolve(command, argv=argv), until=until)

    made.start_process = start_process  # type: ignore[method-assign]
    yield made
    run(made.close())


@pytest.fixture
def state(tmp_path_factory: pytest.TempPathFactory, box: ShellBox) -> Path:
    directory = tmp_path_factory.mktemp("s")
    box.env = {"TMPDIR": str(directory)}
    return directory


@pytest.fixture
def tmux(box: ShellBox, state: Path) -> Iterator[Tmux]:
    sessions = Client(AsyncClient(box, "test")).get("host").tmux
    yield sessions
    for info in sessions.list():
        sessions.get(info.name).kill()
    assert entries(state) == []


def test_a_session_runs_and_is_forgotten_when_killed(tmux: Tmux, state: Path) -> None:
    session = tmux.start("printf out; exit 3", name="one", echo=False)
    assert entries(state) == [STATE]
    assert (state / STATE).stat().st_mode & 0o7777 == 0o700
    found = session.wait(LIMIT)
    assert (found.status, found.exit_code, found.output) == (TmuxStatus.COMPLETED, 3, b"out")
    with pytest.raises(SessionExists):
        tmux.start("true", name="one")
    session.kill()
    assert entries(state) == []


def test_bytes_of_any_kind_and_number_reach_the_log(tmux: Tmux, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    (tmp_path / "bytes").write_bytes(data)
    session = tmux.start(["cat", str(tmp_path / "bytes")], echo=False)
    assert session.wait(LIMIT).output == data
    capped = tmux.start(["cat", str(tmp_path / "bytes")], echo=False, log_limit=1_000_000)
    found = capped.wait(LIMIT)
    assert (found.truncated, found.offset) == (True, len(data))
    assert 500_000 <= len(found.output) <= 1_000_000
    assert data.endswith(found.output)


def test_a_long_text_and_odd_values_arrive(tmux: Tmux) -> None:
    every = bytes(range(1, 256)).decode("utf-8", "surrogateescape")
    text = ": " + "x" * 200_000 + '\nprintf %s "$ALL"; [ $$ = "$(exec sh -c \'echo $PPID\')" ]'
    found = tmux.start(text, env={"ALL": every, "n": "kept"}, echo=False).wait(LIMIT)
    assert (found.exit_code, found.output) == (0, bytes(range(1, 256)))


def test_variables_that_the_programs_use_are_not_changed(box: ShellBox, tmux: Tmux) -> None:
    names = ("n", "t", "m", "h", "e", "s", "r", "i", "x", "d", "l", "M", "S", "B", "A", "mode", "id")
    box.env.update(dict.fromkeys(names, "kept"))
    found = tmux.start("printf '%s ' " + " ".join(f'"${name}"' for name in names), echo=False).wait(LIMIT)
    assert found.text == "kept " * len(names)


def test_values_and_commands_are_in_no_argument_and_no_file(tmux: Tmux, state: Path) -> None:
    secret, control = f"secret-{os.urandom(8).hex()}", f"control-{os.urandom(8).hex()}"
    session = tmux.start(["sh", "-c", "printf up; sleep 60; :", control], env={"VALUE": secret}, echo=False)
    while session.poll().output != b"up":
        time.sleep(0.02)

    def seen(text: str) -> bool:
        return any(text.encode() in read(path) for path in Path("/proc").glob("[0-9]*/cmdline"))

    assert seen(control)
    assert not seen(secret)
    assert not any(secret.encode() in read(path) for path in state.rglob("*") if path.is_file())


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_a_runner_that_was_killed_leaves_no_exit_code(tmux: Tmux, state: Path) -> None:
    session = tmux.start("printf out; sleep 60", name="victim", echo=False)
    while session.poll().output != b"out":
        time.sleep(0.02)
    os.killpg(int((state / STATE / "victim" / "pid").read_text().split()[0]), signal.SIGKILL)
    found = session.wait(LIMIT)
    assert (found.status, found.exit_code, found.output) == (TmuxStatus.COMPLETED, None, b"out")


def test_anothers_directory_or_symlink_is_passed_over(tmux: Tmux, state: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    (state / STATE).symlink_to(trap)
    session = tmux.start("true", echo=False)
    try:
        assert session.wait(LIMIT).exit_code == 0
        assert entries(trap) == []
    finally:
        session.kill()
        (state / STATE).unlink()
    if os.geteuid() == 0:
        (state / STATE).mkdir()
        os.chown(state / STATE, 65534, 65534)
        session = tmux.start("true", echo=False)
        assert session.wait(LIMIT).exit_code == 0
        assert entries(state / STATE) == []
        session.kill()
        (state / STATE).rmdir()


def test_what_a_restart_brought_along_is_no_session_and_goes(tmux: Tmux, state: Path) -> None:
    old = state / f".sandboxkit-{os.geteuid()}-1"
    (old / "old").mkdir(parents=True)
    (old / "old" / "conf").write_text("plain Kx 4 5 echo 6\n")
    assert tmux.list() == []
    tmux.start("true", name="old").kill()
    assert entries(state) == []


def test_a_tmux_that_does_not_work_is_said_and_nothing_runs(
    box: ShellBox, tmux: Tmux, state: Path, tmp_path: Path
) -> None:
    fake = tmp_path / "tmux"
    fake.write_text("#!/bin/sh\necho 'need UTF-8 locale' >&2\nexit 1\n")
    fake.chmod(0o755)
    box.env["PATH"] = f"{tmp_path}:{box.path}"
    with pytest.raises(TmuxUnavailable, match="need UTF-8 locale"):
        tmux.start(f"touch {tmp_path}/ran")
    assert not (tmp_path / "ran").exists()
    assert tmux.list() == []
    assert entries(state) in ([], [STATE])
    if entries(state):
        (state / STATE).rmdir()


def test_nowhere_to_keep_a_session_is_an_error(box: ShellBox, tmux: Tmux, monkeypatch: pytest.MonkeyPatch) -> None:
    from sandboxkit import tmux as module

    nowhere = module.__dict__["START"].replace("/tmp /var/tmp /dev/shm /run", "/proc /sys")
    monkeypatch.setattr(module, "START", nowhere)
    box.env = {"TMPDIR": "relative", "HOME": "/no/such"}
    monkeypatch.chdir("/proc")
    with pytest.raises(SessionError, match="no directory"):
        tmux.start("true")
    box.env = {"TMPDIR": "/no/such"}


def test_waiting_may_take_many_looks(tmux: Tmux, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandboxkit.session.SLICE", 0.3)
    session = tmux.start("printf one; sleep 1; printf two; exit 4", echo=False)
    found = session.wait()
    assert (found.status, found.exit_code, found.output) == (TmuxStatus.COMPLETED, 4, b"onetwo")
