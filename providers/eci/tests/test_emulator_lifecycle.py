"""A group's statuses, containers and events, on a clock that the test moves."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from sandboxkit_eci.emulator.clock import Clock
from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.faults import parse
from sandboxkit_eci.emulator.groups import Group, group_size, make_containers
from sandboxkit_eci.emulator.lifecycle import Life
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.runtime import Runtime

from .scripted import ScriptedBackend, ScriptedMachine


@attrs.define(eq=False)
class _Timer:
    call: Callable[[], None] | None

    def cancel(self) -> None:
        self.call = None


class ManualClock(Clock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        super().__init__(1.0)
        self.time = 1_000_000.0
        self._timers: list[tuple[float, int, _Timer]] = []

    def now(self) -> float:
        return self.time

    def later(self, seconds: float, call: Callable[[], None]) -> _Timer:
        timer = _Timer(call)
        heapq.heappush(self._timers, (self.time + max(0.0, seconds), id(timer), timer))
        return timer

    async def advance(self, seconds: float) -> None:
        """Let so much time pass; everything that is due happens in turn."""
        end = self.time + seconds
        await settle()
        while self._timers and self._timers[0][0] <= end:
            self.time, _, timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()
            await settle()
        self.time = end
        await settle()


async def settle() -> None:
    """Let everything happen that waits for nothing but the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


@attrs.define(eq=False)
class Scene:
    """One group, what it lives on, and whether it is gone."""

    group: Group
    life: Life
    clock: ManualClock
    backend: ScriptedBackend
    runtime: Runtime
    gone: list[Group]

    @property
    def status(self) -> str:
        return self.group.status

    @property
    def machine(self) -> ScriptedMachine:
        return self.backend.machines[-1]

    def reasons(self) -> list[str]:
        return [event.reason for event in self.group.events]

    async def run(self) -> None:
        """Let it get to Running."""
        await self.clock.advance(self.runtime.delays.scheduling + self.runtime.delays.pending)
        await self.clock.advance(self.runtime.delays.pull)
        assert self.status == "Running"


@asynccontextmanager
async def scene(*, quirks: Quirks | None = None, faults: tuple[str, ...] = (), **given: Any) -> AsyncIterator[Scene]:
    request = {"ContainerGroupName": "group", "Container": [{"Name": "main", "Image": "busybox"}], **given}
    clock, backend, gone = ManualClock(), ScriptedBackend(), list[Group]()
    runtime = Runtime(backend=backend, clock=clock, quirks=quirks or Quirks())
    size = group_size(request)
    group = Group(
        id="eci-1",
        serial=1,
        account="a",
        region="r",
        given=request,
        created=clock.now(),
        size=size,
        containers=make_containers(request, "Container", "eci-1", size),
        init_containers=make_containers(request, "InitContainer", "eci-1", size),
        events=Events("eci-1"),
        tags={},
        faults=tuple(parse(fault) for fault in faults),
    )
    life = Life(group, runtime, gone.append)
    life.begin()
    try:
        yield Scene(group, life, clock, backend, runtime, gone)
    finally:
        await life.close()
        assert all(machine.removed for machine in backend.machines)


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
            assert container.log() == b"said\n"
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
            assert (code, b"first\n") == (container.previous.exit_code, container.log(previous=True))

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


def test_a_missing_image_is_pulled_again_and_again_and_then_given_up() -> None:
    async def body() -> None:
        async with scene(Container=[{"Name": "main", "Image": "missing"}], MaxPendingMinute=60) as it:
            await it.clock.advance(600)
            state = it.group.containers[0].state
            assert (it.status, state.kind, state.reason) == ("Pending", "Waiting", "ImagePullBackOff")
            assert {"Failed", "BackOff"} <= set(it.reasons())
            await it.clock.advance(3600)
            assert it.status == "Failed"

    asyncio.run(body())


def test_an_image_that_fails_to_come_once_comes_then() -> None:
    async def body() -> None:
        async with scene(faults=("*:image-pull=1",)) as it:
            await it.clock.advance(600)
            assert it.status == "Running"
            assert "Failed" in it.reasons()

    asyncio.run(body())


def test_a_container_that_cannot_be_made_says_why() -> None:
    async def body() -> None:
        async with scene() as it:
            it.backend.failures.append(RuntimeError("no such thing"))
            await it.clock.advance(41)
            assert it.group.containers[0].state.message == "no such thing"
            await it.clock.advance(60)
            assert it.status == "Running"

    asyncio.run(body())


def test_containers_that_come_first_run_to_their_end() -> None:
    async def body() -> None:
        async with scene(InitContainer=[{"Name": "first", "Image": "busybox"}], RestartPolicy="Never") as it:
            await it.clock.advance(60)
            assert (it.status, [m.spec.name for m in it.backend.machines]) == ("Pending", ["first"])
            it.machine.end(0)
            await it.clock.advance(60)
            assert (it.status, it.machine.spec.name) == ("Running", "main")

    asyncio.run(body())


def test_a_first_container_that_fails_fails_the_group() -> None:
    async def body() -> None:
        async with scene(InitContainer=[{"Name": "first", "Image": "busybox"}], RestartPolicy="Never") as it:
            await it.clock.advance(60)
            it.machine.end(1)
            await settle()
            assert (it.status, len(it.backend.machines)) == ("Failed", 1)

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
        async with scene(faults=("*:reclaim=60",)) as it:
            await it.run()
            await it.clock.advance(60)
            assert (it.status, "SpotToBeReleased" in it.reasons()) == ("Running", True)
            await it.clock.advance(it.runtime.delays.spot_notice)
            assert (it.status, it.machine.removed) == ("Expired", True)

    asyncio.run(body())


def test_a_late_group_runs_late() -> None:
    async def body() -> None:
        async with scene(faults=("*:late-running=500",)) as it:
            await it.clock.advance(400)
            assert it.status == "Pending"
            await it.clock.advance(200)
            assert it.status == "Running"

    asyncio.run(body())


def test_only_the_newest_fifty_events_are_kept_and_equal_ones_counted() -> None:
    events = Events("g")
    for number in range(60):
        events.add(f"R{number}", "m", now=float(number))
    events.add("R59", "m", now=60.0)
    assert [f"R{number}" for number in range(10, 60)] == [event.reason for event in events]
    assert [(e.count, e.first, e.last) for e in events][-1] == (2, 59.0, 60.0)
