"""Restarting containers: what the daemon forgets, and those that do not run."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest
from sandboxkit_docker import DockerOptions, restarting
from sandboxkit_docker.daemon import Answer, Daemon

from sandboxkit.errors import ProviderError, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import Status
from sandboxkit.sync import Client, Sandbox

from .conftest import BUSYBOX, eventually


@pytest.mark.parametrize("user", [None, "65534", "65534:65534"])
def test_a_tmpfs_has_its_mode_and_owner_again(client: Client, user: str | None) -> None:
    options = DockerOptions(read_only=True, tmpfs={"/work": "size=16m,mode=1777", "/own": "mode=700"})
    with client.create(image=BUSYBOX, user=user, cwd="/work", ttl=120, options=options) as box:
        look = "stat -c '%a %u' /work /own"
        before = box.exec(look).text
        assert before.startswith("1777 ")
        box.files.write("gone", b"x")
        box.restart()
        assert box.exec(look).text == before
        assert not box.files.exists("gone")
        box.files.write("new", b"x")


@pytest.mark.parametrize("word", ["stop?t=0", "pause"])
def test_one_that_does_not_run_is_started(daemon: Daemon, box: Sandbox, word: str) -> None:
    box.files.write("/tmp/kept", b"kept")
    assert daemon.request("POST", f"/containers/{box.id}/{word}", until=None).status == 204
    assert box.info().status in (Status.STOPPED, Status.PAUSED)
    assert box.restart().status is Status.RUNNING
    assert box.files.read("/tmp/kept") == b"kept"


@pytest.mark.parametrize("nth", [1, 2])
def test_another_restart_meanwhile_does_no_harm(
    client: Client, daemon: Daemon, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    # How long the other restart takes is not what this is about.
    monkeypatch.setattr(restarting, "SETTLING", 60.0)
    real, looks = restarting.inspect, itertools.count(1)

    def inspect(*args: Any, **kwargs: Any) -> Any:
        """Look while the sandbox is stopped, before its modes or when they are being set; it is up again later."""
        found = real(*args, **kwargs)
        if next(looks) != nth:
            return found
        assert daemon.request("POST", f"/containers/{box.id}/stop", until=None, query={"t": 0}).status == 204
        timer.start()
        return real(*args, **kwargs)

    options = DockerOptions(read_only=True, tmpfs={"/work": "size=16m,mode=1777"})
    with client.create(image=BUSYBOX, cwd="/work", ttl=120, options=options) as box:
        timer = threading.Timer(
            0.3, lambda: daemon.request("POST", f"/containers/{box.id}/restart", until=None, query={"t": 0})
        )
        if nth == 2:
            modes = restarting.set_modes

            def broken(*args: Any, **kwargs: Any) -> None:
                monkeypatch.setattr(restarting, "set_modes", modes)
                raise ProviderError("the other restart ended the program that sets them")

            monkeypatch.setattr(restarting, "set_modes", broken)
        monkeypatch.setattr(restarting, "inspect", inspect)
        assert box.restart().status is Status.RUNNING
        timer.join()
        assert box.exec("stat -c %a /work").text == "1777\n"


@pytest.mark.parametrize("times", [1, 1000])
def test_another_restart_that_ends_it_first_does_no_harm(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    real, refused = Daemon.request, itertools.count()

    def request(self: Daemon, method: str, path: str, **kwargs: Any) -> Any:
        if path.endswith("/restart") and next(refused) < times:
            real(self, "POST", f"/containers/{box.id}/stop", until=None, query={"t": 0})
            return Answer(500, {"message": "Cannot restart container c: Container c is not running"})
        return real(self, method, path, **kwargs)

    monkeypatch.setattr(Daemon, "request", request)
    if times == 1:
        # How long the other restart's stop takes is not what this is about.
        monkeypatch.setattr(restarting, "SETTLING", 60.0)
        assert box.restart().status is Status.RUNNING
    else:
        with pytest.raises(ProviderError, match="500: Cannot restart"):
            box.restart()


def test_one_whose_command_ends_at_once_is_given_as_stopped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    real = restarting.inspect

    def inspect(*args: Any, **kwargs: Any) -> Any:
        # How long it takes to end is not what this is about.
        eventually(lambda: real(*args, **kwargs)["State"]["Status"] == "exited", "its end")
        return real(*args, **kwargs)

    with client.create(command=["sh", "-c", "[ ! -e /again ] || exit 3; touch /again; sleep 600"], ttl=120) as box:
        eventually(lambda: box.files.exists("/again"), "the first start")
        monkeypatch.setattr(restarting, "inspect", inspect)
        info = box.restart()
        assert info.status is Status.STOPPED
        assert info.details["exit_code"] == "3"


def test_a_process_that_ignores_sigterm_does_not_slow_it(client: Client) -> None:
    with client.create(command=["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], ttl=120) as box:
        began = time.monotonic()
        box.restart()
        assert time.monotonic() - began < 8


def test_past_its_deadline_it_stays_stopped(client: Client) -> None:
    with client.create(ttl=1.0) as box:
        time.sleep(1.1)
        with pytest.raises(SandboxNotRunning, match="deadline"):
            box.restart()


def test_what_is_not_there_is_not_found(client: Client) -> None:
    with client.create(ttl=60) as box:
        box.delete()
        with pytest.raises(SandboxNotFound):
            box.restart()
