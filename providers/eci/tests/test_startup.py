"""Creates that fail or are cancelled: they say why, and leave nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest
from sandboxkit_eci import EciOptions
from sandboxkit_eci.emulator.testing import Emulator, emulator
from sandboxkit_eci.provider import EciProvider
from sandboxkit_eci.waiting import Waiting

import sandboxkit
from sandboxkit import Status

from .accounts import CREATE, DELETE, EXEC, GROUPS, asked, connect, living
from .test_parity import needs_local


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


@pytest.mark.parametrize("key", [None, "key"])
def test_a_create_whose_sandbox_goes_away_ends_and_leaves_nothing(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    monkeypatch.setattr("sandboxkit_eci.startup.MISSING", 0.3)
    monkeypatch.setattr("sandboxkit.client.CREATE_LIMIT", 30.0)
    eci.inject(f"{CREATE}:late-running=600,nth=1")
    ask, removed = Waiting._ask_statuses, list[str]()

    async def last(self: Waiting, ids: Sequence[str], until: float | None) -> Any:
        found = await ask(self, ids, until)
        if not removed:
            with connect(eci, owner="another") as other:
                removed.extend(one for one in found if other.delete(one))
        return found

    monkeypatch.setattr(Waiting, "_ask_statuses", last)
    with connect(eci) as client:
        with pytest.raises(sandboxkit.ProviderError, match="went away while it was being created") as caught:
            client.create(idempotency_key=key)
        assert caught.value.leftover is None
        assert removed
        assert living(eci) == []
        assert client.create(idempotency_key=key).info().status is Status.RUNNING


def test_a_create_that_waits_for_anothers_which_goes_away_makes_its_own(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandboxkit_eci.startup.MISSING", 0.3)
    monkeypatch.setattr("sandboxkit.client.CREATE_LIMIT", 30.0)
    eci.inject(f"{CREATE}:late-running=600,nth=1")
    ask = Waiting._ask_statuses
    with connect(eci) as first:
        made = first.create(idempotency_key="key", wait=False)

        async def last(self: Waiting, ids: Sequence[str], until: float | None) -> Any:
            found = await ask(self, ids, until)
            first.delete(made.id)
            return found

        monkeypatch.setattr(Waiting, "_ask_statuses", last)
        with connect(eci) as second:
            box = second.create(idempotency_key="key")
            assert living(eci) == [box.id] != [made.id]


def test_one_that_was_seen_and_is_missing_for_a_moment_is_waited_for(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    eci.inject(f"{CREATE}:late-running=0.5")
    ask, looks = Waiting._ask_statuses, 0

    async def forgetful(self: Waiting, ids: Sequence[str], until: float | None) -> Any:
        nonlocal looks
        looks += 1
        return await ask(self, ids, until) if looks != 2 else {}

    monkeypatch.setattr(Waiting, "_ask_statuses", forgetful)
    with connect(eci) as client:
        assert client.create().info().status is Status.RUNNING


@needs_local
def test_a_command_that_has_ended_before_it_is_looked_at_is_no_failure() -> None:
    with emulator("local", faults=[f"{EXEC}:error=IncorrectStatus"]) as eci, connect(eci) as client:
        box = client.create(command=["sleep", "1"])
        assert box.info().status is Status.STOPPED
        with pytest.raises(sandboxkit.InvalidSpec):
            client.create(command=["/no/such/program"])


@pytest.mark.parametrize(
    "refused",
    [sandboxkit.SandboxNotRunning("it has ended", status="stopped"), sandboxkit.SandboxNotFound("there is none")],
    ids=lambda error: error.code,
)
def test_one_that_goes_away_while_its_quick_command_is_looked_at_does_not_run(
    eci: Emulator, monkeypatch: pytest.MonkeyPatch, refused: sandboxkit.SandboxError
) -> None:
    monkeypatch.setattr("sandboxkit_eci.startup.MISSING", 0.3)

    async def output(self: EciProvider, sandbox_id: str, *args: Any, **options: Any) -> bytes:
        with connect(eci, owner="another") as other:
            other.delete(sandbox_id)
        raise refused

    monkeypatch.setattr(EciProvider, "output", output)
    with connect(eci) as client:
        with pytest.raises(sandboxkit.ProviderError, match="went away while it was being created") as caught:
            client.create(command=["true"])
        assert caught.value.leftover is None


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


def test_without_stock_other_instance_types_are_tried_and_then_the_reason_is_told(eci: Emulator) -> None:
    options = EciOptions(instance_types=["ecs.c6.large"], fallback_instance_types=["ecs.c7.large"])
    eci.inject(f"{CREATE}:schedule-failed,nth=1", f"{CREATE}:no-stock,nth=3,times=2")
    with connect(eci) as client:
        box = client.create(options=options)
        assert box.info().details["instance_type"] == "ecs.c7.large"
        assert living(eci) == [box.id]
        with pytest.raises(sandboxkit.NoCapacity):
            client.create(options=options)
        assert living(eci) == [box.id]
        assert asked(eci, CREATE) == [4]


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
