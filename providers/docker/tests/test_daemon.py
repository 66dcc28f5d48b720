"""A daemon that is gone, refuses, stalls or drops connections."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.options import ConnectOptions

import sandboxkit
from sandboxkit.errors import (
    DeadlineExceeded,
    ProviderError,
)
from sandboxkit.sync import Client

from .conftest import USUAL, eventually
from .proxy import Proxy


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[str]:
    """A socket that takes connections and never answers."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "mute.sock"))
        listener.listen(16)
        yield f"unix://{tmp_path}/mute.sock"


def test_a_daemon_that_never_answers_is_given_up_at_the_deadline(mute: str) -> None:
    with sandboxkit.connect("docker", image=USUAL, base_url=mute, timeout=0.3) as client:
        for call in (lambda: client.get("x"), lambda: list(client.list()), lambda: client.delete("f" * 64)):
            with pytest.raises(DeadlineExceeded):
                call()
        with pytest.raises(DeadlineExceeded):
            client.create(ttl=60).__enter__()


def test_something_else_at_the_address_is_said(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "other.sock"))
        listener.listen(16)

        def serve() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(4096)
                peer.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        daemon = Daemon(ConnectOptions(base_url=f"unix://{tmp_path}/other.sock"))
        with pytest.raises(ProviderError, match="no Docker daemon of API version"):
            daemon.request("GET", "/info", until=None)
        daemon.close()
        thread.join(10)


def test_a_daemon_that_stalls_under_a_command_does_not_hold_its_timeout(
    through: Client, proxy: Proxy, client: Client
) -> None:
    with through.create(ttl=120) as box:
        proxy.decide = lambda method, target: "stall"
        started = time.monotonic()
        with pytest.raises((sandboxkit.CommandTimeout, DeadlineExceeded)):
            box.exec("true", timeout=1)
        assert time.monotonic() - started < 60, "it came back by itself"
        proxy.decide = lambda method, target: "pass"
        assert box.exec("echo on", timeout=30).text == "on\n"


def test_many_stalled_calls_do_not_hold_up_another(through: Client, proxy: Proxy) -> None:
    daemon = Daemon(ConnectOptions(base_url=proxy.url))
    with through.create(ttl=120) as box, ThreadPoolExecutor(30) as pool:
        proxy.decide = lambda method, target: "stall_reply" if target.endswith("/json") else "pass"

        def stalled(_: int) -> BaseException | None:
            with pytest.raises(DeadlineExceeded) as caught:
                daemon.request("GET", f"/containers/{box.id}/json", until=time.monotonic() + 5)
            return caught.value

        calls = [pool.submit(stalled, n) for n in range(30)]
        assert box.exec("echo on", timeout=60).text == "on\n"
        assert all(call.result() for call in calls)
    daemon.close()


def test_a_connection_that_the_daemon_dropped_while_idle_is_made_anew(through: Client, proxy: Proxy) -> None:
    with through.create(ttl=120) as box:
        assert box.exec("true").exit_code == 0
        proxy.drop()
        assert box.exec("echo on").text == "on\n"


def test_a_broken_stream_is_never_an_exit_code(through: Client, proxy: Proxy) -> None:
    with through.create(ttl=120) as box, box.spawn("echo started; sleep 600") as process:
        assert next(iter(process)).data == b"started\n"
        proxy.drop()
        with pytest.raises(sandboxkit.CommandLost) as caught:
            process.wait()
    assert caught.value.dispatched is True


def stopped(pid: int) -> bool:
    """Tell whether every thread of a process is stopped."""
    stats = [(task / "stat").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return all(stat.rpartition(")")[2].split()[0] == "T" for stat in stats)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to stop the daemon")
def test_a_stopped_daemon_is_survived(client: Client, remains: Any) -> None:
    pidfile = Path("/var/run/docker.pid")
    pid = int(pidfile.read_text()) if pidfile.exists() else 0
    comm = Path(f"/proc/{pid}/comm")
    if not pid or not comm.exists() or comm.read_text().strip() != "dockerd":
        pytest.skip("the daemon's process is not known")
    # Whatever becomes of this test, the daemon goes on.
    script = f"sleep 15; kill -CONT {pid}"
    with client.create(ttl=120) as box, subprocess.Popen(["sh", "-c", script], start_new_session=True) as safety:
        impatient = sandboxkit.connect("docker", timeout=1.0, owner=remains.owner)
        impatient.get(box.id)
        try:
            os.kill(pid, signal.SIGSTOP)
            # The signal reaches its threads one after the other.
            eventually(lambda: stopped(pid), "the daemon stops")
            with pytest.raises(DeadlineExceeded):
                impatient.get(box.id)
            with pytest.raises(DeadlineExceeded) as caught:
                impatient.create(image=USUAL, ttl=20, idempotency_key="stalled").__enter__()
        finally:
            os.kill(pid, signal.SIGCONT)
            os.killpg(safety.pid, signal.SIGKILL)
            impatient.close()
        assert caught.value.leftover == "stalled"
        assert box.exec("echo on").text == "on\n"
    # What the stopped daemon was asked for came to be after all: that is what ``leftover`` says.
    eventually(lambda: remains() == ["created"], "the leftover")


def test_what_outlives_its_client_can_still_be_deleted(daemon: Daemon) -> None:
    with sandboxkit.connect("docker", image=USUAL) as client:
        box = client.create(ttl=60).__enter__()
    assert box.delete()
    client.close()
