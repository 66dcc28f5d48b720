"""The first process of a sandbox, on dash, on bash as sh and on busybox ash."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import attrs
import pytest
from sandboxkit_docker import DockerOptions, keepalive
from sandboxkit_docker.daemon import Daemon

import sandboxkit
from sandboxkit.errors import CommandError, SandboxError, SandboxNotRunning
from sandboxkit.model import Status
from sandboxkit.sync import Client, Sandbox

from .conftest import BUSYBOX, PATIENCE, USUAL, eventually

LONGER = (20.0, 60.0)
"""Seconds that another sandbox may live, in turn, after one whose deadline came too early for the test."""


@pytest.fixture(scope="session")
def bash_image(daemon: Daemon, owner: str) -> Iterator[str]:
    """The usual image with bash as its /bin/sh."""
    image = f"sandboxkit-test-bash:{owner}"
    body = {"Image": USUAL, "Cmd": ["ln", "-sf", "bash", "/bin/sh"]}
    made = daemon.request("POST", "/containers/create", until=None, body=body).body["Id"]
    try:
        daemon.request("POST", f"/containers/{made}/start", until=None)
        daemon.request("POST", f"/containers/{made}/wait", until=None)
        repository, tag = image.split(":")
        query = {"container": made, "repo": repository, "tag": tag}
        assert daemon.request("POST", "/commit", until=None, query=query).status == 201
    finally:
        daemon.request("DELETE", f"/containers/{made}", until=None, query={"force": 1})
    yield image
    daemon.request("DELETE", f"/images/{image}", until=None, query={"force": 1})


@pytest.fixture(params=["dash", "bash", "ash"])
def image(request: pytest.FixtureRequest) -> str:
    """An image for each shell."""
    return {"dash": USUAL, "ash": BUSYBOX}.get(request.param) or str(request.getfixturevalue("bash_image"))


def processes(daemon: Daemon, box: Sandbox) -> list[str]:
    """Give the state and name of each process of a sandbox, as the host sees them."""
    answer = daemon.request("GET", f"/containers/{box.id}/top", until=None, query={"ps_args": "-eo pid,stat,comm"})
    assert answer.status == 200, answer
    return [f"{state} {name}" for _, state, name in answer.body["Processes"]]


def status(box: Sandbox) -> Status:
    return box.info().status


def sleeps(daemon: Daemon, box: Sandbox) -> int:
    """Count the sleeps of a sandbox: its timer is two."""
    return sum("sleep" in found for found in processes(daemon, box))


def zombies(box: Sandbox) -> int:
    """Count the processes that have ended and that nobody has reaped, which the daemon does not list."""
    look = "read -r s 2>/dev/null <$p/stat && case ${s##*) } in Z*) n=$((n+1));; esac"
    return int(box.exec(f"n=0; for p in /proc/[0-9]*; do {look}; done; echo $n").text)


@attrs.define(eq=False)
class Life:
    """A sandbox for a block that arranges something and then waits for the deadline.

    What fails after a deadline that came while the block still arranged tells nothing, except in the last life.
    """

    client: Client
    ttl: float
    last: bool
    spec: dict[str, Any]
    told: bool = attrs.field(default=False, init=False)
    """Whether all was arranged before the deadline."""
    _box: Sandbox = attrs.field(init=False)
    _expires_at: float = attrs.field(init=False)

    def __enter__(self) -> Sandbox:
        self._box = self.client.create(ttl=self.ttl, **self.spec).__enter__()
        self._expires_at = self._box.info().expires_at or 0.0
        return self._box

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> bool:
        over = time.time() >= self._expires_at
        self._box.__exit__(kind, exc, tb)
        return isinstance(exc, (AssertionError, SandboxError)) and over and not (self.told or self.last)

    def ends_at_its_deadline(self) -> None:
        """See that it does, and not before."""
        self.told = True
        eventually(lambda: status(self._box) is Status.STOPPED, "the deadline", within=self.ttl + PATIENCE)
        assert self._expires_at <= time.time()


def lives(client: Client, ttl: float, **spec: Any) -> Iterator[Life]:
    """Give a sandbox, and others that live longer while its deadline came first: a busy machine takes its time."""
    for seconds in (ttl, *LONGER):
        life = Life(client, seconds, seconds == LONGER[-1], spec)
        yield life
        if life.told:
            return


def test_it_ends_at_its_deadline_with_every_process(client: Client, image: str) -> None:
    for life in lives(client, 2.0, image=image):
        with life as box, box.spawn("trap '' TERM HUP; while :; do sleep 1; done") as process:
            assert process.exit_code is None
            assert status(box) is Status.RUNNING
            life.ends_at_its_deadline()
            with pytest.raises(SandboxNotRunning) as caught:
                box.exec("true")
            assert caught.value.status == "stopped"


def test_it_reaps_what_others_leave(client: Client, daemon: Daemon, image: str) -> None:
    with client.create(image=image, ttl=120) as box:
        box.exec("for n in 1 2 3 4 5; do (sleep 0.1 & exec true); done; (sh -c 'sleep 0.2 & sleep 0.1' &)")

        def is_tidy() -> bool:
            # The first process, its timer and that one's two sleeps. A runner that found no orphans any more stays.
            return sleeps(daemon, box) == 2 and len(processes(daemon, box)) <= 5 and zombies(box) == 0

        eventually(is_tidy, "the orphans' end, and no zombies")


def test_killing_everything_inside_leaves_it_up_with_a_new_timer(client: Client, daemon: Daemon, image: str) -> None:
    for life in lives(client, 6.0, image=image):
        with life as box:
            # A control: there is a timer to kill.
            eventually(lambda: sleeps(daemon, box) == 2, "the timer")
            with contextlib.suppress(CommandError):
                box.exec("kill -9 -1; :")
            eventually(lambda: sleeps(daemon, box) == 2, "a new timer")
            assert box.exec("echo up").text == "up\n"
            life.ends_at_its_deadline()


def test_a_terminated_first_process_ends_at_once(client: Client, image: str) -> None:
    with client.create(
        image=image, ttl=120, command=["/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done"]
    ) as box:
        with contextlib.suppress(CommandError):
            box.exec("kill -TERM 1")
        eventually(lambda: status(box) is Status.STOPPED, "its end")
        assert box.info().details["exit_code"] == "143"


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("sleep 0.3; exit 9", 9), ("kill -9 $$", 137), ("sleep 0.3; kill -15 $$", 143)],
)
def test_the_end_of_a_command_is_the_sandboxes_end(client: Client, image: str, script: str, code: int) -> None:
    with client.create(image=image, ttl=120, command=["/bin/sh", "-c", script]) as box:
        eventually(lambda: status(box) is Status.STOPPED, "the command's end")
        assert box.info().details["exit_code"] == str(code)


def test_a_command_that_kills_everything_else_still_ends_the_sandbox(client: Client, image: str) -> None:
    script = "sleep 0.3; kill -9 -1; while :; do sleep 1; done"
    with client.create(image=image, ttl=600, command=["/bin/sh", "-c", script]) as box:
        eventually(lambda: status(box) is Status.STOPPED, "the sandbox's end")


def test_a_command_that_ignores_sigterm_ends_with_the_deadline(client: Client, image: str) -> None:
    script = "trap '' TERM; while :; do sleep 1; done"
    with client.create(image=image, ttl=2, command=["/bin/sh", "-c", script]) as box:
        eventually(lambda: status(box) is Status.STOPPED, "the deadline")


def test_words_of_a_command_reach_it_as_they_are(client: Client, daemon: Daemon, image: str) -> None:
    words = ["a b", "", "$HOME", "'", "\\", "*", "-n"]
    with client.create(image=image, ttl=120, command=["printf", "<%s>", *words]) as box:
        eventually(lambda: status(box) is Status.STOPPED, "the command's end")
        query = {"stdout": 1}
        response = daemon.send("GET", f"/containers/{box.id}/logs", until=daemon.limited(None), query=query)
        assert "".join(f"<{word}>" for word in words).encode() in daemon.read_bytes(
            response, "logs", daemon.limited(None)
        )


def test_a_full_process_table_neither_ends_it_nor_keeps_it(
    client: Client, daemon: Daemon, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The clock is read each second here: with nothing left to fork that has to be survived several times.
    monkeypatch.setattr(
        keepalive, "PROGRAM", keepalive.PROGRAM.replace(f"{keepalive.RECHECK} ]||s={keepalive.RECHECK}", "1 ]||s=1")
    )
    hold = "exec 2>/dev/null; while :; do command eval 'sleep 600 &' || :; done"
    for life in lives(client, 8.0, image=image, options=DockerOptions(pids=24)):
        with life as box, box.spawn(hold):
            eventually(lambda: len(processes(daemon, box)) >= 24, "a full table")
            time.sleep(2.5)
            assert status(box) is Status.RUNNING
            life.ends_at_its_deadline()


def test_a_restart_past_the_deadline_ends_at_once(client: Client, daemon: Daemon, image: str) -> None:
    with client.create(image=image, ttl=1.5) as box:
        eventually(lambda: status(box) is Status.STOPPED, "the deadline")
        assert daemon.request("POST", f"/containers/{box.id}/start", until=None).status == 204
        eventually(lambda: status(box) is Status.STOPPED, "its end after the restart")


def test_a_restart_before_the_deadline_keeps_it(client: Client, daemon: Daemon, image: str) -> None:
    for life in lives(client, 6.0, image=image):
        with life as box:
            assert daemon.request("POST", f"/containers/{box.id}/restart", until=None, query={"t": 0}).status == 204
            assert box.exec("echo up").text == "up\n"
            life.ends_at_its_deadline()


def test_an_odd_path_variable_does_not_stop_it(client: Client, image: str) -> None:
    with client.create(image=image, ttl=120, env={"PATH": "/nonexistent"}) as box:
        time.sleep(0.5)
        assert status(box) is Status.RUNNING


def test_an_image_without_date_ends_instead_of_running_for_ever(
    daemon: Daemon, client: Client, remains: Callable[[], list[str]]
) -> None:
    body: dict[str, Any] = {"Image": USUAL, "Cmd": ["rm", "/usr/bin/date", "/bin/date"]}
    made = daemon.request("POST", "/containers/create", until=None, body=body).body["Id"]
    name = f"sandboxkit-test-nodate:{remains.owner}"  # type: ignore[attr-defined]
    try:
        daemon.request("POST", f"/containers/{made}/start", until=None)
        daemon.request("POST", f"/containers/{made}/wait", until=None)
        repository, tag = name.split(":")
        query = {"container": made, "repo": repository, "tag": tag}
        daemon.request("POST", "/commit", until=None, query=query)
        with client.create(image=name, ttl=120) as box:
            eventually(lambda: status(box) is Status.STOPPED, "its end")
            with pytest.raises(sandboxkit.SandboxNotRunning):
                box.exec("true")
    finally:
        daemon.request("DELETE", f"/containers/{made}", until=None, query={"force": 1})
        daemon.request("DELETE", f"/images/{name}", until=None, query={"force": 1})
