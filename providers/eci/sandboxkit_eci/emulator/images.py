"""Image caches and commits: what makes images, and takes a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping
from typing import Any

import attrs

from sandboxkit_eci.emulator.backend import Machine
from sandboxkit_eci.emulator.runtime import Runtime

logger = logging.getLogger("sandboxkit.eci.emulator")

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
        found = [each for each in self.caches.values() if (each.account, each.region) == (account, region)]
        return found[::-1]

    def commits_of(self, account: str, region: str) -> list[Commit]:
        """Give an account's commits in a region, the newest first."""
        found = [each for each in self.commits.values() if (each.account, each.region) == (account, region)]
        return found[::-1]

    def make(self, cache: ImageCache) -> None:
        """Begin to make a cache."""
        self.caches[cache.id] = cache
        self._work(self._make(cache))

    def commit(self, commit: Commit, machine: Machine, repository: str, tag: str) -> None:
        """Begin a commit."""
        self.commits[commit.id] = commit
        self._work(self._commit(commit, machine, repository, tag))

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
        self._runtime.images.update(cache.given["Image"])
        cache.status = "Ready"

    async def _commit(self, commit: Commit, machine: Machine, repository: str, tag: str) -> None:
        clock = self._runtime.clock
        try:
            for name in PHASES:
                phase = Phase(name=name, time=clock.now())
                commit.phases.append(phase)
                await clock.delay(self._runtime.delays.commit_phase)
                if name == "CommitContainer":
                    await machine.commit(repository, tag)
                phase.status = "Succeeded"
        except Exception as exc:  # noqa: BLE001 - whatever a backend raises is the task's message
            commit.phases[-1].status = commit.status = "Failed"
            commit.phases[-1].message = commit.message = str(exc) or type(exc).__name__
        else:
            commit.status = "Succeeded"
        commit.finished = clock.now()
