"""What nobody outside knows of the service: the provider does its work whichever way each doubt is settled.

Each doubt is a quirk of the emulator's. The table has every position that it is tried in, the likeliest included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import pytest
from sandboxkit_eci import EciOptions
from sandboxkit_eci.account import account
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.session import SessionQuirks
from sandboxkit_eci.emulator.signature import Key
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit
from sandboxkit import Status, plugins

from .loopclock import LoopClock

pytestmark = pytest.mark.skipif(not plugins.probe("local").works, reason="the emulator's containers are local's")

Check = Callable[[Emulator, sandboxkit.Client], None]

PATIENCE = 30.0
"""Seconds after which what should happen at once is taken to never happen."""


def round_of_work(eci: Emulator, client: sandboxkit.Client) -> None:
    """Create, run commands, list, restart and delete."""
    box = client.create(idempotency_key="round")
    assert client.create(idempotency_key="round").id == box.id
    done = box.exec(["sh", "-c", "cat; echo problem >&2; exit 3"], input=b"in\0put", timeout=PATIENCE)
    assert (done.stdout, done.stderr, done.exit_code) == (b"in\0put", b"problem\n", 3)
    assert [info.id for info in client.list(status=Status.RUNNING)] == [box.id]
    assert box.restart().status is Status.RUNNING
    assert box.exec("echo é", timeout=PATIENCE).text == "é\n"
    assert box.delete()
    assert not box.delete()
    assert list(client.list()) == []
    with pytest.raises(sandboxkit.SandboxNotFound):
        client.get(box.id)


def nothing_more(eci: Emulator, client: sandboxkit.Client) -> None:
    """The round of work is all that the doubt can touch."""


def not_found(eci: Emulator, client: sandboxkit.Client) -> None:
    box = client.create()
    with sandboxkit.connect("eci", **eci.options, owner="another") as other:
        assert other.delete(box.id)
    with pytest.raises(sandboxkit.SandboxNotFound):
        box.exec("true", timeout=PATIENCE)
    with pytest.raises(sandboxkit.SandboxNotFound):
        box.restart()
    assert not client.delete("eci-nosuchgroup")


LIVING = (Status.CREATING, Status.RUNNING)


def wait_for_its_end(client: sandboxkit.Client, sandbox_id: str) -> None:
    end = time.monotonic() + PATIENCE
    while any(info.id == sandbox_id and info.status in LIVING for info in client.list()):
        assert time.monotonic() < end
        time.sleep(0.05)


def ended(eci: Emulator, client: sandboxkit.Client) -> None:
    # Not waited for: where that takes long the deadline comes first, and the create fails of it.
    box = client.create(ttl=1.0, wait=False)
    wait_for_its_end(client, box.id)
    with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
        box.exec("true", timeout=PATIENCE)
    with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
        box.restart()
    assert client.create(idempotency_key="after").delete()
    client.gc()
    assert list(client.list()) == []


def pages(eci: Emulator, client: sandboxkit.Client) -> None:
    made = {client.create(wait=False).id for _ in range(20)}
    assert {info.id for info in client.list()} == made


def rounded(eci: Emulator, client: sandboxkit.Client) -> None:
    for asked in ((7, 13), (1, 3), (0.3, None), (None, None)):
        with client.create(cpu=asked[0], memory_gib=asked[1]) as box:
            told = client.get(box.id).info()
            assert (box.info().cpu, box.info().memory_gib) == (told.cpu, told.memory_gib)
            assert (told.cpu or 0) >= (asked[0] or 2)
            assert (told.memory_gib or 0) >= (asked[1] or 0)


def gpus(eci: Emulator, client: sandboxkit.Client) -> None:
    for kinds in ([], ["ecs.c6.large"]):
        with pytest.raises(sandboxkit.SandboxError):
            client.create(options=EciOptions(gpu=1, instance_types=kinds))
    assert list(client.list()) == []
    assert client.create(options=EciOptions(gpu=1, instance_types=["ecs.gn6i-c4g1.xlarge"]), wait=False).delete()


def of_a_cache(eci: Emulator, client: sandboxkit.Client) -> None:
    made = account(client).make_image_cache("mine", ["busybox:1"])
    assert client.create(options=EciOptions(image_snapshot_id=made.snapshot_id)).delete()


def one_name(eci: Emulator, client: sandboxkit.Client) -> None:
    boxes = [client.create(idempotency_key=f"key-{number}") for number in range(2)]
    assert all(box.delete() for box in boxes)
    assert client.create(idempotency_key="key-0").delete()


def long_values(eci: Emulator, client: sandboxkit.Client) -> None:
    with client.create(env={"A": "x" * 256}) as box:
        assert box.exec("echo ${#A}", timeout=PATIENCE).text == "256\n"


def same_key(eci: Emulator, client: sandboxkit.Client) -> None:
    box = client.create(idempotency_key="key", env={"A": "1"})
    time.sleep(0.02)  # longer than the shortest life of a token in the table
    with sandboxkit.connect("eci", **eci.options, image="busybox:1", owner="me") as other:
        assert other.create(idempotency_key="key", env={"A": "1"}).id == box.id
        with pytest.raises(sandboxkit.IdempotencyConflict):
            other.create(idempotency_key="key", env={"A": "2"})
        assert box.delete()
        again = other.create(idempotency_key="key", env={"A": "2"})
        assert again.exec("echo $A", timeout=PATIENCE).text == "2\n"
        assert [info.id for info in client.list()] == [again.id]
        assert again.delete()


def long_command(eci: Emulator, client: sandboxkit.Client) -> None:
    with client.create() as box:
        assert box.exec(["echo", *["word"] * 200, "x" * 100_000], timeout=PATIENCE).exit_code == 0
        assert len(box.exec("echo '" + "x" * 100_000 + "'", timeout=PATIENCE).stdout) == 100_001
        assert box.exec(["sh", "-c", "exit 5"], env={"A": "b" * 5000}, cwd="/", timeout=PATIENCE).exit_code == 5


def bash(eci: Emulator, client: sandboxkit.Client) -> None:
    with client.create() as box:
        assert box.exec("echo $((6 * 7))", shell=("/bin/bash", "-c"), timeout=PATIENCE).text == "42\n"


def while_starting(eci: Emulator, client: sandboxkit.Client) -> None:
    eci.inject("CreateContainerGroup:late-running=0.5,nth=1")
    with client.create() as box:
        assert box.exec("echo here", timeout=PATIENCE).text == "here\n"


def refused_addresses(eci: Emulator, client: sandboxkit.Client) -> None:
    with client.create() as box, pytest.raises(sandboxkit.SandboxError) as caught:
        box.exec("true", timeout=2.0)
    assert "?s=" not in str(caught.value)


def expired_token(eci: Emulator, client: sandboxkit.Client) -> None:
    old = {"access_key_id": EXPIRED.id, "access_key_secret": EXPIRED.secret, "security_token": EXPIRED.token}
    refused = pytest.raises(sandboxkit.AuthenticationFailed, match="security_token")
    with sandboxkit.connect("eci", **{**eci.options, **old}) as other, refused:
        list(other.list())


def throttled(eci: Emulator, client: sandboxkit.Client) -> None:
    actions = ("CreateContainerGroup", "ExecContainerCommand", "DescribeContainerGroups", "DeleteContainerGroup")
    eci.inject(*[f"{action}:throttle,nth=1" for action in actions])
    round_of_work(eci, client)
    assert set(actions) <= set(eci.counts.throttled)


def quota(eci: Emulator, client: sandboxkit.Client) -> None:
    with pytest.raises(sandboxkit.QuotaExceeded):
        client.create(cpu=4, memory_gib=8)
    assert list(client.list()) == []


def prices(eci: Emulator, client: sandboxkit.Client) -> None:
    assert account(client).price(cpu=1, memory_gib=2).trade > 0


def forgotten(eci: Emulator, client: sandboxkit.Client) -> None:
    box = client.create(command=["true"], wait=False)
    wait_for_its_end(client, box.id)
    with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
        box.exec("true", timeout=PATIENCE)
    box.delete()
    assert list(client.list()) == []


def killed_in_time(eci: Emulator, client: sandboxkit.Client) -> None:
    with client.create() as box:
        with pytest.raises(sandboxkit.CommandTimeout) as caught:
            box.exec("sleep 600", timeout=1.0)
        assert caught.value.killed is True
        assert box.exec("echo on", timeout=PATIENCE).text == "on\n"


def used_again(eci: Emulator, client: sandboxkit.Client) -> None:
    """The channel that the first command left is closed meanwhile, if that is what the service does."""
    clock = LoopClock(eci._loop)

    async def over() -> bool:
        return all(socket.closed for socket in eci._server._sockets)

    with client.create() as box:
        assert box.exec("echo first", timeout=PATIENCE).text == "first\n"
        clock.forward(SESSION + 1.0)
        end = time.monotonic() + PATIENCE
        while eci.service.session_quirks.session_limit is not None and not eci.run(over()):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert box.exec("echo second", timeout=PATIENCE).text == "second\n"
        assert eci.requests["ExecContainerCommand"] <= 2


def never_a_success(eci: Emulator, client: sandboxkit.Client) -> None:
    no_success = pytest.raises((sandboxkit.CommandLost, sandboxkit.CommandTimeout, sandboxkit.ProviderError))
    with client.create() as box, no_success:
        box.exec("echo 0123456789012345678901234567890123456789", timeout=1.0)


@attrs.frozen
class Row:
    """The positions that a doubt is tried in, and what is done beside the round of work.

    ``more`` are other quirks that are set with it. ``works`` is whether the round can be done at all.
    """

    positions: tuple[Any, ...]
    check: Check = nothing_more
    more: Mapping[str, Any] = attrs.field(factory=dict)
    backend: str = "local"
    works: bool = True


BOTH = (False, True)
SESSION = 30.0
"""Seconds of a session, where it has a limit: a command that takes no time ends in it, on any machine."""
EXPIRED = Key(id="STSold", secret="old-secret", token="old-token", expires=1.0)

ROWS: Mapping[str, Row] = {
    "not_found_code": Row(
        ("InvalidParameter.NotFound", "InvalidContainerGroupId.NotFound", "ContainerGroup.NotFound"), not_found
    ),
    "not_found_status": Row((404, 400, 403), not_found),
    "delete_missing": Row(("error", "success"), not_found),
    "delete_terminating": Row(("success", "IncorrectStatus", "OperationConflict"), not_found),
    "deadline_status": Row(("Failed", "Expired", "Succeeded", "gone"), ended),
    "restart_files": Row(("lost", "kept")),
    "status_while_pulling": Row(("Pending", "Scheduling"), while_starting),
    "memory_rounding": Row(("table", "even"), rounded, backend="none", works=False),
    "last_token": Row(("empty", "absent"), pages, backend="none", works=False),
    "not_applicable_times": Row(("empty", "absent"), ended),
    "started_at_key": Row(("startedAt", "StartedAt", "StartedAtstartedAt")),
    "snapshot_ids": Row(("snapshot", "either"), of_a_cache),
    "unique_names": Row(BOTH, one_name),
    "create_limits": Row(BOTH, long_values),
    "client_token_seconds": Row((86400.0, 0.01), same_key),
    "client_token_compared": Row(BOTH, same_key),
    "client_token_of_deleted": Row(("original", "new"), same_key),
    "command_limit": Row((2048, 8192), long_command),
    "command_limit_code": Row(("InvalidParameter.ValueExceeded", "InvalidParameter"), long_command),
    "command_elements": Row(("unlimited", "documented"), long_command),
    "bash_needs_tty": Row(BOTH, bash),
    "exec_statuses": Row(("Running", "Running,Pending"), while_starting),
    "exec_starts": Row(("on-open", "on-call"), killed_in_time),
    "uri_seconds": Row((30.0, 1.0)),
    "uri_single_use": Row(BOTH),
    "uri_refused_status": Row((403, 404, 410), refused_addresses, {"uri_seconds": 0.0}, works=False),
    # The provider never asks for Sync=true, so that these cannot matter.
    "sync_seconds": Row((60.0, 0.01)),
    "sync_bytes": Row((1 << 20, 1)),
    "expired_token_status": Row((403, 400), expired_token),
    "throttle_status": Row((400, 429, 503), throttled),
    "throttle_code": Row(("Throttling.User", "Throttling", "Throttling.Api"), throttled),
    "retry_after_ms": Row((0, 50), throttled),
    "limits": Row(("published", "older", "none")),
    "limit_window": Row(("sliding", "fixed")),
    "quota_cpu": Row((1000.0, 2.0)),
    "quota_code": Row(("QuotaExceeded", "InvalidParameter.ValueExceeded"), quota, {"quota_cpu": 2.0}),
    "gpu_code": Row(
        ("InvalidParameter", "InvalidParameter.ValueExceeded", "InvalidInstanceTypeForEciBuy"),
        gpus,
        backend="none",
        works=False,
    ),
    "usual_events": Row(BOTH, while_starting),
    "price_per": Row(("hour", "second"), prices),
    "terminal_kept_seconds": Row((3600.0, 0.0), forgotten, {"terminal_kept_most": 0}),
    "terminal_kept_most": Row((100, 0), forgotten, {"terminal_kept_seconds": 0.0}),
    # A session's own.
    "leading_empty_frame": Row(BOTH),
    "empty_frames": Row(BOTH),
    "unknown_channel": Row(BOTH),
    "error_text_on_nonzero": Row(BOTH),
    "error_status": Row(BOTH),
    "encoding": Row(("binary", "text", "base64")),
    "split": Row((None, 1, "random")),
    "split_first": Row((None, 100), more={"split": 1}),
    "idle_close": Row((60.0, None, 2.0)),
    "session_limit": Row((None, SESSION), used_again, {"idle_close": None}, works=False),
    "subprotocols": Row(("ignored", "agreed")),
    "close_code": Row((1000, 1001, 1006)),
    "kill_on_close": Row((None, False, True), killed_in_time),
    "answer_pings": Row(BOTH),
    "drop_after": Row((0, 5), never_a_success, works=False),
    "stall_after": Row((0, 5), never_a_success, works=False),
}


def test_every_doubt_is_tried_in_more_than_one_position() -> None:
    fields = {field.name: field for each in (Quirks, SessionQuirks) for field in attrs.fields(each)}
    assert set(fields) == set(ROWS)
    for name, row in ROWS.items():
        choices = fields[name].metadata["choices"]
        assert len(set(row.positions)) > 1, name
        assert set(choices) <= set(row.positions), name
        assert fields[name].default in row.positions or not row.works, name


CASES = [pytest.param(name, place, id=f"{name}={place}") for name, row in ROWS.items() for place in row.positions]


@pytest.mark.parametrize(("name", "position"), CASES)
def test_the_provider_does_its_work_whichever_way_it_is(name: str, position: Any) -> None:
    row = ROWS[name]
    quirks = {**row.more, name: position}
    keys = [Key(id="emulator", secret="emulator-secret"), EXPIRED]
    with (
        emulator(row.backend, quirks=quirks, time_scale=0.002, keys=keys) as eci,
        sandboxkit.connect("eci", **eci.options, image="busybox:1", owner="me") as client,
    ):
        if row.works:
            round_of_work(eci, client)
        row.check(eci, client)
