"""Interrupting an operation at each of its steps: where it suspends (asyncio), where it waits or calls (blocking)."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from sandboxkit.client import AsyncClient
from sandboxkit.testing.concurrency import cancel_at

if TYPE_CHECKING:
    from sandboxkit.testing.stage import Stage

T = TypeVar("T")

ENOUGH = 400
"""Steps after which an operation is taken never to end."""


class _Presser:
    """A blocking world in which Ctrl-C is pressed once: before or after the n-th of its waits and calls."""

    def __init__(self, world: Any, press_at: int) -> None:
        self.world = world
        self.press_at = press_at
        self.steps = 0

    def install(self) -> None:
        for name in ("ready", "call", "sleep"):
            setattr(self.world, name, self._pressing(getattr(self.world, name)))

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.press_at:
            # A real signal, handled before this returns: what holds Ctrl-C back holds this one back.
            signal.raise_signal(signal.SIGINT)

    def _pressing(self, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = await method(*args, **kwargs)
            try:
                self._step()
            except KeyboardInterrupt:
                # The call has done its work, but its caller never learns of it.
                if (undo := kwargs.get("undo")) is not None:
                    undo(result)
                raise
            return result

        return call


@attrs.define
class Step:
    """One try: ``interrupt`` runs an operation with a client of its own and cuts it off at step ``number``."""

    stage: Stage
    number: int
    reached: bool = False

    async def interrupt(self, operation: Callable[[AsyncClient], Awaitable[T]]) -> T | None:
        """Give what the operation gave if it ended before the step, or in spite of it; else ``None``."""
        async with self.stage.connect() as client:
            # What every client does once is no part of the operation.
            async for _ in client.list(labels={"suite": "none"}):
                pass
            if self.stage.world == "asyncio":
                return await self._cancel(operation, client)
            return await self._press(operation, client)

    async def _cancel(self, operation: Callable[[AsyncClient], Awaitable[T]], client: AsyncClient) -> T | None:
        result, self.reached = await cancel_at(lambda: operation(client), self.number)
        return result

    async def _press(self, operation: Callable[[AsyncClient], Awaitable[T]], client: AsyncClient) -> T | None:
        presser = _Presser(cast("Any", self.stage.core(client)).provider.world, self.number)
        presser.install()
        try:
            return await operation(client)
        except KeyboardInterrupt:
            return None
        finally:
            self.reached = presser.steps >= self.number
            presser.press_at = 0


async def at_each_step(stage: Stage, *, most: int) -> AsyncIterator[Step]:
    """Give a step to interrupt at, and the next, until the operation ended before its step was reached.

    ``most`` bounds the tries: the first half of them in a row, the others further and further apart.
    """
    number = 0
    for attempt in range(most):
        number += 1 if attempt < most // 2 else max(2, number // 2)
        step = Step(stage, number)
        yield step
        if not step.reached or number > ENOUGH:
            return
