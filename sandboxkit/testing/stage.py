"""One provider in one world: what the tests of a class share, and how each is run."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import pytest

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.driver import run as run_blocking
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit.testing.child import Child
from sandboxkit.testing.concurrency import AsyncioSide, BlockingSide, Running
from sandboxkit.testing.faces import Face
from sandboxkit.testing.promises import Promise

if TYPE_CHECKING:
    from sandboxkit.opening import Opening
    from sandboxkit.testing.suite import ContractSuite

T = TypeVar("T")

LABEL = "suite"
"""The label by which a stage finds everything that its tests made."""


class Stage:
    """The provider of one contract class in one world.

    In the asyncio world all its tests run on one loop, with the objects of ``connect_async``; in the blocking world
    with those of ``connect``, behind :class:`~sandboxkit.testing.faces.Face`.
    """

    def __init__(self, suite: type[ContractSuite], world: Literal["blocking", "asyncio"]) -> None:
        self.suite = suite
        self.world = world
        self.tag = secrets.token_hex(6)
        self.side: AsyncioSide | BlockingSide = AsyncioSide() if world == "asyncio" else BlockingSide()
        self._runner = asyncio.Runner() if world == "asyncio" else None
        self._client: AsyncClient | None = None
        self._box: AsyncSandbox | None = None

    # -- running tests --------------------------------------------------------------------------------------------

    def run(self, carried: Promise, asked: tuple[str, ...], test: Callable[..., Coroutine[Any, Any, None]]) -> None:
        """Run one test to its end; in the asyncio world no task may outlive it."""

        async def body() -> None:
            for name in carried.needs:
                if name in self.suite.without:
                    pytest.skip(f"{name!r} cannot be tried here: {self.suite.without[name]}")
                declared = self.client.capabilities.get(name)
                if not declared:
                    reason = f": {declared.reason}" if declared is not None and declared.reason else ""
                    pytest.skip(f"{self.suite.provider} does not declare {name!r}{reason}")
            given: dict[str, Any] = {"stage": self, "client": self.client}
            if "box" in asked:
                given["box"] = await self.box()
            await test(**{name: given[name] for name in asked})

        try:
            self.drive(body())
        except (Exception, KeyboardInterrupt):
            # The next test gets a sandbox that this one cannot have spoilt.
            self._forget()
            raise

    def drive(self, body: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in this world."""
        if self._runner is None:
            return run_blocking(body)
        result = self._runner.run(body)
        left = self._tasks()
        assert not left, f"tasks outlived the test: {left}"
        return result

    def _tasks(self) -> list[asyncio.Task[Any]]:
        assert self._runner is not None
        loop = self._runner.get_loop()
        end = time.monotonic() + 1.0
        while (tasks := [task for task in asyncio.all_tasks(loop) if not task.done()]) and time.monotonic() < end:
            self._runner.run(asyncio.sleep(0.01))
        return tasks

    def _forget(self) -> None:
        async def body() -> None:
            self._box = None
            if self._runner is not None:
                stray = asyncio.all_tasks() - {asyncio.current_task()}
                for task in stray:
                    task.cancel()
                await asyncio.gather(*stray, return_exceptions=True)
            async for info in self.client.list(labels=self.labels):
                await _ignoring(self.client.delete(info.id))

        self.drive(_ignoring(body()))

    # -- what tests use -------------------------------------------------------------------------------------------

    @property
    def labels(self) -> dict[str, str]:
        """What everything that the tests make is labelled with."""
        return {LABEL: self.tag}

    @property
    def owner(self) -> str:
        """The owner that the tests' clients give, so that ``gc`` touches nothing else."""
        return f"contract-{self.tag}"

    @property
    def options(self) -> dict[str, Any]:
        """The connect options of the tests' clients."""
        return {"owner": self.owner, **self.suite.options}

    @property
    def client(self) -> AsyncClient:
        """The client that the tests share."""
        if self._client is None:
            self._client = self.connect()
        return self._client

    async def box(self) -> AsyncSandbox:
        """Give the sandbox that the tests share."""
        if self._box is None:
            self._box = await self.create(ttl=900.0)
        return self._box

    def connect(self, **options: Any) -> AsyncClient:
        """Make a client of its own."""
        options = {**self.options, **options}
        if self.world == "asyncio":
            return sandboxkit.connect_async(self.suite.provider, **options)
        return cast("AsyncClient", Face(sandboxkit.connect(self.suite.provider, **options)))

    def create(self, client: AsyncClient | None = None, **spec: Any) -> Opening[AsyncSandbox]:
        """Make a sandbox as the class wants them, with this stage's label: await it or enter it."""
        return (client or self.client).create(**self.spec(**spec))

    def spec(self, **spec: Any) -> dict[str, Any]:
        """Give the arguments of such a create."""
        merged = {"ttl": 120.0, **self.suite.create, **spec}
        merged["labels"] = {**self.labels, **spec.get("labels", {})}
        return merged

    async def listed(self, client: AsyncClient | None = None, **labels: str) -> set[str]:
        """Give the ids of this stage's sandboxes, the shared one left out."""
        shared = self._box.id if self._box is not None else None
        found = {info.id async for info in (client or self.client).list(labels={**self.labels, **labels})}
        return found - {shared}

    def core(self, client: AsyncClient) -> AsyncClient:
        """Give the async client behind a blocking one."""
        return client.blocking._async if isinstance(client, Face) else client

    def child(self, act: Callable[..., Coroutine[Any, Any, None]], *args: Any) -> Child:
        """Run ``act(client, *args)`` in a process of its own, in this world, with a client of its own."""
        return Child(act, args, provider=self.suite.provider, options=self.options, world=self.world)

    # -- doing things at once -------------------------------------------------------------------------------------

    async def pause(self, seconds: float) -> None:
        """Wait that long."""
        await self.side.pause(seconds)

    async def gather(self, *operations: Callable[[], Awaitable[T]], at_once: int = 64) -> list[T]:
        """Run operations at once, in tasks or threads; give their results in order."""
        return await self.side.gather(operations, at_once)

    def start(self, operation: Callable[[], Awaitable[T]]) -> Running[T]:
        """Start an operation beside the test, which must ``finish`` it."""
        return self.side.start(operation)

    async def interrupted(
        self, operation: Callable[[], Awaitable[object]], when: Callable[[], Awaitable[object]]
    ) -> float:
        """Start an operation, cancel or interrupt it when ``when`` has returned; give the seconds it took to end.

        Fails unless it ended by ``CancelledError`` or ``KeyboardInterrupt``.
        """
        return await self.side.interrupted(operation, when)

    async def cut_short(self, operation: Callable[[], Awaitable[T]], step: int) -> T | None:
        """Cancel an operation where it suspends for the ``step``-th time (asyncio; never for 0)."""
        return await self.side.cut_short(operation, step)

    async def eventually(self, check: Callable[[], Awaitable[bool]], *, within: float = 10.0) -> bool:
        """Tell whether ``check`` comes true in time."""
        end = time.monotonic() + within
        while not await check():
            if time.monotonic() >= end:
                return False
            await self.pause(0.1)
        return True

    # -- the end --------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Delete everything, and fail if the tests left anything."""
        try:
            left = self.drive(self._clean_up())
        finally:
            if self._runner is not None:
                self._runner.close()
        left += self.suite.remains(self.tag)
        assert not left, f"the tests left behind: {', '.join(left)}"

    async def _clean_up(self) -> list[str]:
        if self._client is None:
            return []
        left: list[str] = []
        async with self._client as client:
            if self._box is not None:
                await self._box.delete()
                self._box = None
            async for info in client.list(labels=self.labels):
                if info.expires_at is None or info.expires_at > time.time():
                    left.append(f"sandbox {info.id} ({info.status})")
                await client.delete(info.id)
        return left


async def _ignoring(work: Awaitable[object]) -> None:
    try:
        await work
    except sandboxkit.SandboxError:
        return


Options = Mapping[str, Any]
