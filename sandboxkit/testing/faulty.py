"""A provider that fails some times before it works: in front of a client's own, for as long as a block lasts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Self

from sandboxkit.client import AsyncClient
from sandboxkit.errors import SandboxError
from sandboxkit.model import CreateRequest


class Faulty:
    """Raises ``error`` from the first ``times`` calls of each method, and counts them."""

    def __init__(self, client: AsyncClient, error: SandboxError, *, times: int) -> None:
        self._client = client
        self._inner: Any = client.provider
        self._error = error
        self._times = times
        self.calls: Counter[str] = Counter()
        self._requests: list[CreateRequest] = []

    def keys(self, method: str) -> int:
        """Count the different idempotency keys that were sent."""
        assert method == "create"
        return len({request.key for request in self._requests})

    def __enter__(self) -> Self:
        self._client.provider = self  # pyright: ignore[reportAttributeAccessIssue] - it forwards the rest
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.provider = self._inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in ("create", "get", "list", "delete", "start_process"):
            return value
        return self._failing(name, value)

    def _failing(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            self._requests += [arg for arg in args if isinstance(arg, CreateRequest)]
            if self.calls[name] <= self._times:
                raise self._error
            return await method(*args, **kwargs)

        return call
