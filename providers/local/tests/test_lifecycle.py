"""Making, finding and removing sandboxes: also when the client dies, and whatever the sandbox has left on disk."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sandboxkit
from sandboxkit.sync import Client, Sandbox
from sandboxkit_local import creation, locks
from sandboxkit_local.inside.plan import Plan

from .conftest import alive, end_soon, eventually, wait_for_end


def left(state: Path) -> set[str]:
    """Give what is in the state directory beside what always is."""
    always = {"claims", "claims.lock", "etc", "trash", "bytecode"}
    here = {path.name for path in state.iterdir()} - always
    return here | {f"{place}/{path.name}" for place in ("claims", "trash") for path in (state / place).iterdir()}


@pytest.fixture
def fresh(client: Client, state: Path) -> set[str]:
    """What was in the state directory before the test."""
    client.create(ttl=60).delete()
    return left(state)


# -- create -----------------------------------------------------------------------------------------------------


def test_a_sandbox_is_gone_without_a_trace_after_delete(
    client: Client, state: Path, fresh: set[str], first_pid: Callable[[str], int]
) -> None:
    box = client.create(ttl=60, idempotency_key="trace", labels={"a": "b"})
    pid = first_pid(box.id)
    assert alive(pid)
    assert {box.id} == {name for name in left(state) - fresh if "/" not in name}
    assert box.info().labels == {"a": "b"}
    assert box.delete() is True
    assert left(state) == fresh
    assert not alive(pid)
    assert client.delete(box.id) is False
    with pytest.raises(sandboxkit.SandboxNotFound):
        box.exec("true")
    for odd in ("../..", "", "sk-", "sk-../../etc", "claims", "sk-0123456789ab"):
        with pytest.raises(sandboxkit.SandboxNotFound):
            client.get(odd)


def test_a_key_gives_the_same_sandbox_until_it_is_deleted(client: Client) -> None:
    with client.create(ttl=60, idempotency_key="same", labels={"n": "1"}) as box:
        assert client.create(ttl=60, idempotency_key="same", labels={"n": "1"}).id == box.id
        with pytest.raises(sandboxkit.IdempotencyConflict):
            client.create(ttl=60, idempotency_key="same", labels={"n": "2"})
        with client.create(ttl=60, labels={"n": "1"}) as other:
            assert other.id != box.id
    with client.create(ttl=60, idempotency_key="same", labels={"n": "2"}) as again:
        assert again.id != box.id


def test_creators_racing_for_one_key_get_one_sandbox(client: Client, state: Path, fresh: set[str]) -> None:
    made: list[str] = []

    def create() -> None:
        made.append(client.create(ttl=60, idempotency_key="race").id)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert {name for name in left(state) - fresh if "/" not in name} == set(made)
    client.delete(made[0])
    assert left(state) == fresh


def test_a_claim_whose_creator_died_is_taken_over(
    client: Client, state: Path, first_pid: Callable[[str], int]
) -> None:
    box = client.create(ttl=60, idempotency_key="dead")
    os.kill(first_pid(box.id), signal.SIGKILL)
    eventually(lambda: first_pid(box.id) == 0, "PID 1 is dead")
    with client.create(ttl=60, idempotency_key="dead", labels={"n": "2"}) as again:
        assert again.id != box.id
        # Removing the dead one leaves the other's claim alone.
        assert client.delete(box.id) is True
        assert client.create(ttl=60, idempotency_key="dead", labels={"n": "2"}).id == again.id


def test_twenty_at_once(client: Client, state: Path, fresh: set[str]) -> None:
    made: list[Sandbox] = []
    threads = [threading.Thread(target=lambda: made.append(client.create(ttl=120))) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({box.id for box in made}) == 20
    assert {box.exec("echo ok").stdout for box in made} == {b"ok\n"}
    for box in made:
        box.delete()
    assert left(state) == fresh


BUILDER = """
import os, sys, time
from sandboxkit_local import creation
real = creation.{function}
async def stop(*args, **kwargs):
    print("there", flush=True)
    time.sleep(600)
def stop_late(*args, **kwargs):
    real(*args, **kwargs)
    print("there", flush=True)
    time.sleep(600)
creation.{function} = stop if {early} else stop_late
import sandboxkit
with sandboxkit.connect("local", state_dir=sys.argv[1], owner="dies") as client:
    client.create(ttl=600)
"""


@pytest.mark.parametrize(("function", "late"), [("hear", False), ("hear", True), ("start_builder", False)])
def test_a_client_killed_inside_create_leaves_nothing(
    client: Client, state: Path, fresh: set[str], function: str, late: bool
) -> None:
    early = function == "hear"
    with subprocess.Popen(
        [sys.executable, "-c", BUILDER.format(function=function, early=early), str(state)], stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"there\n"
        eventually(lambda: left(state) - fresh, "the sandbox is being made")
        eventually(lambda: [i for i in client.list() if i.owner == "dies"], "it is listed meanwhile")
        if late:
            (made,) = (info.id for info in client.list() if info.owner == "dies")
            eventually(lambda: locks.holder(f"{state}/{made}/lock", locks.ALIVE), "it is ready, and nobody takes it")
            time.sleep(0.2)
        other.kill()
    eventually(lambda: left(state) == fresh, "the building process undoes its work")


def test_a_sandbox_whose_client_was_killed_is_found_and_ends_at_its_deadline(client: Client, state: Path) -> None:
    program = """
import sandboxkit, sys
client = sandboxkit.connect("local", state_dir=sys.argv[1], owner="dies")
box = client.create(ttl=600, labels={"who": "dies"})
box.exec("setsid sleep 600 >/dev/null 2>&1 &")
print(box.id, flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", program, str(state)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        sandbox_id = other.stdout.readline().strip()
        other.kill()
    assert [info.id for info in client.list(labels={"who": "dies"})] == [sandbox_id]
    pid = locks.holder(f"{state}/{sandbox_id}/lock", locks.ALIVE)
    assert pid
    assert client.get(sandbox_id).exec("echo here").stdout == b"here\n"
    end_soon(client, sandbox_id)
    wait_for_end(pid)
    assert client.get(sandbox_id).info().status == "stopped"
    with pytest.raises(sandboxkit.SandboxNotRunning):
        client.get(sandbox_id).exec("true")
    with sandboxkit.connect("local", state_dir=str(state), owner="dies") as reaper:
        remaining = (reaper.get(sandbox_id).info().expires_at or 0) - time.time()
        assert remaining < 1, "PID 1 has noted another deadline"
        time.sleep(max(0.0, remaining))
        assert sandbox_id in str(reaper.gc())
    with pytest.raises(sandboxkit.SandboxNotFound):
        client.get(sandbox_id)


def test_a_building_process_that_is_killed_leaves_nothing(
    client: Client, state: Path, fresh: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = creation.start_builder

    def start(plan: Plan) -> creation.Builder:
        # It cannot claim its key, so it cannot be ready before it is killed.
        with (state / "claims.lock").open("a") as claims:
            fcntl.lockf(claims, fcntl.LOCK_EX)
            builder = real(plan)
            eventually(lambda: left(state) - fresh, "it has begun")
            os.kill(builder.pid, signal.SIGKILL)
            return builder

    monkeypatch.setattr(creation, "start_builder", start)
    with pytest.raises(sandboxkit.ProviderError, match="without a word"):
        client.create(ttl=60)
    assert left(state) == fresh


def test_what_a_building_process_complains_of_is_told(
    client: Client, state: Path, fresh: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")
    with pytest.raises(sandboxkit.ProviderError, match=r"ended without a word: .*sh: "):
        client.create(ttl=60)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(sandboxkit.ProviderError, match="cannot start /no/such/python"):
        client.create(ttl=60)
    assert left(state) == fresh


def test_why_a_first_process_failed_is_told(client: Client, box: Sandbox, state: Path) -> None:
    assert "reason" not in box.info().details
    with (state / box.id / "lock").open("a") as lock:
        lock.write("MemoryError: \n")
    assert box.info().details["reason"] == "MemoryError: "
    assert box.info().expires_at


def test_the_deadline_holds_against_everything_inside(client: Client, first_pid: Callable[[str], int]) -> None:
    hostile = "trap '' TERM INT HUP; while :; do kill -9 -1 2>/dev/null; kill -STOP 1; (:) & (:) & done"
    with client.create(ttl=600) as box:
        pid = first_pid(box.id)
        assert alive(pid)
        # They end one another too, and the shell that starts them: none begins before all are there.
        script = f"until [ -e go ]; do sleep 0.01; done; {hostile}"
        box.exec(f'echo "{script}" > attack; for n in 1 2 3; do setsid sh attack >/dev/null 2>&1 & done; : > go')
        end_soon(client, box.id)
        wait_for_end(pid)
        assert client.delete(box.id) is True


def test_extending_moves_the_deadline_and_shortening_too(
    client: Client, box: Sandbox, first_pid: Callable[[str], int]
) -> None:
    provider = client._async.provider
    from sandboxkit.driver import run

    later = time.time() + 5000
    assert abs((run(provider.extend(box.id, expires_at=later, until=None)).expires_at or 0) - later) < 0.01  # type: ignore[attr-defined]
    assert abs((box.info().expires_at or 0) - later) < 0.01
    pid = first_pid(box.id)
    run(provider.extend(box.id, expires_at=time.time() + 0.2, until=None))  # type: ignore[attr-defined]
    wait_for_end(pid)
    with pytest.raises(sandboxkit.SandboxNotRunning):
        run(provider.extend(box.id, expires_at=later, until=None))  # type: ignore[attr-defined]


@pytest.mark.parametrize("turn", range(12))
def test_a_create_cancelled_anywhere_leaves_nothing(state: Path, fresh: set[str], turn: int) -> None:
    async def main() -> bool:
        async with sandboxkit.connect_async("local", state_dir=str(state)) as client:

            async def create() -> Any:
                return await client.create(ttl=60)

            task = asyncio.ensure_future(create())
            await asyncio.sleep(turn * 0.004)
            task.cancel()
            try:
                made = await task
            except asyncio.CancelledError:
                assert left(state) == fresh
                return False
            await made.delete()
            return True

    assert asyncio.run(main()) in (True, False)


def test_a_create_cancelled_while_its_process_starts_leaves_nothing(
    state: Path, fresh: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = creation.start_builder
    begun = threading.Event()

    def start(plan: Plan) -> creation.Builder:
        builder = real(plan)
        eventually(lambda: left(state) - fresh, "it has begun")
        begun.set()
        # The thread is slow to come back with it.
        time.sleep(0.2)
        return builder

    async def main() -> None:
        async with sandboxkit.connect_async("local", state_dir=str(state)) as client:
            creating = asyncio.ensure_future(client.create(ttl=60).__aenter__())
            assert await asyncio.to_thread(begun.wait, 20.0)
            creating.cancel()
            with pytest.raises(asyncio.CancelledError):
                await creating
            assert left(state) == fresh

    monkeypatch.setattr(creation, "start_builder", start)
    asyncio.run(main())


def test_a_failed_create_says_why_and_leaves_nothing(client: Client, state: Path, fresh: set[str]) -> None:
    from sandboxkit_local.options import LocalOptions

    with pytest.raises(sandboxkit.InvalidSpec, match="working directory"):
        client.create(cwd="/usr/not-here")
    with pytest.raises(sandboxkit.InvalidSpec, match="not found"):
        client.create(command=["no-such-program"])
    with pytest.raises(sandboxkit.InvalidSpec, match="LocalOptions"):
        client.create(options={"pids": 3})
    with pytest.raises(sandboxkit.InvalidSpec, match="pids"):
        client.create(options=LocalOptions(pids=0))
    for capability, spec in {
        "image": {"image": "alpine"},
        "cpu": {"cpu": 1},
        "memory": {"memory_gib": 1},
        "user": {"user": "nobody"},
        "ports": {"ports": [80]},
    }.items():
        with pytest.raises(sandboxkit.Unsupported) as caught:
            client.create(**spec)  # type: ignore[arg-type]
        assert caught.value.capability == capability
    assert left(state) == fresh


def test_no_leftovers_when_the_kernel_refuses(client: Client, state: Path, fresh: set[str]) -> None:
    """The step is named, and what would work."""
    from sandboxkit.driver import run

    provider = client._async.provider
    plan = _plan(provider, client)
    plan.cwd = b"/workspace"
    words = [b"failed", b"unshare", b"1", b"Operation not permitted"]
    error = creation.failure(words)
    assert isinstance(error, sandboxkit.Unsupported)
    assert error.capability == "isolation"
    assert "unshare: EPERM" in str(error)
    assert "isolation='none'" in str(error)
    assert run(provider.delete("sk-000000000000", until=None)) is False
    assert left(state) == fresh


def _plan(provider: Any, client: Client) -> Plan:
    from sandboxkit.model import CreateRequest, SandboxSpec
    from sandboxkit_local.options import LocalOptions

    request = CreateRequest(
        spec=SandboxSpec(), owner="o", key="k", key_given=False, fingerprint="", expires_at=time.time() + 9
    )
    made: Plan = provider._plan(request, LocalOptions(), "c")
    assert Plan.decode(made.encode()).__dict__ == made.__dict__
    return made


def test_the_working_directory_and_the_own_command_are_as_asked(client: Client) -> None:
    with client.create(
        ttl=60, cwd="/workspace/deep/er", env={"WORD": "x"}, command=["sh", "-c", "echo $WORD > made; sleep 600"]
    ) as box:
        assert box.exec("pwd").stdout == b"/workspace/deep/er\n"
        eventually(lambda: box.exec(["cat", "made"]).stdout == b"x\n", "the command runs")


def test_the_network_is_the_hosts_when_asked_for(client: Client) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server, client.create(ttl=60, network=True) as box:
        script = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), 2)"
        assert box.exec(["/usr/bin/python3", "-I", "-c", script]).exit_code == 0
        assert box.exec("mount -t tmpfs none /tmp").exit_code != 0
        assert box.exec("cat /etc/resolv.conf").exit_code == (0 if Path("/etc/resolv.conf").exists() else 1)


# -- list and delete --------------------------------------------------------------------------------------------


def test_broken_and_half_made_sandboxes_are_listed_and_can_be_deleted(client: Client, state: Path) -> None:
    for number, content in enumerate((None, "", "{", "[]", '{"owner": "tests"}')):
        broken = state / f"sk-00000000000{number}"
        broken.mkdir()
        if content is not None:
            (broken / "meta.json").write_text(content)
            (broken / "lock").touch()
    listed = {info.id: info for info in client.list()}
    assert "sk-000000000000" not in listed  # without a word about it, it is nothing that we made
    for number in range(1, 5):
        assert listed[f"sk-00000000000{number}"].status == "failed"
        assert client.delete(f"sk-00000000000{number}") is True
    (state / "sk-000000000000").rmdir()


def test_listing_pages_and_filters(client: Client) -> None:
    boxes = [client.create(ttl=60, labels={"n": str(n % 2), "all": "x"}) for n in range(4)]
    try:
        assert {i.id for i in client.list(labels={"all": "x"})} == {b.id for b in boxes}
        assert len(list(client.list(labels={"all": "x", "n": "1"}))) == 2
        assert {i.status for i in client.list(labels={"all": "x"})} == {"running"}
    finally:
        for box in boxes:
            box.delete()


def test_deleting_follows_no_link_and_minds_no_trick(
    client: Client, box: Sandbox, tmp_path: Path, state: Path, fresh: set[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    os.chmod(outside, 0o777)  # noqa: PTH101 - nothing but the removal itself stands in the way
    box.exec(
        f"ln -s {outside} link; ln -s {outside}/kept file; ln -s / root; ln -s .. up; "
        f"mkdir -p locked/in/side; : > locked/in/side/f; chmod 000 locked/in/side locked/in locked; "
        f"mkdir closed; : > closed/f; chmod 500 closed; mkfifo fifo; ln -s {outside} ' odd\n name'; "
        f"mkdir -- '-rf' '.sandboxkit-1'; chmod 000 /workspace /tmp /root; rm -rf /var/tmp; ln -s {outside} /var/tmp"
    )
    sandbox_id = box.id
    assert client.delete(sandbox_id) is True
    assert (outside / "kept").read_text() == "kept"
    assert not any(sandbox_id in name for name in left(state))


def test_deleting_copes_with_a_bottomless_tree(client: Client, box: Sandbox, state: Path) -> None:
    if not Path("/usr/bin/python3").exists():
        pytest.skip("needs /usr/bin/python3")
    script = "import os\nfor n in range(5000):\n os.mkdir('d' * 200); os.chdir('d' * 200)\n open('f', 'w').close()"
    assert box.exec(["/usr/bin/python3", "-I", "-c", script], timeout=60).exit_code == 0
    assert box.delete() is True
    assert not any(box.id in name for name in left(state))


def test_two_deletes_at_once_remove_once(client: Client) -> None:
    box = client.create(ttl=60)
    found: list[bool] = []
    threads = [threading.Thread(target=lambda: found.append(client.delete(box.id))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 5 + [True]


def test_delete_ends_what_ignores_every_signal(client: Client, first_pid: Callable[[str], int]) -> None:
    box = client.create(ttl=60)
    pid = first_pid(box.id)
    assert alive(pid)
    with box.spawn("trap '' TERM INT HUP QUIT; while :; do sleep 1; done") as process:
        time.sleep(0.05)
        assert box.delete() is True
        assert not alive(pid)
        with pytest.raises(sandboxkit.SandboxError):
            process.wait(timeout=10)


def test_leftovers_of_dead_processes_are_swept_by_a_listing(client: Client, state: Path) -> None:
    old = [state / "sk-0123456789ab.new", state / "trash" / "sk-0123456789ab.deadbeef"]
    for path in old:
        (path / "workspace").mkdir(parents=True)
    list(client.list())
    assert all(path.exists() for path in old)  # they may be somebody's work of this moment
    from sandboxkit_local import state as module

    past, module._STALE = module._STALE, -1.0
    try:
        list(client.list())
    finally:
        module._STALE = past
    assert not any(path.exists() for path in old)


def test_a_state_directory_that_others_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    place = tmp_path / "state"
    place.mkdir()
    place.chmod(0o777)
    with sandboxkit.connect("local", state_dir=str(place)) as client, pytest.raises(sandboxkit.InvalidSpec):
        client.create()
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with sandboxkit.connect("local", state_dir=str(link)) as client, pytest.raises(sandboxkit.InvalidSpec):
        client.create()


def test_a_deep_state_directory_is_no_obstacle(tmp_path: Path) -> None:
    place = tmp_path / ("d" * 120) / "state"
    with sandboxkit.connect("local", state_dir=str(place)) as client, client.create(ttl=60) as box:
        assert box.exec("echo deep").stdout == b"deep\n"
