"""Repeating calls that are safe to repeat: jittered backoff, under a deadline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sandboxkit.errors import ProviderError, Throttled
from sandboxkit.provider import World

T = TypeVar("T")

ATTEMPTS = 5
"""Calls that are made while the backend fails or is not reached."""

TURNS = 8
"""Calls that are made while it answers that it has too much to do: it is there, and others get through."""

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


async def retrying(world: World, call: Callable[[], Awaitable[T]], *, until: float | None) -> T:
    """Make the call again while it fails with a passing fault: a few times, and never past ``until``.

    Only for calls that may be made twice. The pause doubles from 0.1 s, with full jitter, or is what the provider
    asked for.
    """
    failed = throttled = 0
    while True:
        try:
            return await call()
        except ProviderError as exc:
            import random  # most runs never get here

            if isinstance(exc, Throttled):
                throttled += 1
            else:
                failed += 1
            pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (failed + throttled - 1)) * random.uniform(0.5, 1.0)
            if exc.retry_after is not None:
                pause = max(pause, exc.retry_after)
            last = failed >= ATTEMPTS or throttled >= TURNS
            if last or not exc.retryable or (until is not None and world.now() + pause >= until):
                raise
        await world.sleep(pause)
