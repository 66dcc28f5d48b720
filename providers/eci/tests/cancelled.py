"""A world whose waits are cancelled."""

from __future__ import annotations

import asyncio
from typing import Any

from sandboxkit.aio import AsyncioWorld


class Cancelled:
    """A world that is cancelled at the n-th place where it could suspend."""

    def __init__(self, at: int) -> None:
        self.world = AsyncioWorld()
        self.left = at

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.world, name)
        if name not in ("sleep", "ready", "call", "breathe"):
            return found

        async def suspending(*args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if not self.left:
                raise asyncio.CancelledError
            return await found(*args, **kwargs)

        return suspending
