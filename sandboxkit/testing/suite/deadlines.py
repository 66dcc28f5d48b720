"""Time to live, ownership and the removal of what was left behind: L7, L8."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest

import sandboxkit
from sandboxkit import Status
from sandboxkit.client import AsyncClient
from sandboxkit.model import DEFAULT_TTL
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing import acts
from sandboxkit.testing.looking import needle, present
from sandboxkit.testing.promises import promise
from sandboxkit.testing.stage import Stage

GRACE = 6.0
"""Seconds after its deadline within which a sandbox must have ended: a busy machine is late."""


async def _runs(client: AsyncClient, box: AsyncSandbox) -> bool:
    try:
        return (await client.info(box.id)).status is Status.RUNNING and (await box.exec("true")).exit_code == 0
    except sandboxkit.SandboxError:
        return False


async def _short_lived(
    stage: Stage,
    first: float,
    client: AsyncClient | None = None,
    *,
    seen: Callable[[AsyncSandbox], Awaitable[bool]] | None = None,
    **spec: Any,
) -> tuple[AsyncSandbox, float]:
    """Make a sandbox that soon ends, and give its ttl: on a busy machine one in which it can be seen at all."""
    for ttl in (first, 8.0, 30.0):
        began = time.monotonic()
        try:
            box = await stage.create(client, ttl=ttl, **spec)
        except sandboxkit.SandboxError:
            if time.monotonic() - began < ttl:
                raise
            continue
        try:
            if seen is None or await stage.eventually(partial(seen, box), within=0.75 * ttl):
                return box, ttl
        except sandboxkit.SandboxNotRunning:
            if time.monotonic() - began < ttl - 1:
                raise
        await box.delete()
    pytest.fail("no sandbox lived long enough to be seen")


class Deadlines:
    """Tests of what happens to a sandbox that nobody deletes."""

    @promise("L7")
    async def test_a_sandbox_carries_its_owner_and_its_deadline(self, stage: Stage, client: AsyncClient) -> None:
        assert client.capabilities["ttl"].value in ("enforced", "cooperative")
        began = time.time()
        async with stage.create(ttl=500.0) as box:
            info = await box.info()
            assert info.owner == stage.owner
            assert info.expires_at is not None
            assert began + 499 <= info.expires_at <= time.time() + 501

    @promise("L7")
    async def test_without_a_ttl_there_is_a_deadline_too(self, stage: Stage, client: AsyncClient) -> None:
        spec = stage.spec()
        del spec["ttl"]
        began = time.time()
        async with client.create(**spec) as box:
            info = await box.info()
            assert info.expires_at is not None
            assert began + DEFAULT_TTL - 1 <= info.expires_at <= time.time() + DEFAULT_TTL + 1

    @promise("L7", "X11", delta=True)
    async def test_the_deadline_holds_when_the_client_is_dead(self, stage: Stage, client: AsyncClient) -> None:
        with stage.child(acts.create, stage.spec(ttl=5.0)) as child:
            assert child.line() == "creating"
            sandbox_id = child.line()
            child.kill()
        box = await client.get(sandbox_id)
        deadline = (await box.info()).expires_at
        assert deadline is not None
        number = needle()
        await box.exec(f"sleep {number} >/dev/null 2>&1 &")
        assert await stage.eventually(present(box, number))

        async def over() -> bool:
            # A command at the very end may run or be lost, whatever the service says of the sandbox meanwhile.
            try:
                await box.exec("true")
            except (sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound):
                return True
            except sandboxkit.SandboxError:
                return False
            return False

        assert await stage.eventually(over, within=deadline - time.time() + GRACE)
        assert time.time() >= deadline - 1
        began = time.monotonic()
        with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
            await box.exec("true")
        with pytest.raises((sandboxkit.SandboxNotRunning, sandboxkit.SandboxNotFound)):
            await box.files.write("x", b"x")
        assert time.monotonic() - began < GRACE
        await client.gc()
        assert sandbox_id not in await stage.listed()

    @promise("L7", needs="command")
    async def test_the_deadline_holds_for_a_command_of_the_users(self, stage: Stage, client: AsyncClient) -> None:
        number = needle()
        deaf = ["sh", "-c", f"trap '' TERM HUP INT; sleep {number} & while :; do sleep 1; done"]
        box, ttl = await _short_lived(stage, 2.0, seen=lambda box: present(box, number)(), command=deaf)

        async def over() -> bool:
            return not await _runs(client, box)

        assert await stage.eventually(over, within=ttl + GRACE)
        await client.gc()
        assert box.id not in await stage.listed()

    @promise("L7", "L8", delta=True)
    async def test_tampering_does_not_outlive_the_deadline(self, stage: Stage, client: AsyncClient) -> None:
        stopped, first = await _short_lived(stage, 2.0)
        killed, second = await _short_lived(stage, 2.0)
        end = time.time() + max(first, second)
        # What it stops or kills may be its own launcher, and the keep-alive: any answer will do, a hang will not.
        for box, signal in ((stopped, "STOP"), (killed, "KILL")):
            try:
                await box.exec(f"kill -{signal} 1; kill -{signal} -1; sleep 1", timeout=1)
            except sandboxkit.SandboxError:
                continue
        await stage.pause(max(0.0, end + 0.5 - time.time()))

        async def swept() -> bool:
            await client.gc()
            return not {stopped.id, killed.id} & await stage.listed()

        assert await stage.eventually(swept, within=GRACE)

    @promise("L7", needs="extend")
    async def test_extend_moves_the_deadline(self, stage: Stage) -> None:
        async with stage.create(ttl=3.0) as box:
            info = await box.extend(60.0)
            assert info.expires_at is not None
            assert info.expires_at > time.time() + 50
            await stage.pause(3.5)
            assert (await box.exec("echo on")).text == "on\n"

    @promise("L8")
    async def test_gc_removes_what_has_expired_and_nothing_else(self, stage: Stage, client: AsyncClient) -> None:
        async with stage.connect(owner=f"{stage.owner}-other") as other:
            async with (
                stage.create(labels={"gc": "yes"}) as kept,
                stage.create(other, labels={"gc": "yes"}) as theirs,
            ):
                assert {info.id for info in await client.gc(dry_run=True)} & {kept.id, theirs.id} == set()
                expired, first = await _short_lived(stage, 1.0, labels={"gc": "yes"})
                foreign, second = await _short_lived(stage, 1.0, other, labels={"gc": "yes"})
                await stage.pause(max(first, second) + 0.5)
                listed = await stage.listed(gc="yes")
                # One that is gone by itself needs no removal; one that is not must be found without a memory of it.
                async with stage.connect() as fresh:
                    found = {info.id for info in await fresh.gc(dry_run=True)}
                    assert found & {expired.id} == listed & {expired.id}
                    assert await stage.listed(gc="yes") >= listed & {expired.id, kept.id, theirs.id}
                    removed = {info.id for info in await fresh.gc()}
                assert removed & {kept.id, foreign.id, theirs.id} == set()
                after = await stage.listed(gc="yes")
                assert expired.id not in after
                assert after >= listed & {kept.id, foreign.id, theirs.id}
                assert {kept.id, theirs.id} <= after
                assert (await kept.exec("echo kept")).text == "kept\n"
            await other.gc()
            assert foreign.id not in await stage.listed(gc="yes")
