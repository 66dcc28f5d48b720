"""``isolation="none"``: no protection, and the promises about commands all the same."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import sandboxkit
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local import locks

from .conftest import alive, end_soon, eventually, reaching, wait_for_end


@pytest.fixture(scope="module")
def plain(state: Path) -> Iterator[Client]:
    with sandboxkit.connect("local", state_dir=str(state), isolation="none", owner="tests") as client:
        yield client


@pytest.fixture
def box(plain: Client) -> Iterator[Sandbox]:
    with plain.create(ttl=60) as made:
        yield made


def test_it_declares_what_it_does_not_do(plain: Client, client: Client) -> None:
    assert plain.capabilities["ttl"].value == "cooperative"
    assert not plain.capabilities["network_off"]
    assert not plain.capabilities["pids"]
    assert client.capabilities["ttl"].value == "enforced"
    with pytest.raises(sandboxkit.Unsupported):
        plain.create(network=False)


def test_commands_are_plain_processes_of_this_user(box: Sandbox, state: Path) -> None:
    assert box.exec("id -u").stdout == b"%d\n" % os.geteuid()
    assert box.exec("pwd").text == f"{state}/{box.id}/workspace\n"
    assert box.exec("echo $HOME $TMPDIR").text == f"{state}/{box.id}/home {state}/{box.id}/tmp\n"
    assert box.exec("cat; echo err >&2; exit 3", input=b"in").exit_code == 3


def test_a_timeout_ends_the_tree_and_no_other_process(box: Sandbox) -> None:
    with box.spawn("echo $$; exec sleep 600") as other:
        outside = int(next(iter(other)).data)
        script = (
            "setsid sh -c 'echo $$; : >reached; exec sleep 600' & env -i setsid /bin/sh -c 'sleep 600' & sleep 600"
        )

        def ended(timeout: float) -> sandboxkit.CommandTimeout:
            with pytest.raises(sandboxkit.CommandTimeout) as caught:
                box.exec(script, timeout=timeout)
            assert caught.value.killed is True
            assert alive(outside)
            return caught.value

        assert not alive(int(reaching(box, ended).stdout))


@pytest.mark.parametrize("keeper", ["lives", "was ended"])
def test_delete_ends_everything_also_when_its_keeper_was_ended(plain: Client, state: Path, keeper: str) -> None:
    box = plain.create(ttl=60)
    pid = int(box.exec("setsid sleep 600 >/dev/null 2>&1 & echo $!").stdout)
    assert alive(pid)
    if keeper == "was ended":
        first = locks.holder(f"{state}/{box.id}/lock", locks.ALIVE)
        assert first
        os.kill(first, signal.SIGKILL)
        wait_for_end(first)
        assert box.info().status == "stopped"
    assert box.delete() is True
    assert not alive(pid)
    assert not (state / box.id).exists()


def test_the_deadline_ends_everything(plain: Client) -> None:
    with plain.create(ttl=600) as box:
        pid = int(box.exec("setsid sleep 600 >/dev/null 2>&1 & echo $!").stdout)
        assert alive(pid)
        end_soon(plain, box.id)
        eventually(lambda: not alive(pid), "the deadline ends it")
        assert time.time() >= (box.info().expires_at or 0)
        assert box.delete() is True


def test_a_deadline_that_nobody_moved_ends_the_keeper(plain: Client) -> None:
    with plain.create(ttl=0.5) as box:
        eventually(lambda: box.info().status == "stopped", "the deadline ends it")
        assert time.time() >= (box.info().expires_at or 0)


def test_orphans_stay_with_their_keeper(box: Sandbox, state: Path) -> None:
    pid = int(box.exec("setsid sleep 600 >/dev/null 2>&1 & echo $!").stdout)
    first = locks.holder(f"{state}/{box.id}/lock", locks.ALIVE)
    eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1] == str(first), "adopted")
