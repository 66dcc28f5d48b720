"""Sandboxes made, listed, restarted and deleted through an emulator without processes, and what may go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
from sandboxkit_eci import EciOptions
from sandboxkit_eci.account import account
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit
from sandboxkit import Status


@pytest.fixture
def eci() -> Iterator[Emulator]:
    with emulator("none") as running:
        yield running


def connect(eci: Emulator, **options: Any) -> sandboxkit.Client:
    return sandboxkit.connect("eci", **{**eci.options, "image": "busybox:1", **options})


def asked(eci: Emulator, *actions: str) -> list[int]:
    return [eci.requests.get(action, 0) for action in actions]


def living(eci: Emulator) -> list[str]:
    """The groups that there are, as another client sees them."""
    with connect(eci, owner="another") as client:
        return [info.id for info in client.list()]


CREATE, DELETE, GROUPS = "CreateContainerGroup", "DeleteContainerGroup", "DescribeContainerGroups"
STATUS, EXEC, RESTART = "DescribeContainerGroupStatus", "ExecContainerCommand", "RestartContainerGroup"


# -- no needless call ----------------------------------------------------------------------------------------------


def test_a_create_is_one_call_and_a_few_looks(eci: Emulator) -> None:
    with connect(eci) as client:
        client.create()
        assert asked(eci, CREATE, DELETE, EXEC) == [1, 0, 0]
        assert sum(asked(eci, GROUPS, STATUS)) <= 4


def test_forty_one_are_listed_in_three_calls(eci: Emulator) -> None:
    with connect(eci) as client:
        made = {client.create(wait=False).id for _ in range(41)}
        before = asked(eci, GROUPS)[0]
        assert {info.id for info in client.list()} == made
        assert asked(eci, GROUPS)[0] - before == 3
        before = asked(eci, GROUPS)[0]
        assert list(client.list(labels={"no": "such"})) == []
        assert asked(eci, GROUPS)[0] - before == 1


def test_what_waits_at_once_shares_its_looks(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:late-running=2")

    async def many() -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:
            await asyncio.gather(*[client.create() for _ in range(60)])

    asyncio.run(many())
    assert asked(eci, CREATE) == [60]
    # Alone, each would have asked about 8 times.
    assert sum(asked(eci, GROUPS, STATUS)) < 200


def test_a_second_delete_asks_nothing(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create()
        assert box.delete()
        before = dict(eci.requests)
        assert not box.delete()
        assert dict(eci.requests) == before


# -- idempotency ---------------------------------------------------------------------------------------------------


def test_a_lost_reply_makes_one_sandbox(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:lost,nth=1")
    with connect(eci) as client:
        box = client.create()
        assert living(eci) == [box.id]
        assert box.info().status is Status.RUNNING


@pytest.mark.parametrize("kind", ["dropped", "error=500", "error=503", "html", "throttle", "throttle=100"])
def test_a_passing_fault_is_survived(eci: Emulator, kind: str) -> None:
    for action in (CREATE, GROUPS, STATUS, DELETE):
        eci.inject(f"{action}:{kind},nth=1")
    with connect(eci) as client:
        box = client.create(idempotency_key="key")
        assert living(eci) == [box.id]
        assert box.delete()
    assert living(eci) == []


@pytest.mark.parametrize("kind", ["throttle", "error=503", "dropped"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_question_that_fails_undoes_nothing(eci: Emulator, kind: str, nth: int) -> None:
    eci.inject(f"{GROUPS}:{kind},nth={nth}", f"{STATUS}:{kind},nth={nth}")
    with connect(eci) as client:
        client.create(idempotency_key="key")
        assert client.create(idempotency_key="key").id == client.create(idempotency_key="key").id
    assert asked(eci, CREATE, DELETE) == [1, 0]


def test_lost_replies_of_everything_lose_and_double_nothing(eci: Emulator) -> None:
    eci.inject("*:lost,p=0.2")
    with connect(eci) as client:
        made = [client.create(idempotency_key=f"key-{n}").id for n in range(8)]
        eci.clear_faults()
        assert sorted(living(eci)) == sorted(made)
        eci.inject("*:lost,p=0.2")
        assert all(client.delete(one) for one in made)
    eci.clear_faults()
    assert living(eci) == []


@pytest.mark.parametrize("quirk", ["original", "new"])
def test_a_key_of_a_deleted_sandbox_is_free_for_any_client(quirk: str) -> None:
    with emulator("none", quirks={"client_token_of_deleted": quirk}) as eci, connect(eci) as client:
        first = client.create(idempotency_key="key", env={"A": "1"})
        assert first.delete()
        with connect(eci) as other:
            second = other.create(idempotency_key="key", env={"A": "2"})
            assert living(eci) == [second.id]
            assert client.create(idempotency_key="key", env={"A": "2"}).id == second.id
            with pytest.raises(sandboxkit.IdempotencyConflict):
                client.create(idempotency_key="key", env={"A": "1"})
        assert living(eci) == [second.id]


@pytest.mark.parametrize("compared", [True, False])
def test_of_two_specifications_with_one_key_at_once_one_is_refused(compared: bool) -> None:
    async def both(eci: Emulator) -> list[sandboxkit.AsyncSandbox | BaseException]:
        async with sandboxkit.connect_async("eci", **{**eci.options, "image": "busybox:1"}) as client:
            given = [client.create(idempotency_key="key", env={"A": value}) for value in ("1", "2")]
            return await asyncio.gather(*given, return_exceptions=True)

    with emulator("none", quirks={"client_token_compared": compared}) as eci:
        made, refused = sorted(asyncio.run(both(eci)), key=lambda one: isinstance(one, BaseException))
        assert isinstance(made, sandboxkit.AsyncSandbox)
        assert isinstance(refused, sandboxkit.IdempotencyConflict)
        assert living(eci) == [made.id]


def test_a_stale_list_makes_no_second_sandbox(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create(idempotency_key="key")
        eci.inject(f"{GROUPS}:stale=60,times=2")
        assert client.create(idempotency_key="key").id == box.id
    assert living(eci) == [box.id]


# -- failing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("no-stock", sandboxkit.NoCapacity),
        ("schedule-failed", sandboxkit.NoCapacity),
        ("quota", sandboxkit.QuotaExceeded),
        ("image-pull", sandboxkit.ImageNotFound),
        ("error=Account.Arrearage", sandboxkit.QuotaExceeded),
        ("error=InvalidParameter.CPU.Memory", sandboxkit.InvalidSpec),
    ],
)
def test_a_create_that_fails_says_why_and_leaves_nothing(eci: Emulator, fault: str, kind: type) -> None:
    eci.inject(f"{CREATE}:{fault}")
    with connect(eci) as client, pytest.raises(kind) as caught:
        client.create(env={"SECRET": "hunter2-hunter2"})
    assert "hunter2" not in str(caught.value)
    assert getattr(caught.value, "leftover", None) is None
    assert living(eci) == []


def test_a_create_whose_remains_cannot_be_removed_says_so(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:image-pull", f"{DELETE}:error=500")
    with connect(eci) as client, pytest.raises(sandboxkit.ImageNotFound) as caught:
        client.create(idempotency_key="key")
    assert caught.value.leftover == "key"


def test_without_stock_other_places_are_tried(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:no-stock,nth=1", f"{CREATE}:schedule-failed,nth=2")
    with connect(eci) as client:
        options = EciOptions(fallback_zones=["cn-hangzhou-a", "cn-hangzhou-b", "cn-hangzhou-c"])
        box = client.create(options=options)
        assert box.info().details["zone"] == "cn-hangzhou-b"
        assert living(eci) == [box.id]
        assert asked(eci, CREATE) == [3]


@pytest.mark.parametrize("key", [None, "key"])
def test_a_cancelled_create_leaves_nothing_wherever_it_was(eci: Emulator, key: str | None) -> None:
    eci.inject(f"{CREATE}:late-running=1", f"{CREATE}:slow=0.3")

    async def cancelled(after: float) -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:

            async def create() -> None:
                await client.create(idempotency_key=key)

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(create(), after)

    for after in (0.001, 0.1, 0.25, 0.35, 0.6):
        asyncio.run(cancelled(after))
        assert living(eci) == [], f"cancelled after {after} s"


def test_a_cancelled_create_of_a_key_leaves_anothers_sandbox_alone(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create(idempotency_key="key")

    async def cancelled(after: float) -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:

            async def create() -> None:
                await client.create(idempotency_key="key")

            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(create(), after)

    # The list knows nothing yet, so that the create goes as far as it can.
    eci.inject(f"{GROUPS}:stale=60,times=1", f"{GROUPS}:slow=0.1", f"{CREATE}:slow=0.1")
    for after in (0.05, 0.15, 0.25, 0.35):
        asyncio.run(cancelled(after))
    eci.clear_faults()
    assert living(eci) == [box.id]


# -- wrong credentials, other people's groups ----------------------------------------------------------------------


def test_wrong_keys_are_refused(eci: Emulator) -> None:
    for wrong in ({"access_key_id": "LTAIwrong"}, {"access_key_secret": "hunter2-hunter2"}):
        with connect(eci, **wrong) as client, pytest.raises(sandboxkit.AuthenticationFailed) as caught:
            client.create()
        assert "hunter2" not in str(caught.value)
        assert caught.value.provider_code
        assert caught.value.request_id


def test_what_sandboxkit_did_not_make_is_not_touched(eci: Emulator) -> None:
    from alibabacloud_eci20180808.models import CreateContainerGroupRequest
    from sandboxkit_eci.api import Api

    from sandboxkit.driver import run

    with connect(eci) as client:
        api: Api = client._async.provider.api  # type: ignore[attr-defined]
        wire = {"ContainerGroupName": "theirs", "Container": [{"Name": "c", "Image": "busybox:1"}]}
        assert CreateContainerGroupRequest().from_map(wire).container_group_name == "theirs"
        theirs = run(api.create(wire, around=lambda send: send, until=None, secrets=()))
        assert list(client.list()) == []
        with pytest.raises(sandboxkit.SandboxNotFound):
            client.get(theirs)
        assert not client.delete(theirs)
        assert run(api.group(theirs, until=None)) is not None


# -- restart and delete --------------------------------------------------------------------------------------------


def test_a_restart_that_takes_its_time_is_waited_for() -> None:
    with emulator("none", time_scale=0.02) as eci, connect(eci) as client:
        box = client.create()
        for _ in range(2):
            before = box.info()
            assert box.restart().status is Status.RUNNING
            assert restarts(eci, box.id) == eci.requests[RESTART]
            assert box.info().expires_at == before.expires_at


def restarts(eci: Emulator, group_id: str) -> int:
    """How many restarts of a group's container are over, by its events."""
    with connect(eci) as client:
        return sum(event.count for event in account(client).events(group_id) if event.reason == "Started") - 1


def test_a_restart_ends_only_once_the_container_has_started_anew(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create(ttl=60.0)
        before = box.info()
        again = box.restart()
        assert (again.id, again.status, again.expires_at) == (box.id, Status.RUNNING, before.expires_at)
        assert asked(eci, RESTART) == [1]
        box.delete()
        with pytest.raises(sandboxkit.SandboxNotFound):
            box.restart()


@pytest.mark.parametrize("missing", ["error", "success"])
@pytest.mark.parametrize("terminating", ["success", "IncorrectStatus", "OperationConflict"])
def test_deletes_at_once_agree_whatever_the_service_says(missing: str, terminating: str) -> None:
    quirks = {"delete_missing": missing, "delete_terminating": terminating}

    async def both(eci: Emulator) -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:
            box = await client.create()
            said = await asyncio.gather(*[client.delete(box.id) for _ in range(4)])
            assert True in said
            assert not await client.delete("eci-nosuchgroup")

    with emulator("none", quirks=quirks) as eci:
        asyncio.run(both(eci))
        assert living(eci) == []


def test_a_delete_whose_reply_was_lost_says_that_it_removed_something(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create()
        eci.inject(f"{DELETE}:lost,nth=1")
        assert box.delete()
        assert not box.delete()


def test_a_delete_that_is_refused_is_no_success(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create()
        eci.inject(f"{DELETE}:error=IncorrectStatus")
        with pytest.raises(sandboxkit.SandboxError):
            box.delete()
        eci.clear_faults()
        assert living(eci) == [box.id]
        assert box.delete()


# -- commands that are refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["InvalidParameter.NotFound", "InvalidContainerGroupId.NotFound", "ContainerGroup.NotFound"]
)
def test_a_command_in_a_sandbox_that_is_gone_is_not_found(code: str) -> None:
    with emulator("none", quirks={"not_found_code": code}) as eci, connect(eci) as client:
        box = client.create()
        with connect(eci) as other:
            assert other.delete(box.id)
        began = time.monotonic()
        with pytest.raises(sandboxkit.SandboxNotFound):
            box.exec("true")
        assert time.monotonic() - began < 20


def test_one_that_has_ended_is_not_running(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create(ttl=1.0)
        limit = time.monotonic() + 30
        while box.info().status is Status.RUNNING and time.monotonic() < limit:
            time.sleep(0.05)
        with pytest.raises(sandboxkit.SandboxNotRunning):
            box.exec("true")
        with pytest.raises(sandboxkit.SandboxNotRunning):
            box.restart()
        assert [info.id for info in client.gc()] == [box.id]
