"""One group of the emulator's, without a server, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from sandboxkit_eci.emulator.delays import Delays
from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.faults import parse
from sandboxkit_eci.emulator.groups import Group, group_size, make_containers
from sandboxkit_eci.emulator.lifecycle import Life
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.runtime import Runtime

from .manualclock import ManualClock
from .scripted import ScriptedBackend, ScriptedMachine


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
async def scene(
    *, quirks: Quirks | None = None, delays: Delays | None = None, faults: tuple[str, ...] = (), **given: Any
) -> AsyncIterator[Scene]:
    request = {"ContainerGroupName": "group", "Container": [{"Name": "main", "Image": "busybox"}], **given}
    clock, backend, gone = ManualClock(), ScriptedBackend(), list[Group]()
    runtime = Runtime(backend=backend, clock=clock, quirks=quirks or Quirks(), delays=delays or Delays())
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
