"""Blocking objects with the face of the async ones, so that a test is written once and uses the public mirror.

What is awaited here has finished when it returns: nothing suspends, and :func:`sandboxkit.driver.run` drives it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from types import MethodType, TracebackType
from typing import Any

from sandboxkit.sync import Client, Files, Listing, Process, Reader, Sandbox, Session, Tmux, Writer

_FACED = (Client, Files, Listing, Process, Reader, Sandbox, Session, Tmux, Writer)


class Face:
    """A blocking object whose methods can be awaited, entered and iterated over like the async ones."""

    def __init__(self, blocking: Any) -> None:
        self.blocking = blocking

    def __repr__(self) -> str:
        return f"Face({self.blocking!r})"

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.blocking, name)
        if isinstance(value, MethodType):
            return _method(value)
        return faced(value)

    async def __aenter__(self) -> Face:
        self.blocking = self.blocking.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.blocking.__exit__(kind, exc, trace)

    def __aiter__(self) -> Face:
        self.blocking = iter(self.blocking)
        return self

    async def __anext__(self) -> Any:
        try:
            return faced(next(self.blocking))
        except StopIteration:
            raise StopAsyncIteration from None


class _Call:
    """A call that is made when it is awaited, entered or iterated over."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._entered: Any = None

    def __await__(self) -> Generator[Any, Any, Any]:
        return faced(self._call())
        yield

    async def __aenter__(self) -> Any:
        self._entered = faced(self._call())
        return await self._entered.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._entered.__aexit__(kind, exc, trace)

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        if self._entered is None:
            self._entered = faced(self._call()).__aiter__()
        return await self._entered.__anext__()


def _method(method: MethodType) -> Callable[..., _Call]:
    def call(*args: Any, **kwargs: Any) -> _Call:
        return _Call(lambda: method(*args, **kwargs))

    return call


def faced(value: Any) -> Any:
    """Give a blocking object its async face; anything else as it is."""
    return Face(value) if isinstance(value, _FACED) else value
