"""One group for one create, whatever is lost on the way and however late it shows."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sandboxkit_eci import creation
from sandboxkit_eci.api import Api
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit
from sandboxkit import Status

from .accounts import CREATE, DELETE, GROUPS, STATUS, asked, connect, living


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


SHOWS_LATE = (f"{GROUPS}:stale=4", f"{STATUS}:stale=4")


def test_two_creates_of_one_key_make_one_sandbox_that_shows_late(eci: Emulator) -> None:
    eci.inject(*SHOWS_LATE)

    async def both() -> set[str]:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:
            return {box.id for box in await asyncio.gather(*[client.create(idempotency_key="key") for _ in range(2)])}

    made = asyncio.run(both())
    assert len(made) == 1
    eci.clear_faults()
    assert living(eci) == list(made)


def test_a_cancelled_create_removes_what_shows_late(eci: Emulator) -> None:
    eci.inject(f"{GROUPS}:stale=3", f"{STATUS}:stale=3")

    async def cancelled() -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:

            async def create() -> None:
                await client.create(idempotency_key="key")

            with pytest.raises(TimeoutError):
                await asyncio.wait_for(create(), 1.0)

    asyncio.run(cancelled())
    eci.clear_faults()
    assert living(eci) == []


def test_a_group_that_never_shows_is_not_made_again_and_again(eci: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "VISIBLE", 0.3)
    monkeypatch.setattr(creation, "CLEANUP", 0.5)
    eci.inject(f"{GROUPS}:stale=60", f"{STATUS}:stale=60")
    with connect(eci) as client, pytest.raises(sandboxkit.ProviderError, match="DescribeContainerGroups") as caught:
        client.create(idempotency_key="key")
    assert caught.value.leftover == "key"
    assert asked(eci, CREATE) == [creation.MOST_UNSEEN]


def test_what_an_earlier_token_made_is_removed_once_it_shows(eci: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(creation, "VISIBLE", 0.3)
    real, first = Api.groups, []

    async def late(self: Api, **asked_for: Any) -> Any:
        found, cursor = await real(self, **asked_for)
        first.extend(group["ContainerGroupId"] for group in found if not first)
        hidden = first[:1] if asked(eci, CREATE) < [2] or asked_for.get("tags") else []
        return [group for group in found if group["ContainerGroupId"] not in hidden], cursor

    monkeypatch.setattr(Api, "groups", late)
    with connect(eci) as client:
        box = client.create(idempotency_key="key")
        assert asked(eci, CREATE) == [2]
        monkeypatch.undo()
        assert living(eci) == [box.id]


def test_a_group_that_shows_before_its_tags_is_waited_for(eci: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    real, until = Api.groups, time.monotonic() + 1.5

    async def bare(self: Api, **asked_for: Any) -> Any:
        found, cursor = await real(self, **asked_for)
        if time.monotonic() >= until:
            return found, cursor
        return [{k: v for k, v in group.items() if k != "Tags"} for group in found], cursor

    monkeypatch.setattr(Api, "groups", bare)
    with connect(eci) as client:
        box = client.create(idempotency_key="key")
        assert box.info().id == box.id
        assert living(eci) == [box.id]
        until = time.monotonic() + 1.5
        assert client.create().info().status is Status.RUNNING
