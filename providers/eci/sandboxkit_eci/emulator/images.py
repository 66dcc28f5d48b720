"""Image caches and commits: what makes images, and takes a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import Machine
from sandboxkit_eci.emulator.runtime import Runtime

logger = logging.getLogger("sandboxkit.eci.emulator")

MOST_CACHES = 500
"""Image caches that an account may have in a region."""

PHASES = ("PullBaseImage", "CommitContainer", "PushCommittedImage")


@attrs.define(eq=False, kw_only=True)
class ImageCache:
    """A cache of images, made in a while."""

    id: str
    serial: int
    account: str
    region: str
    given: Mapping[str, Any]
    group_id: str
    snapshot_id: str
    created: float
    tags: dict[str, str]
    status: str = "Preparing"
    fails: bool = False
    """Whether an image of it cannot be pulled."""
    matched: float | None = None
    """When a group was last made from it."""

    @property
    def expires(self) -> float | None:
        """When it goes by itself, if it was asked to."""
        days = self.given.get("RetentionDays")
        return None if not days else self.created + days * 86400.0


@attrs.define(eq=False, kw_only=True)
class Phase:
    """One step of a commit."""

    name: str
    time: float
    status: str = "Running"
    message: str = ""


@attrs.define(eq=False, kw_only=True)
class Commit:
    """A container's files on their way into an image."""

    id: str
    serial: int
    account: str
    region: str
    group_id: str
    container: str
    created: float
    finished: float | None = None
    status: str = "Running"
    message: str = ""
    phases: list[Phase] = attrs.field(factory=list)


class Images:
    """Keeps both, and works on them in the background."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.caches: dict[str, ImageCache] = {}
        self.commits: dict[str, Commit] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._serial = 0

    def new_serial(self) -> int:
        """Give the next one's place among all."""
        self._serial += 1
        return self._serial

    def caches_of(self, account: str, region: str) -> list[ImageCache]:
        """Give an account's caches in a region, the newest first."""
        now = self._runtime.clock.now()
        for cache in list(self.caches.values()):
            if cache.expires is not None and cache.expires <= now:
                self.remove(cache)
        found = [each for each in self.caches.values() if (each.account, each.region) == (account, region)]
        return found[::-1]

    def remove(self, cache: ImageCache) -> None:
        """Forget a cache; images that another one has as well stay cached."""
        del self.caches[cache.id]
        others = {image for each in self.caches.values() if each.status == "Ready" for image in each.given["Image"]}
        self._runtime.images.difference_update(set(cache.given["Image"]) - others)

    def commits_of(self, account: str, region: str) -> list[Commit]:
        """Give an account's commits in a region, the newest first."""
        found = [each for each in self.commits.values() if (each.account, each.region) == (account, region)]
        return found[::-1]

    def make(self, cache: ImageCache) -> None:
        """Begin to make a cache."""
        self.caches[cache.id] = cache
        self._serial = max(self._serial, cache.serial)
        if cache.status != "Ready":
            self._work(self._make(cache))

    def commit(self, commit: Commit, machine: Machine, repository: str, tag: str) -> None:
        """Begin a commit."""
        self.commits[commit.id] = commit
        self._work(self._commit(commit, partial(machine.commit, repository, tag)))

    def resume(self, commit: Commit) -> None:
        """Take up a commit of another life of the emulator: one whose image was not made yet fails."""
        self.commits[commit.id] = commit
        self._serial = max(self._serial, commit.serial)
        if commit.status == "Running":
            commit.phases = [phase for phase in commit.phases if phase.status == "Succeeded"]
            self._work(self._commit(commit, _stopped))

    async def close(self) -> None:
        """Stop working."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _work(self, steps: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make(self, cache: ImageCache) -> None:
        await self._runtime.clock.delay(self._runtime.delays.image_cache / 4)
        cache.status = "Creating"
        await self._runtime.clock.delay(self._runtime.delays.image_cache * 3 / 4)
        if cache.id not in self.caches:  # it was deleted meanwhile
            return
        if cache.fails:
            cache.status = "Failed"
        else:
            self._runtime.images.update(cache.given["Image"])
            cache.status = "Ready"
        self._runtime.changed()

    async def _commit(self, commit: Commit, make: Callable[[], Awaitable[None]]) -> None:
        clock = self._runtime.clock
        try:
            for name in PHASES[len(commit.phases) :]:
                phase = Phase(name=name, time=clock.now())
                commit.phases.append(phase)
                await clock.delay(self._runtime.delays.commit_phase)
                if name == "CommitContainer":
                    self._runtime.changed()  # who is killed now has written which image is to be removed
                    await make()
                phase.status = "Succeeded"
                self._runtime.changed()
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is the task's message
            commit.phases[-1].status = commit.status = "Failed"
            commit.phases[-1].message = commit.message = str(exc) or type(exc).__name__
        else:
            commit.status = "Succeeded"
        commit.finished = clock.now()
        self._runtime.changed()


async def _stopped() -> None:
    raise RuntimeError("The emulator was stopped before the image was made.")
