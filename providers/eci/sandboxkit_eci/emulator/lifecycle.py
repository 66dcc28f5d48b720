"""How a group gets from one status to the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sandboxkit_eci.emulator import health
from sandboxkit_eci.emulator.clock import Timer
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.groups import ENDED, Group
from sandboxkit_eci.emulator.runtime import Runtime
from sandboxkit_eci.emulator.starting import back_off, start, start_all
from sandboxkit_eci.emulator.walks import Walks

logger = logging.getLogger("sandboxkit.eci.emulator")

MAX_PENDING = 4 * 3600.0
"""Seconds that a group may take to run."""

KILLED = 137
"""The exit code of a container that the service ended: SIGKILL."""


class Life:
    """Walks one group through its statuses, one walk at a time; ``gone`` is called when nothing of it is left."""

    def __init__(self, group: Group, runtime: Runtime, gone: Callable[[Group], None]) -> None:
        self.group = group
        self._runtime = runtime
        self._gone = gone
        self._walks = Walks(self._failed)
        self._timers: list[Timer] = []

    # -- what the API asks for --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Schedule the group, unless it has ended already."""
        if self.group.status in ENDED:
            return
        seconds = self.group.given.get("ActiveDeadlineSeconds")
        if seconds is not None:
            left = self.group.created + seconds - self._runtime.clock.now()
            self._timers.append(self._runtime.clock.later(left, self._deadline_reached))
        self._walks.begin(self._from_the_start)

    def restart(self) -> None:
        """Start all containers anew."""
        self._set("Restarting", "The container group is restarting")
        self._walks.begin(partial(self._anew, self._runtime.delays.restarting))

    def update(self, given: dict[str, Any], containers: list[Container], first: list[Container]) -> None:
        """Replace the request and the containers, those that run ``first`` included, and start those."""
        old = self.group.all_containers
        self.group.containers, self.group.init_containers = containers, first
        self.group.given = given
        self._set("Updating", "The container group is being updated")
        self._walks.begin(partial(self._anew, self._runtime.delays.updating, old))

    def delete(self, *, force: bool) -> None:
        """End and forget it."""
        self._set("Terminating", "The container group is being deleted")
        self._walks.begin(partial(self._removal, None if force else self._runtime.delays.terminating))

    def reclaim(self) -> None:
        """Take a spot group back, with notice."""
        if self.group.status == "Running":
            self._walks.begin(self._reclaimed)

    async def close(self, *, keep: bool = False) -> None:
        """Stop walking and let go of the machines, unless they are to be taken up again."""
        self._cancel_timers()
        await self._walks.end()
        if not keep:
            await self._release()

    # -- walks ------------------------------------------------------------------------------------------------------

    async def _from_the_start(self) -> None:
        group, runtime = self.group, self._runtime
        if any(container.kept for container in group.containers):
            # It ran when the emulator was stopped: there is nothing to schedule and nothing to pull.
            await self._run()
            return
        await runtime.clock.delay(runtime.delays.scheduling)
        if group.fault("schedule-failed"):
            words = "Create ECI failed because the specified instance is out of stock."
            runtime.note(group, "NoStock", words, warning=True)
            group.status = "ScheduleFailed"
            return
        if runtime.quirks.status_while_pulling == "Pending":
            group.status = "Pending"
        runtime.note(group, "Scheduled", f"Successfully assigned {group.id} to virtual-kubelet")
        await runtime.clock.delay(runtime.delays.pending)
        if late := group.fault("late-running"):
            await runtime.clock.sleep(late.seconds)
        await self._run()

    async def _anew(self, seconds: float, replaced: list[Container] | None = None) -> None:
        """Start the containers again, in place or from their images."""
        await self._stopping(replaced or self.group.all_containers)
        for container in replaced or ():
            await container.release()
        keep = self._runtime.quirks.restart_files == "kept"
        for container in self.group.all_containers:
            container.turn_log()
            container.ends(KILLED, now=self._runtime.clock.now())
            container.waits("ContainerCreating")
            if replaced is None:
                container.restarts += 1
            if not keep:
                await container.release()
        await self._runtime.clock.delay(seconds)
        await self._run()

    async def _run(self) -> None:
        """Start the containers, wait for their ends, and let go of them."""
        try:
            limit = self.group.given.get("MaxPendingMinute", 0) * 60 or MAX_PENDING
            timer = self._runtime.clock.later(limit, self._pending_too_long)
            try:
                started = await start_all(self.group, self._runtime)
            finally:
                timer.cancel()
            if started:
                self._running()
                await asyncio.gather(*(self._tend(container) for container in self.group.containers))
        finally:
            if self._walks.is_newest():
                await self._release()
        good = all(container.state.exit_code == 0 for container in self.group.all_containers)
        self._end("Succeeded" if good else "Failed")

    def _running(self) -> None:
        self.group.status = "Running"
        self._runtime.changed()
        if self.group.given.get("AutoCreateEip") or self.group.given.get("EipInstanceId"):
            self.group.internet_ip = f"203.0.113.{self.group.serial % 254 + 1}"
        if self.group.is_spot and (fault := self.group.fault("reclaim")):
            self._timers.append(self._runtime.clock.later(fault.seconds, self.reclaim))

    async def _tend(self, container: Container) -> None:
        """Wait for a container's end, and start it anew as often as the policy says."""
        while container.machine is not None:
            code = await health.wait(self.group, container, self._runtime)
            container.ends(code, now=self._runtime.clock.now())
            policy = self.group.restart_policy
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return
            container.turn_log()
            message = f"Back-off restarting failed container={container.name}"
            container.waits("CrashLoopBackOff", message)
            self._runtime.note(self.group, "BackOff", message, warning=True)
            await back_off(self._runtime, container.restarts)
            container.restarts += 1
            await start(self.group, container, self._runtime)

    async def _removal(self, seconds: float | None) -> None:
        """Stop the containers and remove them after so many seconds; ``None`` is at once, without their hooks."""
        self._cancel_timers()
        if seconds is not None:
            await self._stopping(self.group.all_containers)
        await self._runtime.clock.delay(seconds or 0.0)
        try:
            await self._release()
        finally:
            self._gone(self.group)

    async def _reclaimed(self) -> None:
        seconds = self._runtime.delays.spot_notice
        message = f"Spot ECI will be released in {seconds / 60:.0f} minutes"
        self._runtime.note(self.group, "SpotToBeReleased", message, warning=True)
        await self._runtime.clock.delay(seconds)
        await self._ended_by_service("Expired", "SpotReleased")

    async def _ended_by_service(self, status: str, reason: str) -> None:
        now = self._runtime.clock.now()
        for container in self.group.all_containers:
            container.ends(KILLED, now=now, reason=reason)
        self._end(status)
        await self._release()

    # -- what happens by itself -------------------------------------------------------------------------------------

    def _deadline_reached(self) -> None:
        if self.group.status in ENDED or self.group.status == "Terminating":
            return
        message = "Container group was active on the node longer than the specified deadline"
        self._runtime.note(self.group, "DeadlineExceeded", message, warning=True)
        status = self._runtime.quirks.deadline_status
        if status == "gone":
            self._walks.begin(partial(self._removal, None))
        else:
            self._walks.begin(partial(self._ended_by_service, status, "DeadlineExceeded"))

    def _pending_too_long(self) -> None:
        self._runtime.note(self.group, "PendingTimeout", "The container group was pending for too long", warning=True)
        self._walks.begin(partial(self._ended_by_service, "Failed", "PendingTimeout"))

    def _failed(self, exc: Exception) -> None:
        logger.error("group %s", self.group.id, exc_info=exc)
        self._runtime.note(self.group, "Failed", f"{type(exc).__name__}: {exc}", warning=True)
        self._end("Failed")

    # -- small steps ------------------------------------------------------------------------------------------------

    def _set(self, status: str, message: str) -> None:
        self.group.status = status
        self._runtime.note(self.group, status, message)

    def _end(self, status: str) -> None:
        self._cancel_timers()
        self.group.status = status
        now = self._runtime.clock.now()
        setattr(self.group, {"Succeeded": "succeeded", "Failed": "failed"}.get(status, "expired"), now)
        self._runtime.changed()

    async def _stopping(self, containers: Iterable[Container]) -> None:
        await asyncio.gather(*(health.stopping(self.group, each, self._runtime) for each in containers))

    async def _release(self) -> None:
        """Let go of every machine, whatever becomes of one of them."""
        ends = await asyncio.gather(*(each.release() for each in self.group.all_containers), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                logger.error("group %s: a container could not be removed: %s", self.group.id, end)

    def _cancel_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
