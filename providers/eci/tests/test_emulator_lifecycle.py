"""A group's statuses, on a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest
from sandboxkit_eci.emulator.quirks import Quirks

from .manualclock import settle
from .scene import scene


def test_a_group_is_scheduled_then_pending_then_runs() -> None:
    async def body() -> None:
        async with scene() as it:
            seen = [it.status]
            for _ in range(60):
                await it.clock.advance(1.0)
                if it.status != seen[-1]:
                    seen.append(it.status)
            assert seen == ["Scheduling", "Pending", "Running"]
            assert it.reasons() == ["Scheduled", "Pulling", "Pulled", "Created", "Started"]
            assert it.group.containers[0].state.kind == "Running"

    asyncio.run(body())


@pytest.mark.parametrize(("code", "status"), [(0, "Succeeded"), (3, "Failed")])
def test_a_group_that_is_never_restarted_ends_as_its_container(code: int, status: str) -> None:
    async def body() -> None:
        async with scene(RestartPolicy="Never") as it:
            await it.run()
            it.machine.output = b"said\n"
            it.machine.end(code)
            await settle()
            container = it.group.containers[0]
            assert (status, code, "Terminated") == (it.status, container.state.exit_code, container.state.kind)
            assert it.machine.removed
            assert container.log().data == b"said\n"
            assert it.group.ended == it.clock.now()

    asyncio.run(body())


@pytest.mark.parametrize(
    ("policy", "code", "again"), [("Always", 0, True), ("OnFailure", 1, True), ("OnFailure", 0, False)]
)
def test_the_policy_decides_on_a_restart(policy: str, code: int, again: bool) -> None:
    async def body() -> None:
        async with scene(RestartPolicy=policy) as it:
            await it.run()
            it.machine.output = b"first\n"
            it.machine.end(code)
            await settle()
            container = it.group.containers[0]
            if not again:
                assert it.status == "Succeeded"
                return
            assert (it.status, container.state.reason) == ("Running", "CrashLoopBackOff")
            await it.clock.advance(it.runtime.delays.back_off)
            assert (container.state.kind, container.restarts, it.machine.restarts) == ("Running", 1, 1)
            assert container.previous is not None
            assert (code, b"first\n") == (container.previous.exit_code, container.log(previous=True).data)

    asyncio.run(body())


@pytest.mark.parametrize("status", ["Failed", "Expired", "Succeeded"])
def test_a_deadline_ends_a_group_with_the_status_of_the_quirk(status: str) -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(deadline_status=status), ActiveDeadlineSeconds=100) as it:
            await it.run()
            await it.clock.advance(50)
            assert it.status == "Running"
            await it.clock.advance(20)
            assert (status, True) == (it.status, it.machine.removed)
            assert it.group.containers[0].state.reason == "DeadlineExceeded"

    asyncio.run(body())


def test_a_deadline_may_also_take_the_group_away() -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(deadline_status="gone"), ActiveDeadlineSeconds=100) as it:
            await it.run()
            await it.clock.advance(100)
            assert [it.group] == it.gone

    asyncio.run(body())


@pytest.mark.parametrize("force", [False, True])
def test_a_deleted_group_terminates_for_a_while_and_is_gone(force: bool) -> None:
    async def body() -> None:
        async with scene() as it:
            await it.run()
            it.life.delete(force=force)
            assert it.status == "Terminating"
            await settle()
            assert ([it.group] if force else []) == it.gone
            await it.clock.advance(it.runtime.delays.terminating)
            assert [it.group] == it.gone
            assert it.machine.removed

    asyncio.run(body())


@pytest.mark.parametrize("after", [0.0, 1.0, 3.0, 11.0, 41.0])
def test_a_group_can_be_deleted_at_any_time(after: float) -> None:
    async def body() -> None:
        async with scene() as it:
            await it.clock.advance(after)
            it.life.delete(force=False)
            it.life.delete(force=True)
            await settle()
            assert [it.group] == it.gone[:1]
            assert all(machine.removed for machine in it.backend.machines)

    asyncio.run(body())


@pytest.mark.parametrize("files", ["lost", "kept"])
def test_a_restart_makes_containers_anew_or_keeps_their_files(files: str) -> None:
    async def body() -> None:
        async with scene(quirks=Quirks(restart_files=files)) as it:
            await it.run()
            it.life.restart()
            assert it.status == "Restarting"
            await it.clock.advance(it.runtime.delays.restarting + it.runtime.delays.pull)
            assert (it.status, it.group.containers[0].state.kind) == ("Running", "Running")
            assert (1, 1) if files == "kept" else (len(it.backend.machines), it.machine.restarts) == (2, 0)
            it.machine.end(0)
            await it.clock.advance(it.runtime.delays.longest_back_off)
            assert it.group.containers[0].state.kind == "Running"

    asyncio.run(body())


def test_restarts_at_once_leave_one_container_running() -> None:
    async def body() -> None:
        async with scene() as it:
            await it.run()
            for _ in range(3):
                it.life.restart()
            await it.clock.advance(it.runtime.delays.restarting + it.runtime.delays.pull)
            assert it.status == "Running"
            assert sum(not machine.removed for machine in it.backend.machines) == 1

    asyncio.run(body())


def test_a_group_without_stock_fails_to_be_scheduled() -> None:
    async def body() -> None:
        async with scene(faults=("*:schedule-failed",)) as it:
            await it.clock.advance(60)
            assert (it.status, it.reasons()) == ("ScheduleFailed", ["NoStock"])
            assert not it.backend.machines

    asyncio.run(body())


def test_a_spot_group_is_taken_back_with_notice() -> None:
    async def body() -> None:
        async with scene(faults=("*:reclaim=60",), SpotStrategy="SpotAsPriceGo") as it:
            await it.run()
            await it.clock.advance(60)
            assert (it.status, "SpotToBeReleased" in it.reasons()) == ("Running", True)
            await it.clock.advance(it.runtime.delays.spot_notice)
            assert (it.status, it.machine.removed) == ("Expired", True)

    asyncio.run(body())


def test_a_group_that_is_no_spot_group_is_never_taken_back() -> None:
    async def body() -> None:
        async with scene(faults=("*:reclaim=60",)) as it:
            await it.run()
            await it.clock.advance(3600)
            assert (it.status, "SpotToBeReleased" in it.reasons()) == ("Running", False)

    asyncio.run(body())


def test_a_late_group_runs_late() -> None:
    async def body() -> None:
        async with scene(faults=("*:late-running=500",)) as it:
            await it.clock.advance(400)
            assert it.status == "Pending"
            await it.clock.advance(200)
            assert it.status == "Running"

    asyncio.run(body())
