"""Making sandboxes: ready when they are given, made once for each key, nothing left of what failed: L1, L2."""

from __future__ import annotations

import time
from typing import Any

import pytest

import sandboxkit
from sandboxkit import Status
from sandboxkit.client import AsyncClient
from sandboxkit.testing import acts
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage
from sandboxkit.testing.stepping import at_each_step


class Creation:
    """Tests of a sandbox's beginning."""

    @promise("L1")
    async def test_create_returns_when_a_command_can_run(self, stage: Stage) -> None:
        async with stage.create() as box:
            assert (await box.exec(["sh", "-c", "echo up"])).text == "up\n"
            assert (await box.info()).status is Status.RUNNING

    @promise("L1")
    async def test_create_without_waiting_gives_one_that_comes_up(self, stage: Stage) -> None:
        async with stage.create(wait=False) as box:

            async def up() -> bool:
                return (await box.info()).status is Status.RUNNING

            assert await stage.eventually(up, within=60)
            assert (await box.exec(["sh", "-c", "echo up"])).text == "up\n"

    @promise("L1")
    async def test_a_bad_specification_makes_nothing(self, stage: Stage) -> None:
        bad: tuple[dict[str, Any], ...] = (
            {"ttl": 0},
            {"ttl": float("inf")},
            {"ttl": -1.0},
            {"ttl": 1e20},
            {"cpu": 0},
            {"labels": {"sandboxkit.owner": "x"}},
            {"env": {"A=B": "x"}},
            {"env": {"A": "\0"}},
            {"idempotency_key": ""},
            {"idempotency_key": "two words"},
            {"ports": [70000]},
        )
        before = await stage.listed()
        for spec in bad:
            with pytest.raises(sandboxkit.InvalidSpec):
                await stage.create(**spec)
        with pytest.raises(sandboxkit.InvalidSpec):
            await stage.create(options=object())
        assert await stage.listed() == before

    @promise("L1")
    async def test_an_unknown_connect_option_is_refused(self, stage: Stage) -> None:
        with pytest.raises(sandboxkit.InvalidSpec):
            stage.connect(no_such_option=1)

    @promise("L1", needs="image", delta=True)
    async def test_a_missing_image_says_so_and_leaves_nothing(self, stage: Stage) -> None:
        before = await stage.listed()
        with pytest.raises(sandboxkit.ImageNotFound) as caught:
            await stage.create(image="sandboxkit-test.invalid/no/such-image:none")
        assert caught.value.leftover is None
        assert await stage.listed() == before

    @promise("L1", needs="command")
    async def test_a_first_process_that_cannot_start_leaves_nothing(self, stage: Stage) -> None:
        before = await stage.listed()
        with pytest.raises(sandboxkit.SandboxError):
            await stage.create(command=["/no/such/program"])
        assert await stage.listed() == before

    @promise("L1")
    async def test_a_create_cancelled_anywhere_leaves_nothing(self, stage: Stage) -> None:
        before = await stage.listed()
        async for step in at_each_step(stage, most=12):
            made = await step.interrupt(lambda client: stage.create(client))
            if made is not None:
                await made.delete()
            assert await stage.listed() == before, f"interrupted at step {step.number}"

    @promise("L1", "L7", "L8")
    async def test_a_client_killed_in_create_leaves_nothing_for_ever(self, stage: Stage, client: AsyncClient) -> None:
        for delay in (0.005, 0.02, 0.1):
            with stage.child(acts.create, stage.spec(ttl=1.5, labels={"killed": "yes"})) as child:
                assert child.line() == "creating"
                await stage.pause(delay)
                child.kill()
        last = time.time() + 1.5
        left = [info async for info in client.list(labels={**stage.labels, "killed": "yes"})]
        assert all(info.expires_at is not None and info.expires_at <= last for info in left)
        await stage.pause(max(0.0, last + 0.5 - time.time()))

        async def swept() -> bool:
            await client.gc()
            return not await stage.listed(killed="yes")

        assert await stage.eventually(swept, within=10)

    @promise("L2", needs="idempotency")
    async def test_one_key_gives_one_sandbox(self, stage: Stage) -> None:
        async with stage.create(idempotency_key=f"{stage.tag}-one") as box:
            async with stage.connect() as other:
                same = await stage.create(other, idempotency_key=f"{stage.tag}-one")
            assert same.id == box.id
            assert await stage.listed() == {box.id}
            async with stage.create(idempotency_key=f"{stage.tag}-two") as another:
                assert another.id != box.id

    @promise("L2", needs="idempotency")
    async def test_one_key_used_at_once_gives_one_sandbox(self, stage: Stage) -> None:
        made = await stage.gather(*[lambda: stage.create(idempotency_key=f"{stage.tag}-race")] * 4)
        try:
            assert len({box.id for box in made}) == 1
            assert await stage.listed() == {made[0].id}
            assert (await made[-1].exec("echo ok")).text == "ok\n"
        finally:
            await made[0].delete()

    @promise("L2", needs="idempotency")
    async def test_one_key_with_another_specification_is_an_error(self, stage: Stage) -> None:
        async with stage.create(idempotency_key=f"{stage.tag}-same", env={"A": "1"}) as box:
            others: tuple[dict[str, Any], ...] = (
                {"env": {"A": "2"}},
                {"env": {"A": "1"}, "ttl": 77.0},
                {"env": {"A": "1"}, "cwd": "/tmp"},
            )
            for other in others:
                with pytest.raises(sandboxkit.IdempotencyConflict):
                    await stage.create(idempotency_key=f"{stage.tag}-same", **other)
            assert await stage.listed() == {box.id}
            assert (await box.exec("echo $A")).text == "1\n"

    @promise("L2", needs="idempotency")
    async def test_a_key_may_be_used_again_after_delete(self, stage: Stage) -> None:
        first = await stage.create(idempotency_key=f"{stage.tag}-again")
        await first.delete()
        async with stage.create(idempotency_key=f"{stage.tag}-again", env={"A": "2"}) as second:
            assert (await second.exec("echo $A")).text == "2\n"
            assert await stage.listed() == {second.id}

    @promise("L2", needs="idempotency")
    async def test_a_create_whose_reply_was_lost_is_found_again(self, stage: Stage) -> None:
        key = f"{stage.tag}-lost"
        spec = stage.spec(idempotency_key=key, ttl=60.0)
        with stage.child(acts.create, spec) as child:
            assert child.line() == "creating"
            first = child.line()
            child.kill()
        async with stage.create(**spec) as box:
            assert box.id == first
            assert (await box.exec("echo ok")).text == "ok\n"
            assert await stage.listed() == {box.id}

    @promise("L2", needs="idempotency")
    async def test_a_create_after_a_crash_in_the_middle_makes_exactly_one(self, stage: Stage) -> None:
        for number, delay in enumerate((0.0, 0.01, 0.04)):
            spec = stage.spec(idempotency_key=f"{stage.tag}-crash-{number}", ttl=60.0)
            with stage.child(acts.create, spec) as child:
                assert child.line() == "creating"
                await stage.pause(delay)
                child.kill()
            async with stage.create(**spec) as box:
                assert (await box.exec("echo ok")).text == "ok\n"
                assert await stage.listed() == {box.id}

    @promise("L2", needs="idempotency")
    async def test_a_failed_attempt_removes_only_what_it_made(self, stage: Stage, client: AsyncClient) -> None:
        key = f"{stage.tag}-keep"
        async with stage.create(idempotency_key=key) as box:
            async for step in at_each_step(stage, most=8):
                await step.interrupt(lambda other: stage.create(other, idempotency_key=key))
                assert (await client.info(box.id)).status is Status.RUNNING, f"interrupted at step {step.number}"
            assert (await box.exec("echo ok")).text == "ok\n"
