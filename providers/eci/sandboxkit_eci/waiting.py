"""Waiting for groups to become something: all who wait share the calls that tell."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from sandboxkit.errors import DeadlineExceeded, ProviderError
from sandboxkit.provider import Event, World
from sandboxkit_eci.api import PAGE, Api
from sandboxkit_eci.describe import STATUSES

FIRST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
"""Seconds between two looks at one group: each pause is half as long again as the one before."""

WITH_EVENTS = 3
"""One look in so many asks for the whole group with its events, where the reason of a failure first shows."""

Group = Mapping[str, Any]
Ask = Callable[[Sequence[str], float | None], Awaitable[dict[str, Group]]]


@attrs.define(eq=False)
class Lookout:
    """Looks at groups for everyone who waits for one: a call tells of up to 20 of them."""

    _world: World
    _ask: Ask
    _turns: deque[Event] = attrs.field(factory=deque, init=False)
    _waiting: dict[str, int] = attrs.field(factory=dict, init=False)
    _seen: dict[str, tuple[float, Group | None]] = attrs.field(factory=dict, init=False)
    _guard: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    @contextmanager
    def watching(self, group_id: str) -> Iterator[None]:
        """Have others look at this group too, as long as the block lasts."""
        with self._guard:
            self._waiting[group_id] = self._waiting.get(group_id, 0) + 1
        try:
            yield
        finally:
            with self._guard:
                self._waiting[group_id] -= 1
                if not self._waiting[group_id]:
                    del self._waiting[group_id]
                    self._seen.pop(group_id, None)

    async def look(self, group_id: str, *, after: float, until: float | None) -> Group | None:
        """Give the group as it was asked for at some time after ``after``; ``None`` if it was not there.

        One at a time looks, first come first served. Raises ``DeadlineExceeded`` where the turn does not come by
        ``until``.
        """
        turn = self._world.event()
        try:
            with self._guard:
                self._turns.append(turn)
                self._turns[0].set()
            came = await turn.wait(until=until)
            began, seen = self._seen.get(group_id, (-1.0, None))
            if began > after:
                return seen
            if not came:
                raise DeadlineExceeded(f"sandbox {group_id}: others were still asking at the deadline")
            ids = self._batch(group_id)
            began = self._world.now()
            found = await self._ask(ids, until)
            with self._guard:
                self._seen |= {one: (began, found.get(one)) for one in ids if one in self._waiting}
            return found.get(group_id)
        finally:
            # Whoever leaves, and however, the first that is left has the turn.
            with self._guard:
                if turn in self._turns:  # not where an interruption was quicker
                    self._turns.remove(turn)
                if self._turns:
                    self._turns[0].set()

    def _batch(self, group_id: str) -> list[str]:
        """Give this group and those that were looked at least recently."""
        with self._guard:
            others = [one for one in self._waiting if one != group_id]
            others.sort(key=lambda one: self._seen.get(one, (-1.0, None))[0])
        return [group_id, *others[: PAGE - 1]]


class Waiting:
    """What one client's creates, restarts and deletes wait with."""

    def __init__(self, world: World, api: Api) -> None:
        self._world = world
        self._api = api
        self._briefly = Lookout(world, self._ask_statuses)
        self._wholly = Lookout(world, self._ask_groups)

    async def becomes(
        self, group_id: str, settled: Callable[[Group | None], bool], *, until: float | None, whole: bool = False
    ) -> Group | None:
        """Look until ``settled`` says so of the group and give it; ``None`` stands for one that is not there.

        Without ``whole`` most looks tell no more of it than its ``Status``. Passing faults are waited out. Raises
        ``DeadlineExceeded`` at ``until``.
        """
        world = self._world
        pause, looks, after = FIRST_PAUSE, 0, world.now()
        with self._briefly.watching(group_id), self._wholly.watching(group_id):
            while True:
                looks += 1
                lookout = self._wholly if whole or looks % WITH_EVENTS == 0 else self._briefly
                group, told = await self._look(lookout, group_id, after, until)
                if told and settled(group):
                    return group
                after = world.now()
                if until is not None and after + pause >= until:
                    raise DeadlineExceeded(
                        f"sandbox {group_id}: what was waited for did not come within the deadline"
                    )
                await world.sleep(pause * random.uniform(0.8, 1.0))
                pause = min(LONGEST_PAUSE, pause * 1.5)

    async def _look(
        self, lookout: Lookout, group_id: str, after: float, until: float | None
    ) -> tuple[Group | None, bool]:
        try:
            return await lookout.look(group_id, after=after, until=until), True
        except ProviderError as exc:
            if not exc.retryable and not isinstance(exc, DeadlineExceeded):
                raise
            if exc.retry_after:
                now = self._world.now()
                await self._world.sleep(exc.retry_after if until is None else min(exc.retry_after, until - now))
            return None, False

    async def _ask_groups(self, ids: Sequence[str], until: float | None) -> dict[str, Group]:
        groups, _ = await self._api.groups(ids=ids, events=True, until=until)
        return {str(group.get("ContainerGroupId")): group for group in groups}

    async def _ask_statuses(self, ids: Sequence[str], until: float | None) -> dict[str, Group]:
        found = {
            str(entry.get("ContainerGroupId")): brief(entry) for entry in await self._api.statuses(ids, until=until)
        }
        missing = [one for one in ids if one not in found]
        if missing:
            # Not every account is told of every group here, and the new ones come late.
            found |= await self._ask_groups(missing, until)
        return found


def brief(entry: Group) -> Group:
    """Give what DescribeContainerGroupStatus tells in the words of DescribeContainerGroups."""
    pod: Mapping[str, Any] = entry.get("PodStatus") or {}
    word = str(entry.get("Status") or "")
    if word not in STATUSES:
        word = str(pod.get("Phase") or word)
    containers = []
    for status in pod.get("ContainerStatuses") or ():
        state: Mapping[str, Any] = status.get("State") or {}
        name, told = next(((name, told) for name, told in state.items() if told), ("", {}))
        containers.append({"Name": status.get("Name"), "CurrentState": {**told, "State": name}})
    return {"ContainerGroupId": entry.get("ContainerGroupId"), "Status": word, "Containers": containers}
