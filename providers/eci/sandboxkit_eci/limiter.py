"""Keeping to the calls a minute that the service allows, before it has to refuse any.

One :class:`Limiter` for each account and region, shared by all clients of the process, in both worlds: so its state
is kept by an ordinary lock, held for microseconds and never while anything waits; the waiting is the world's.
"""

from __future__ import annotations

import bisect
import threading
from collections import deque
from collections.abc import Callable, Mapping

import attrs

from sandboxkit.errors import Throttled
from sandboxkit.provider import World

WINDOW = 60.0
"""Seconds over which the service counts."""

MARGIN = 1.0
"""Seconds more over which we count: calls do not arrive as evenly as they are sent."""

LIMITS: Mapping[str, int] = {
    "CreateContainerGroup": 1000,
    "DeleteContainerGroup": 1000,
    "RestartContainerGroup": 500,
    "UpdateContainerGroup": 500,
    "ExecContainerCommand": 500,
    "DescribeContainerGroups": 2000,
    "DescribeContainerGroupStatus": 10000,
    "DescribeContainerGroupEvents": 10000,
    "DescribeContainerGroupMetric": 2000,
    "DescribeContainerLog": 500,
    "CommitContainer": 6000,
    "CreateImageCache": 200,
    "TagResources": 1000,
    "UntagResources": 1000,
    "ListTagResources": 1000,
    "DescribeRegions": 10000,
}
"""Calls a minute of one account in one region, as published on help.aliyun.com (api-eci-2018-08-08-quota)."""

DEFAULT_LIMIT = 500
"""For actions without a published one."""

RESERVED = ("ExecContainerCommand", "DescribeContainerGroups")
"""Actions that kills and clean-up need."""

RESERVE = 25
"""One call of those in so many is kept for them."""


LOOK = 1.0
"""Seconds after which who waits looks again how long it will be."""


@attrs.define(eq=False)
class Gate:
    """The calls of one action: at most ``limit`` in any window, in fair turns; ``reserve`` are for urgent ones only.

    Who waits is served by start-time fair queueing: each sandbox's calls are spaced on a virtual clock, so that one
    with a hundred waiting does not hold up another's first.
    """

    limit: int
    reserve: int = 0
    window: float = WINDOW + MARGIN
    _times: deque[float] = attrs.field(factory=deque, init=False)
    _waiting: list[tuple[bool, float, int]] = attrs.field(factory=list, init=False)
    _last: dict[str, float] = attrs.field(factory=dict, init=False)
    _virtual: float = attrs.field(default=0.0, init=False)
    _count: int = attrs.field(default=0, init=False)
    _closed_until: float = attrs.field(default=0.0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    async def enter(self, world: World, who: str, *, until: float | None, urgent: bool) -> None:
        """Wait for a turn. Raises ``Throttled``, with the time to wait, where that would be after ``until``."""
        ticket = self._join(who, urgent)
        try:
            while (wait := self._turn(ticket, world.now())) > 0:
                if until is not None and world.now() + wait > until:
                    raise Throttled(
                        "the account's calls a minute are used up; the limiter would wait longer than the "
                        "operation may take",
                        provider_code="client-side",
                        retry_after=wait,
                    )
                # The queue before it may get shorter meanwhile.
                await world.sleep(min(wait, LOOK))
        except BaseException:
            self._leave(ticket)
            raise

    def pause(self, now: float, seconds: float) -> None:
        """The service refused although we counted right: others use the account too. Let nobody in for a while."""
        with self._lock:
            self._closed_until = max(self._closed_until, now + seconds)

    def _join(self, who: str, urgent: bool) -> tuple[bool, float, int]:
        with self._lock:
            self._count += 1
            finish = max(self._virtual, self._last.get(who, 0.0)) + 1.0
            if not urgent:
                self._last[who] = finish
                if len(self._last) > 4096:
                    self._last = {key: tag for key, tag in self._last.items() if tag > self._virtual}
            # Urgent ones come first, then by the virtual clock, then by arrival.
            ticket = (not urgent, finish, self._count)
            bisect.insort(self._waiting, ticket)
            return ticket

    def _leave(self, ticket: tuple[bool, float, int]) -> None:
        with self._lock:
            place = bisect.bisect_left(self._waiting, ticket)
            if place < len(self._waiting) and self._waiting[place] == ticket:
                del self._waiting[place]

    def _turn(self, ticket: tuple[bool, float, int], now: float) -> float:
        """Take the turn and give 0, or give the seconds until it may come."""
        with self._lock:
            while self._times and self._times[0] <= now - self.window:
                self._times.popleft()
            place = bisect.bisect_left(self._waiting, ticket)
            most = self._most(urgent=not ticket[0])
            # Those before it in the queue go first, so it needs as many free places as there are of them and one.
            missing = len(self._times) + place + 1 - most
            if missing <= 0 and (not ticket[0] or now >= self._closed_until):
                del self._waiting[place]
                self._times.append(now)
                if ticket[0]:
                    self._virtual = max(self._virtual, ticket[1] - 1.0)
                return 0.0
            if missing <= 0:
                return self._closed_until - now
            if missing <= len(self._times):
                return max(0.001, self._times[missing - 1] + self.window - now)
            # Even an empty window has no room for all before it.
            return self.window

    def _most(self, *, urgent: bool) -> int:
        return self.limit if urgent else max(1, self.limit - self.reserve)


@attrs.define(eq=False)
class Limiter:
    """One account's calls in one region, each action's counted apart."""

    limits: Mapping[str, int] = attrs.field(factory=dict)
    _gates: dict[str, Gate] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def gate(self, action: str) -> Gate:
        """Give the gate of an action."""
        with self._lock:
            if action not in self._gates:
                limit = self.limits.get(action, LIMITS.get(action, DEFAULT_LIMIT))
                self._gates[action] = Gate(limit, limit // RESERVE if action in RESERVED else 0)
            return self._gates[action]


_shared: dict[tuple[str, ...], Limiter] = {}
_shared_lock = threading.Lock()


def shared_limiter(key: tuple[str, ...], make: Callable[[], Limiter]) -> Limiter:
    """Give the process's limiter for an account, an endpoint and a region, made when first asked for."""
    with _shared_lock:
        if key not in _shared:
            _shared[key] = make()
        return _shared[key]
