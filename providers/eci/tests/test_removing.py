"""Restarts and deletes, also where the service refuses them or tells late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sandboxkit_eci.account import account
from sandboxkit_eci.api import Api
from sandboxkit_eci.emulator.testing import Emulator, emulator
from sandboxkit_eci.provider import EciProvider
from sandboxkit_eci.removing import begin_removal

import sandboxkit
from sandboxkit import Status
from sandboxkit.driver import run
from sandboxkit.worlds import BlockingWorld

from .accounts import DELETE, GROUPS, RESTART, asked, connect, living


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


@pytest.mark.parametrize("code", ["IncorrectStatus", "InvalidParameter.NotFound"])
def test_a_delete_that_is_refused_is_no_success(eci: Emulator, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    now, group, late = BlockingWorld.now, Api.group, 0.0

    async def looks(self: Api, group_id: str, **asked_for: Any) -> Any:
        nonlocal late
        found = await group(self, group_id, **asked_for)
        # The deadline is there once it was refused three times, however long that took.
        if asked(eci, DELETE) == [3]:
            late = 1000.0
        return found

    with connect(eci) as client:
        box = client.create()
        eci.inject(f"{DELETE}:error={code}")
        monkeypatch.setattr(BlockingWorld, "now", lambda self: now(self) + late)
        monkeypatch.setattr(Api, "group", looks)
        with pytest.raises(sandboxkit.SandboxError) as caught:
            box.delete()
        monkeypatch.undo()
        assert not isinstance(caught.value, sandboxkit.SandboxNotFound)
        assert caught.value.provider_code == code
        assert asked(eci, DELETE) == [3]
        eci.clear_faults()
        assert living(eci) == [box.id] == [info.id for info in client.list()]
    with connect(eci) as client:
        assert client.delete(box.id)


@pytest.mark.parametrize("code", ["IncorrectStatus", "InvalidParameter.NotFound"])
@pytest.mark.parametrize("late", ["group", "delete"])
def test_a_delete_that_was_refused_says_so_when_there_is_no_time_to_ask_again(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch, code: str, late: str
) -> None:
    delete, group, deletes = Api.delete, Api.group, 0

    async def deletes_until_the_second(self: Api, group_id: str, **asked_for: Any) -> None:
        nonlocal deletes
        deletes += 1
        if deletes == 2:
            raise sandboxkit.DeadlineExceeded("no time is left")
        await delete(self, group_id, **asked_for)

    async def shows_until_then(self: Api, group_id: str, **asked_for: Any) -> Any:
        if late == "group" or deletes == 2:
            raise sandboxkit.DeadlineExceeded("no time is left")
        return await group(self, group_id, **asked_for)

    with connect(eci) as client:
        box = client.create()
        eci.inject(f"{DELETE}:error={code}")
        monkeypatch.setattr(Api, "delete", deletes_until_the_second)
        monkeypatch.setattr(Api, "group", shows_until_then)
        provider: EciProvider = client._async.provider  # type: ignore[assignment]
        with pytest.raises(sandboxkit.SandboxError) as caught:
            run(begin_removal(provider, box.id, until=None))
        assert not isinstance(caught.value, sandboxkit.SandboxNotFound)
        assert caught.value.provider_code == code
        assert deletes == (1 if late == "group" else 2)
        monkeypatch.undo()
        eci.clear_faults()
        assert living(eci) == [box.id]
        assert box.delete()


@pytest.mark.parametrize("code", ["IncorrectStatus", "InvalidParameter.NotFound"])
def test_a_delete_that_is_refused_while_the_sandbox_is_there_is_made_again(eci: Emulator, code: str) -> None:
    with connect(eci) as client:
        box = client.create()
        eci.inject(f"{DELETE}:error={code},nth=1")
        assert box.delete()
        assert asked(eci, DELETE) == [2]
        assert living(eci) == []


def test_one_that_is_not_found_and_not_shown_either_was_there_no_more(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit_eci.memory.APPEARS", 0.5)
    with connect(eci) as client, connect(eci) as other:
        box = client.create()
        assert other.delete(box.id)
        assert not client.delete(box.id)


def test_faults_do_not_begin_anew_the_wait_for_one_that_may_show_late(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit_eci.memory.APPEARS", 1.5)
    with connect(eci) as client, connect(eci) as other:
        first, second = client.create(), client.create()
        assert other.delete(first.id)
        assert other.delete(second.id)
        eci.inject(*[f"{action}:throttle,nth={nth}" for action in (GROUPS, DELETE) for nth in range(2, 80, 2)])
        assert not client.delete(first.id)
        with pytest.raises(sandboxkit.SandboxNotFound):
            client.get(second.id)


@pytest.mark.parametrize("code", ["InvalidRegionId.NotFound", "InvalidSomething.NotFound"])
def test_something_else_that_is_not_found_is_no_missing_sandbox(eci: Emulator, code: str) -> None:
    with connect(eci) as client:
        box = client.create()
        eci.inject(f"*:error={code}")
        for call in (box.delete, box.info, lambda: list(client.list())):
            with pytest.raises(sandboxkit.ProviderError) as caught:
                call()
            assert caught.value.provider_code == code
        eci.clear_faults()
        assert living(eci) == [box.id] == [info.id for info in client.list()]
        assert box.delete()
