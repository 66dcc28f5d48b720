"""How a group gets from one status to the next."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from sandboxkit_eci.emulator.backend import ImageError
from sandboxkit_eci.emulator.clock import Timer
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.groups import ENDED, Group
from sandboxkit_eci.emulator.runtime import Runtime

logger = logging.getLogger("sandboxkit.eci.emulator")

LEAST_BACK_OFF = 0.05
"""Real seconds between two tries, however fast the service's own time goes."""

MAX_PENDING = 4 * 3600.0
"""Seconds that a group may take to run."""


class Life:
    """Walks one group through its statuses, one walk at a time; ``gone`` is called when nothing of it is left."""

    def __init__(self, group: Group, runtime: Runtime, gone: Callable[[Group], None]) -> None:
        self.group = group
        self._runtime = runtime
        self._gone = gone
        self._task: asyncio.Task[None] | None = None
        self._deadline: Timer | None = None

    # -- what the API asks for --------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Schedule the group, unless it has ended already."""
        if self.group.status in ENDED:
            return
        seconds = self.group.given.get("ActiveDeadlineSeconds")
        if seconds is not None:
            left = self.group.created + seconds - self._runtime.clock.now()
            self._deadline = self._runtime.clock.later(left, self._deadline_reached)
        self._walk(self._from_the_start())

    def restart(self) -> None:
        """Start all containers anew."""
        self.group.status = "Restarting"
        self._event("Restarting", "The container group is restarting")
        self._walk(self._anew(self._runtime.delays.restarting))

    def update(self, given: dict[str, Any], containers: list[Container]) -> None:
        """Replace the request and the containers, and start those."""
        old, self.group.containers = self.group.containers, containers
        self.group.given = given
        self.group.status = "Updating"
        self._event("Updating", "The container group is being updated")
        self._walk(self._anew(self._runtime.delays.updating, old))

    def delete(self, *, force: bool) -> None:
        """End and forget it."""
        self.group.status = "Terminating"
        self._event("Killing", "The container group is being deleted")
        self._walk(self._removal(0.0 if force else self._runtime.delays.terminating))

    def reclaim(self, seconds: float = 0.0) -> None:
        """Take a spot group back after so many seconds, with notice."""
        self._walk(self._reclaimed(seconds))

    async def close(self) -> None:
        """Stop walking and let go of the machines."""
        self._cancel_deadline()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._release()

    async def settled(self) -> None:
        """Wait until the present walk has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    # -- walks ------------------------------------------------------------------------------------------------------

    def _walk(self, steps: Coroutine[Any, Any, None]) -> None:
        previous = self._task
        self._task = asyncio.get_running_loop().create_task(self._after(previous, steps))

    async def _after(self, previous: asyncio.Task[None] | None, steps: Coroutine[Any, Any, None]) -> None:
        try:
            if previous is not None:
                await _stopped(previous)
            await steps
        except Exception as exc:
            logger.exception("group %s", self.group.id)
            self._event("Failed", f"{type(exc).__name__}: {exc}", warning=True)
            self._end("Failed")
        finally:
            steps.close()  # if it never began

    async def _from_the_start(self) -> None:
        group, runtime = self.group, self._runtime
        await runtime.clock.delay(runtime.delays.scheduling)
        if group.fault("schedule-failed"):
            self._event("NoStock", "Create ECI failed because the specified instance is out of stock.", warning=True)
            group.status = "ScheduleFailed"
            return
        if runtime.quirks.status_while_pulling == "Pending":
            group.status = "Pending"
        self._event("Scheduled", f"Successfully assigned {group.id} to virtual-kubelet")
        await runtime.clock.delay(runtime.delays.pending)
        if late := group.fault("late-running"):
            await runtime.clock.sleep(late.seconds)
        await self._run()

    async def _run(self) -> None:
        """Start the containers, wait for their ends, and let go of them."""
        try:
            limit = self.group.given.get("MaxPendingMinute", 0) * 60 or MAX_PENDING
            timer = self._runtime.clock.later(limit, self._pending_too_long)
            try:
                started = await self._start_all()
            finally:
                timer.cancel()
            if started:
                self._running()
                await asyncio.gather(*(self._tend(container) for container in self.group.containers))
        finally:
            if asyncio.current_task() is self._task:
                await self._release()
        good = all(container.state.exit_code == 0 for container in self.group.all_containers)
        self._end("Succeeded" if good else "Failed")

    def _running(self) -> None:
        self.group.status = "Running"
        if self.group.given.get("AutoCreateEip") or self.group.given.get("EipInstanceId"):
            self.group.internet_ip = f"203.0.113.{self.group.serial % 254 + 1}"
        if fault := self.group.fault("reclaim"):
            self._runtime.clock.later(fault.seconds, self._reclaim_if_running)

    def _reclaim_if_running(self) -> None:
        if self.group.status == "Running":
            self.reclaim()

    async def _start_all(self) -> bool:
        """Run the first containers to their ends, then start the others; ``False`` if one of the first failed."""
        for container in self.group.init_containers:
            await self._start(container)
            assert container.machine is not None
            code = await container.machine.wait()
            container.ends(code, now=self._runtime.clock.now())
            await container.release()
            if code != 0:
                return False
        await asyncio.gather(*(self._start(container) for container in self.group.containers))
        return True

    async def _start(self, container: Container) -> None:
        """Start one container, trying again as often as it takes."""
        runtime, tries = self._runtime, 0
        while True:
            try:
                if container.machine is not None:
                    await container.machine.restart()
                else:
                    pulled = await self._pull(container, tries)
                    container.machine = await runtime.backend.start(container.spec)
                    if pulled:
                        self._event("Pulled", f'Successfully pulled image "{container.given["Image"]}"')
            except ImageError as exc:
                self._event("Failed", f'Failed to pull image "{container.given["Image"]}": {exc}', warning=True)
                reason, words = ("ErrImagePull" if tries == 0 else "ImagePullBackOff"), str(exc)
            except Exception as exc:  # noqa: BLE001 - whatever a backend raises is an event
                words = str(exc) or type(exc).__name__
                reason = "CreateContainerError" if tries == 0 else "CrashLoopBackOff"
                self._event("FailedCreate", f"Failed to create container {container.name}: {words}", warning=True)
            else:
                break
            container.waits(reason, words)
            if tries:
                self._event("BackOff", f'Back-off pulling image "{container.given["Image"]}"', warning=True)
            await self._back_off(tries)
            tries += 1
        container.runs(now=runtime.clock.now())
        runtime.images.add(container.given["Image"])
        self._event("Created", f"Created container {container.name}")
        self._event("Started", f"Started container {container.name}")

    async def _pull(self, container: Container, tries: int) -> bool:
        """Take the time that the image takes; ``False`` if it takes none."""
        image = container.given["Image"]
        fault = self.group.fault("image-pull")
        if fault and (not fault.value or tries < float(fault.value)):
            raise ImageError(f"failed to resolve reference {image}: not found")
        given = self.group.given
        if image in self._runtime.images or given.get("AutoMatchImageCache") or given.get("ImageSnapshotId"):
            self._event("SuccessfulHitImageCache", f"Container image {image} is present in the image cache")
            return False
        self._event("Pulling", f'Pulling image "{image}"')
        await self._runtime.clock.delay(self._runtime.delays.pull)
        return True

    async def _tend(self, container: Container) -> None:
        """Wait for a container's end, and start it anew as often as the policy says."""
        clock = self._runtime.clock
        while container.machine is not None:
            code = await container.machine.wait()
            container.ends(code, now=clock.now())
            policy = self.group.restart_policy
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return
            container.turn_log()
            message = f"Back-off restarting failed container={container.name}"
            container.waits("CrashLoopBackOff", message)
            self._event("BackOff", message, warning=True)
            await self._back_off(container.restarts)
            container.restarts += 1
            await self._start(container)

    async def _anew(self, seconds: float, replaced: list[Container] | None = None) -> None:
        """Start the containers again, in place or from their images."""
        for container in replaced or ():
            await container.release()
        keep = self._runtime.quirks.restart_files == "kept"
        for container in self.group.all_containers:
            container.turn_log()
            container.ends(137, now=self._runtime.clock.now())
            container.waits("ContainerCreating")
            if replaced is None:
                container.restarts += 1
            if not keep:
                await container.release()
        await self._runtime.clock.delay(seconds)
        await self._run()

    async def _removal(self, seconds: float) -> None:
        self._cancel_deadline()
        await self._runtime.clock.delay(seconds)
        try:
            await self._release()
        finally:
            self._gone(self.group)

    async def _reclaimed(self, seconds: float) -> None:
        minutes = self._runtime.delays.spot_notice / 60
        await self._runtime.clock.sleep(seconds)
        self._event("SpotToBeReleased", f"Spot ECI will be released in {minutes:.0f} minutes", warning=True)
        await self._runtime.clock.delay(self._runtime.delays.spot_notice)
        await self._ended_by_service("Expired", "SpotReleased")

    def _deadline_reached(self) -> None:
        if self.group.ended is None and self.group.status not in ("Terminating", "ScheduleFailed"):
            message = "Container group was active on the node longer than the specified deadline"
            self._event("DeadlineExceeded", message, warning=True)
            status = self._runtime.quirks.deadline_status
            steps = self._removal(0.0) if status == "gone" else self._ended_by_service(status, "DeadlineExceeded")
            self._walk(steps)

    def _pending_too_long(self) -> None:
        self._event("PendingTimeout", "The container group was pending for too long", warning=True)
        self._walk(self._ended_by_service("Failed", "PendingTimeout"))

    async def _ended_by_service(self, status: str, reason: str) -> None:
        now = self._runtime.clock.now()
        for container in self.group.all_containers:
            container.ends(137, now=now, reason=reason)
        self._end(status)
        await self._release()

    # -- small steps ------------------------------------------------------------------------------------------------

    def _end(self, status: str) -> None:
        self._cancel_deadline()
        self.group.status = status
        now = self._runtime.clock.now()
        setattr(self.group, {"Succeeded": "succeeded", "Failed": "failed"}.get(status, "expired"), now)

    async def _release(self) -> None:
        """Let go of every machine, whatever becomes of one of them."""
        ends = await asyncio.gather(*(each.release() for each in self.group.all_containers), return_exceptions=True)
        for end in ends:
            if isinstance(end, BaseException):
                logger.error("group %s: a container could not be removed: %s", self.group.id, end)

    async def _back_off(self, tries: int) -> None:
        delays = self._runtime.delays
        seconds = min(delays.longest_back_off, delays.back_off * 2 ** min(tries, 10))
        await self._runtime.clock.delay(seconds, least=LEAST_BACK_OFF)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        self.group.events.add(reason, message, now=self._runtime.clock.now(), warning=warning)


async def _stopped(task: asyncio.Task[None]) -> None:
    """Cancel a walk and wait until it has ended, also if this is cancelled meanwhile.

    Whatever it was making is then there or undone, before anything else happens to the group.
    """
    task.cancel()
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError
