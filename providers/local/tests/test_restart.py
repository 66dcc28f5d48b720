"""Restarting: what stays, what goes, and what a sandbox may have prepared for it."""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit import Status
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local import locks


def _text(box: Sandbox, command: str) -> str:
    result = box.exec(command)
    assert result.exit_code == 0, result.stderr_text
    return result.text


def test_the_plan_is_its_owners_alone(client: Client, state: Path) -> None:
    with client.create(ttl=60, env={"GIVEN": "hushhush"}) as box:
        plan = state / box.id / "plan"
        assert stat.S_IMODE(plan.stat().st_mode) == 0o600
        assert b"hushhush" in plan.read_bytes()
        box.restart()
        assert _text(box, "echo $GIVEN") == "hushhush\n"


def test_what_the_sandbox_put_in_the_way_leads_nowhere(box: Sandbox, state: Path, tmp_path: Path) -> None:
    target = tmp_path / "outside"
    target.mkdir(mode=0o700)
    inode = (state / box.id / "tmp").stat()
    for name in ("cache", "lib", "log", "tmp"):
        _text(box, f"rm -rf /var/{name}; ln -s {target} /var/{name}")
    _text(box, "chmod 700 /tmp; rm -f /var/run; ln -s /etc /var/run")
    box.restart()
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert list(target.iterdir()) == []
    assert _text(box, "readlink /var/tmp; stat -c %a /tmp") == f"{target}\n700\n"
    assert (state / box.id / "tmp").stat().st_ino == inode.st_ino


def test_one_that_has_stopped_is_started(client: Client, box: Sandbox, first_pid: Callable[[str], int]) -> None:
    box.files.write("kept", b"kept")
    os.kill(first_pid(box.id), signal.SIGKILL)
    while box.info().status is Status.RUNNING:
        time.sleep(0.01)
    assert box.info().status is Status.STOPPED
    with pytest.raises(sandboxkit.SandboxNotRunning):
        box.exec(["true"])
    assert box.restart().status is Status.RUNNING
    assert box.files.read("kept") == b"kept"
    assert "reason" not in box.info().details


def test_an_extended_deadline_outlives_a_restart(box: Sandbox) -> None:
    extended = box.extend(500).expires_at
    box.restart()
    assert box.info().expires_at == extended


def test_past_its_deadline_it_stays_stopped(client: Client) -> None:
    with client.create(ttl=0.5) as box:
        time.sleep(0.6)
        while box.info().status is Status.RUNNING:
            time.sleep(0.01)
        with pytest.raises(sandboxkit.SandboxNotRunning, match="deadline"):
            box.restart()


def test_a_sandbox_that_cannot_be_built_again_stays_with_its_files(client: Client, state: Path) -> None:
    with client.create(ttl=60, cwd="/workspace/place") as box:
        box.files.write("/workspace/kept", b"kept")
        _text(box, "cd / && rmdir /workspace/place && touch /workspace/place")
        with pytest.raises(sandboxkit.SandboxError):
            box.restart()
        assert box.info().status is Status.STOPPED
        (state / box.id / "workspace" / "place").unlink()
        assert box.restart().status is Status.RUNNING
        assert box.files.read("/workspace/kept") == b"kept"


def test_a_restart_waits_for_who_holds_the_sandbox(client: Client, box: Sandbox, state: Path) -> None:
    lock = os.open(state / box.id / "lock", os.O_RDWR)
    try:
        assert locks.hold_while_open(lock, locks.CREATING)
        with pytest.raises(sandboxkit.DeadlineExceeded):
            _restart_within(client, box.id, 0.5)
    finally:
        os.close(lock)
    assert box.restart().status is Status.RUNNING


def _restart_within(client: Client, sandbox_id: str, seconds: float) -> None:
    from sandboxkit.driver import run

    provider = client._async.provider
    run(provider.restart(sandbox_id, until=provider.world.now() + seconds))  # type: ignore[attr-defined]


@pytest.mark.parametrize("isolation", ["namespaces", "none"])
def test_both_kinds_of_isolation_restart(state: Path, isolation: str) -> None:
    with sandboxkit.connect("local", state_dir=str(state), isolation=isolation) as client, client.create() as box:
        _text(box, "sleep 60 >/dev/null 2>&1 & echo started")
        box.files.write("kept", b"kept")
        box.restart()
        assert box.files.read("kept") == b"kept"
