"""Looks at groups that begin only once all who wait for one are there, so that their number is no matter of luck."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from sandboxkit_eci.api import PAGE
from sandboxkit_eci.waiting import Group, Lookout

PATIENCE = 60.0
"""Seconds after which those who do not wait are taken to never do so."""


def gate(lookout: Lookout, count: int, ready: Callable[[], bool]) -> None:
    """Hold the first look until so many wait, and it is so that all of them can stop waiting."""
    ask, world, opened = lookout._ask, lookout._world, False

    async def held(ids: Sequence[str], until: float | None) -> dict[str, Group]:
        nonlocal opened
        limit = time.monotonic() + PATIENCE
        while not opened:
            opened = len(lookout._waiting) == count and ready()
            assert time.monotonic() < limit, "it never came to that"
            await world.sleep(0.005)
        return await ask(ids, until)

    lookout._ask = held


def most_looks(count: int) -> int:
    """Give how often so many look at most behind a gate: the first alone, the others by the page."""
    return 1 + -(-(count - 1) // PAGE)
