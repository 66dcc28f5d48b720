"""Running coroutines that never suspend: how the blocking mirror is derived from the async operations.

In the blocking world whatever an operation awaits has finished when it returns, so one ``send(None)`` runs it to
its end, on the caller's thread and stack: Ctrl-C, debuggers and tracebacks stay what they are, and it works
inside a running event loop too.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")


def run(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never suspends; ``RuntimeError`` names the one that did."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast("R", done.value)
    name = getattr(coroutine, "__qualname__", repr(coroutine))
    coroutine.close()
    raise RuntimeError(
        f"{name} suspended in the blocking world; a provider must wait with world.ready, world.sleep or "
        f"world.call, which do not"
    )


async def _await(awaitable: Awaitable[R]) -> R:
    return await awaitable


def run_awaitable(awaitable: Awaitable[R]) -> R:
    """Run any awaitable that never suspends."""
    return run(_await(awaitable))


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """Derive a blocking method, of a class whose ``_async`` is the async object, from an async one."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(method(self._async, *args, **kwargs))

    return call


def blocking_as(
    wrap: Callable[[A], R], method: Callable[Concatenate[Any, P], Awaitable[A]]
) -> Callable[Concatenate[Any, P], R]:
    """Like :func:`blocking` for a method whose result has a blocking face of its own: ``wrap`` makes it."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return wrap(run_awaitable(method(self._async, *args, **kwargs)))

    return call


def wrapping(wrap: Callable[[A], R], method: Callable[Concatenate[Any, P], A]) -> Callable[Concatenate[Any, P], R]:
    """Like :func:`blocking_as` for a method that is no coroutine but gives an object with an async face."""

    @functools.wraps(method)
    def call(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return wrap(method(self._async, *args, **kwargs))

    return call
