"""What is left behind on a kept channel is found, whoever runs it and however many others there are."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from sandboxkit import pool as pools
from sandboxkit import runner, warmchannel
from sandboxkit.launcher import frame
from sandboxkit.sync import Client, Sandbox

from .conftest import BUSYBOX, eventually

# It is told when to speak, and says that it has: a time of its own would not be after the end of a slow command.
LATE = (
    'sh -c \'trap "" PIPE; until [ -e /tmp/go ]; do sleep 0.05; done; '
    "echo late; echo late >&2; echo >/tmp/said; exec sleep 3'"
)


def check_clean(box: Sandbox, seconds: float = 0.0) -> None:
    """See that commands come out as they are, for so long."""
    until = time.monotonic() + seconds
    while True:
        result = box.exec("printf out; printf err >&2; exit 3")
        assert (result.exit_code, result.stdout, result.stderr) == (3, b"out", b"err")
        if time.monotonic() >= until:
            return


def check_late(box: Sandbox) -> None:
    """See that what ``LATE`` says, while another command runs, is not in what that one says."""
    said = "touch /tmp/go; until [ -e /tmp/said ]; do sleep 0.05; done"
    result = box.exec(f"{said}; printf out; printf err >&2; exit 3", timeout=60)
    assert (result.exit_code, result.stdout, result.stderr) == (3, b"out", b"err")
    box.exec("rm /tmp/go /tmp/said")
    check_clean(box)


@pytest.fixture
def count(client: Client) -> Callable[[Sandbox], int]:
    """Give what counts the runners in a sandbox."""

    def runners(box: Sandbox) -> int:
        script = "cd /proc; for p in [0-9]*; do tr '\\000' ' ' 2>/dev/null <$p/cmdline; echo; done"
        return sum(line.startswith("/bin/sh -c IFS= read -r __n") for line in box.exec(script).text.splitlines())

    return runners


def test_a_channel_that_another_users_child_holds_is_not_used_again(box: Sandbox) -> None:
    # Root without CAP_SYS_PTRACE, as a container's is, may not look at what the child holds.
    box.exec(["true"])
    result = box.exec(f"setpriv --reuid=65534 --clear-groups setsid {LATE} & sleep 0.1; echo out")
    assert result.text == "out\n"
    check_late(box)


def test_a_child_of_another_user_that_holds_nothing_costs_no_more_than_a_channel(box: Sandbox) -> None:
    box.exec("setpriv --reuid=65534 --clear-groups setsid sleep 3 >/dev/null 2>&1 & sleep 0.1")
    check_clean(box, 0.2)


@pytest.mark.parametrize("image", [None, BUSYBOX])
@pytest.mark.parametrize("stream", ["/proc/self/fd/1", "/dev/stderr"])
def test_a_command_that_shuts_its_own_output_shuts_no_other_commands(
    client: Client, image: str | None, stream: str
) -> None:
    with client.create(image=image, user="nobody") as box:
        assert box.exec(f"chmod 000 {stream}; echo out").text == "out\n"
        check_clean(box)


@pytest.mark.parametrize("image", [None, BUSYBOX])
def test_a_host_whose_last_process_is_not_told_has_every_process_looked_at(
    client: Client, monkeypatch: pytest.MonkeyPatch, count: Callable[[Sandbox], int], image: str | None
) -> None:
    script = runner._SCRIPT.replace("__begin(){", "__every=1;__begin(){", 1)
    assert script != runner._SCRIPT
    made = warmchannel.WarmChannel
    monkeypatch.setattr(pools, "WarmChannel", lambda channel: made(channel, frame(script.encode())))
    with client.create(image=image, ttl=300) as box:
        check_clean(box, 0.3)
        # One that is not used again may take a moment to end.
        eventually(lambda: count(box) == 1, "one runner")
        box.exec(f"setsid {LATE} & echo out")
        check_late(box)
        box.exec(f"{LATE} >/dev/null 2>&1 & echo out")
        check_late(box)
        eventually(lambda: count(box) == 1, "one runner again")


def test_many_processes_between_two_commands_are_no_hiding_place(box: Sandbox) -> None:
    # More than are looked at one by one.
    many = "n=0; while [ $n -lt 400 ]; do /bin/true; n=$((n+1)); done"
    box.exec(f"{many}; setsid {LATE} & {many}; echo out")
    check_late(box)
