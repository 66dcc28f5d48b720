"""Channels that are kept: to each sandbox a few, whose runners take one command after another.

A backend's exec costs tens of milliseconds in Docker, and a call of the account's quota in a cloud. A command over
a channel that is there costs a round trip. :class:`Pools` are a provider's, a :class:`Pool` is one sandbox's and
user's. What :func:`sandboxkit.runner.fits` does not take, and what finds no channel soon, is launched the cold way.

A channel is used only when it is known that nothing runs on it and nobody else writes into it; whatever casts doubt
on that (a child that holds its pipes, an interruption, input that was not read) ends it. So a command either has a
whole channel, or certainly did not run and goes another way.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from sandboxkit.errors import ProviderError
from sandboxkit.launched import ABANDON_LIMIT, LaunchedProcess
from sandboxkit.model import Command
from sandboxkit.pool import Pool
from sandboxkit.provider import ProviderBase
from sandboxkit.runner import fits
from sandboxkit.warmchannel import WarmProcess

UPKEEP = 25.0
"""Seconds between looks at the channels that nothing uses: what has to be said to keep them is said then."""


@attrs.define(eq=False)
class Pools:
    """A provider's kept channels."""

    provider: ProviderBase = attrs.field(repr=False)
    _pools: dict[tuple[str, str | None], Pool] = attrs.field(factory=dict, init=False, repr=False)
    _process: int = attrs.field(factory=os.getpid, init=False)
    _others: list[object] = attrs.field(factory=list, init=False, repr=False)
    _due: float | None = attrs.field(default=None, init=False)
    _call_off: Callable[[], object] | None = attrs.field(default=None, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    async def start(self, sandbox_id: str, command: Command, *, until: float | None) -> LaunchedProcess | None:
        """Start a command over a kept channel; ``None`` if it has to go the cold way."""
        if not fits(command):
            return None
        self._see_forks()
        due = self._due
        if due is None:
            self._come_back()
        elif self._call_off is None and self.provider.world.now() >= due:
            await self.look_after()
        pool = self._pool(sandbox_id, command.user)
        while (warm := await pool.take(until=until)) is not None:
            process = WarmProcess(self.provider, sandbox_id, command, warm.channel, pool=pool, warm=warm)
            try:
                await process.send_script(until=until)
            except ProviderError:
                if process.is_sent or process.started is not False:
                    await self._abandon(process)
                    raise
            except BaseException:
                await self._abandon(process)
                raise
            if process.is_sent:
                return process
            # The channel had ended, so nothing ran: another one shows whether the sandbox has.
            await process.close()
            if not warm.used or (until is not None and self.provider.world.now() >= until):
                return None
        return None

    async def _abandon(self, process: WarmProcess) -> None:
        world = self.provider.world
        await world.protect(process.abandon(), until=world.now() + ABANDON_LIMIT)

    def _pool(self, sandbox_id: str, user: str | None) -> Pool:
        with self._lock:
            pool = self._pools.get((sandbox_id, user))
            if pool is None or pool.closed:
                pool = self._pools[sandbox_id, user] = Pool(self.provider, sandbox_id, user)
            return pool

    def _see_forks(self) -> None:
        if self._process != os.getpid():
            # The channels are the parent's. They are kept, as closing one here would end it there too.
            self._others.append(self._pools)
            self._process, self._pools, self._lock = os.getpid(), {}, threading.Lock()
            self._due = self._call_off = None

    # -- keeping --------------------------------------------------------------------------------------------------

    def _come_back(self) -> None:
        """Have the upkeep done in a while.

        A thread is started for it only where channels would not last without: else callers do it when it is due.
        Whoever comes later takes the place of who came before, so that there is never more than one.
        """
        world, limit = self.provider.world, self.provider.channel_idle_timeout
        interval = UPKEEP if limit is None else min(UPKEEP, limit / 2)
        with self._lock:
            if self._call_off is not None:
                self._call_off()
            self._due = world.now() + interval
            if world.name == "asyncio" or limit is not None:
                self._call_off = world.later(interval, _again(weakref.ref(self)))

    async def look_after(self) -> None:
        """Look at the channels that nothing uses, and come back as long as there are any."""
        self._come_back()
        with self._lock:
            pools = dict(self._pools)
        for key, pool in pools.items():
            await pool.upkeep()
            if pool.is_forsaken():
                with self._lock:
                    if self._pools.get(key) is pool:
                        del self._pools[key]
        with self._lock:
            if not self._pools:
                self._rest()

    def _rest(self) -> None:
        """Call the upkeep off; only with the lock."""
        if self._call_off is not None:
            self._call_off()
        self._due = self._call_off = None

    async def cool(self, sandbox_id: str | None = None) -> None:
        """Close the channels to a sandbox, or to all; those in use are closed at the end of their commands."""
        self._see_forks()
        world = self.provider.world
        with self._lock:
            # Backends take the beginning of an id for it; too many channels closed are no harm.
            keys = [key for key in self._pools if key[0].startswith(sandbox_id or "")]
        for key in keys:
            # Each is known until it is closed, so that an interruption leaves the others to be closed later.
            with self._lock:
                pool = self._pools.pop(key, None)
            if pool is not None:
                await world.protect(pool.close(), until=world.now() + ABANDON_LIMIT)
        with self._lock:
            if not self._pools:
                self._rest()


def _again(pools: weakref.ref[Pools]) -> Callable[[], Coroutine[Any, Any, None]]:
    # A client that was dropped without being closed is not kept, and its sockets' warnings are not lost.
    async def look_after() -> None:
        alive = pools()
        if alive is not None:
            await alive.look_after()

    return look_after
