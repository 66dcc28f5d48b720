"""The channels that are kept to one sandbox, and who has them."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Awaitable
from contextlib import suppress
from typing import TypeVar

import attrs

from sandboxkit.errors import ProviderError, SandboxError
from sandboxkit.launched import ABANDON_LIMIT
from sandboxkit.launcher import BOOTSTRAP
from sandboxkit.provider import Event, ProviderBase
from sandboxkit.records import Readiness, Verdict
from sandboxkit.retry import retrying
from sandboxkit.warmchannel import WarmChannel

T = TypeVar("T")

MOST = 8
"""Channels to one sandbox for one user at most."""

IDLE_LIMIT = 300.0
"""Seconds after which a channel that nothing used is closed."""

READY_LIMIT = 1.0
"""Seconds that a runner may take to say whether its last command left something on the channel."""

FIRST_PATIENCE = 0.05
"""Seconds in which some channel must come back for a command to wait on, until it is known what opening one costs."""

LEAST_PATIENCE, LONGEST_PATIENCE = 0.02, 0.5
"""Seconds between which that cost is taken to be."""

RECENT = 1.0
"""Seconds since a channel was last given back after which none is waited for: what runs takes its time."""


@attrs.define(eq=False)
class _Waiting:
    """Who waits for a channel, and what it was handed."""

    event: Event
    channel: WarmChannel | None = None


@attrs.define(eq=False)
class Pool:
    """The channels to one sandbox for one user. Who waits longest is served first."""

    provider: ProviderBase = attrs.field(repr=False)
    sandbox_id: str
    user: str | None
    closed: bool = attrs.field(default=False, init=False)
    never: bool = attrs.field(default=False, init=False)
    """Whether the sandbox's channels cannot be kept."""
    _opening: int = attrs.field(default=0, init=False)
    _looked_at: int = attrs.field(default=0, init=False)
    """Idle channels that the upkeep has at this moment: waiting for one of them is quicker than opening another."""
    # Weak: one that an interruption let fall does not count for ever. A WeakSet is eight objects, for each sandbox.
    _channels: set[weakref.ref[WarmChannel]] = attrs.field(factory=set, init=False, repr=False)
    _idle: list[WarmChannel] = attrs.field(factory=list, init=False, repr=False)
    _waiting: deque[_Waiting] = attrs.field(factory=deque, init=False, repr=False)
    _patience: float = attrs.field(default=FIRST_PATIENCE, init=False)
    _moved: float = attrs.field(default=0.0, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._moved = self.provider.world.now()

    @property
    def count(self) -> int:
        """Channels that there are, or will be soon."""
        return self._opening + len(self._channels)

    # -- taking ---------------------------------------------------------------------------------------------------

    async def take(self, *, until: float | None) -> WarmChannel | None:
        """Give a channel that can take a command, a new one where there may be more; ``None``: go the cold way."""
        while True:
            channel, waiting = self._choose()
            if waiting is not None:
                channel = await self._wait(waiting, until)
            if channel is None:
                return await self._open(until=until) if self._claims() else None
            if await self._is_there(channel):
                return channel
            await self.retire(channel)

    async def _is_there(self, channel: WarmChannel) -> bool:
        try:
            return await self._ask(channel.is_there(now=self.provider.world.now()), channel)
        except ProviderError:
            return False

    async def _ask(self, question: Awaitable[T], channel: WarmChannel) -> T:
        """Ask a channel, which is closed if that is interrupted."""
        try:
            return await question
        except ProviderError:
            raise
        except BaseException:
            world = self.provider.world
            await world.protect(self.retire(channel), until=world.now() + ABANDON_LIMIT)
            raise

    def _choose(self) -> tuple[WarmChannel | None, _Waiting | None]:
        """Give an idle channel, or a place in the queue, or neither."""
        world = self.provider.world
        with self._lock:
            if self._idle and not self.closed:
                return self._idle.pop(), None
            if self.closed or self.never:
                return None, None
            if not self._looked_at and (self.count < MOST or world.now() > self._moved + RECENT):
                return None, None
            waiting = _Waiting(world.event())
            self._waiting.append(waiting)
            return None, waiting

    def _claims(self) -> bool:
        with self._lock:
            if self.closed or self.never or self.count >= MOST:
                return False
            self._opening += 1
            return True

    async def _wait(self, waiting: _Waiting, until: float | None) -> WarmChannel | None:
        """Wait for a turn; ``None`` when it is over: by then another channel may be opened, or none is to be had."""
        world = self.provider.world
        try:
            while True:
                moved, end = self._moved, world.now() + self._patience
                end = end if until is None else min(end, until)
                if await waiting.event.wait(until=end) or end == until:
                    break
                # As long as channels come back, or come, waiting is quicker than opening one for one command: there
                # are as many of those at once as wait.
                if self._moved == moved and not self._opening:
                    break
        except BaseException:
            channel = self._leave(waiting)
            if channel is not None and not self._offer(channel):
                await world.protect(self.retire(channel), until=world.now() + ABANDON_LIMIT)
            raise
        return self._leave(waiting)

    def _leave(self, waiting: _Waiting) -> WarmChannel | None:
        with self._lock:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
            return waiting.channel

    async def _open(self, *, until: float | None) -> WarmChannel:
        world = self.provider.world
        began = world.now()
        try:
            # Opening may be repeated: the bootstrap does nothing without its script.
            channel = await retrying(
                world,
                lambda: self.provider.open_channel(
                    self.sandbox_id, BOOTSTRAP, user=self.user, urgent=False, until=until
                ),
                until=until,
            )
            warm = WarmChannel(channel)
            with self._lock:
                self._channels.add(weakref.ref(warm, self._channels.discard))
        except BaseException:
            self._call_next()
            raise
        finally:
            with self._lock:
                self._opening -= 1
        self._patience = min(LONGEST_PATIENCE, max(LEAST_PATIENCE, world.now() - began))
        return warm

    # -- giving back ----------------------------------------------------------------------------------------------

    async def hear(self, channel: WarmChannel, readiness: Readiness) -> Verdict:
        """Wait for what the runner says of the next command; a channel that breaks meanwhile takes none."""
        now = self.provider.world.now
        try:
            return await self._ask(channel.hear(readiness, now=now, until=now() + READY_LIMIT), channel)
        except ProviderError:
            return "spent"

    async def give_back(self, channel: WarmChannel, verdict: Verdict) -> None:
        """Take a channel back whose command has ended."""
        channel.used = self._moved = self.provider.world.now()
        self.never = self.never or verdict == "never"
        if verdict != "ready" or not self._offer(channel):
            await self.retire(channel)

    def _offer(self, channel: WarmChannel) -> bool:
        """Hand a channel to whoever waits longest, or keep it; ``False`` if nobody may have it any more."""
        with self._lock:
            if self.closed:
                return False
            if not self._waiting:
                self._idle.append(channel)
                return True
            waiting = self._waiting.popleft()
            waiting.channel = channel
        waiting.event.set()
        return True

    async def retire(self, channel: WarmChannel) -> None:
        """Close a channel."""
        try:
            with suppress(SandboxError, OSError):
                await channel.channel.close()
        finally:
            with self._lock:
                self._channels.discard(weakref.ref(channel))
            self._call_next()

    def _call_next(self) -> None:
        """Tell whoever waits longest that there is room for another channel."""
        with self._lock:
            waiting = self._waiting.popleft() if self._waiting else None
        if waiting is not None:
            waiting.event.set()

    # -- keeping --------------------------------------------------------------------------------------------------

    async def upkeep(self) -> None:
        """Look at the channels that nothing uses; close those that have ended, or were not used for long."""
        for _ in range(len(self._idle)):
            with self._lock:
                if not self._idle:
                    return
                # The one that was not used for longest; in turn each comes to the end that commands take from.
                channel = self._idle.pop(0)
                self._looked_at += 1
            try:
                there = await self._is_there(channel)
                old = channel.used + IDLE_LIMIT < self.provider.world.now()
                if old or not there or not self._offer(channel):
                    await self.retire(channel)
            finally:
                with self._lock:
                    self._looked_at -= 1

    def is_forsaken(self) -> bool:
        """Close it if it has no channel; tell whether that is so."""
        with self._lock:
            self.closed = self.closed or not (self.count or self.never)
            return self.closed

    async def close(self) -> None:
        """Close the channels that nothing uses; the others are closed at the end of their commands."""
        with self._lock:
            self.closed = True
            idle, self._idle = self._idle, []
            waiting, self._waiting = list(self._waiting), deque()
        for each in waiting:
            each.event.set()
        for channel in idle:
            await self.retire(channel)
