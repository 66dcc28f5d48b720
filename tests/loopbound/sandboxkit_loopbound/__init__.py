"""``local``'s sandboxes behind a provider that knows only asyncio, and notices when it is not on its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import attrs

from sandboxkit.model import Capability, Command, CreateRequest, Page, Probe, SandboxInfo, Status, TerminalSize
from sandboxkit.plugins import hookimpl, make_provider, probe
from sandboxkit.provider import (
    ByteChannel,
    Exchange,
    Extendable,
    ProviderBase,
    Restartable,
    SandboxProvider,
    TerminalChannel,
    TerminalProvider,
    World,
)


class LoopboundProvider(ProviderBase):
    """Made on a loop, and good on that one only."""

    name = "loopbound"

    def __init__(self, world: World, inner: SandboxProvider) -> None:
        super().__init__(world)
        assert world.name == "asyncio"
        assert isinstance(inner, ProviderBase)
        assert isinstance(inner, Extendable)
        assert isinstance(inner, Restartable)
        self.inner = inner
        self.extendable: Extendable = inner
        self.restartable: Restartable = inner
        assert isinstance(inner, TerminalProvider)
        self.terminals: TerminalProvider = inner
        self.loop: asyncio.AbstractEventLoop | None = None

    async def _here(self) -> None:
        # An SDK that waits for its own transport suspends at every call.
        self.loop = self.loop or asyncio.get_running_loop()
        assert asyncio.get_running_loop() is self.loop
        await asyncio.sleep(0)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return self.inner.capabilities

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        await self._here()
        return self._ours(await self.inner.create(request, until=until))

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        await self._here()
        return self._ours(await self.inner.get(sandbox_id, until=until))

    async def list(
        self, *, labels: Mapping[str, str], statuses: Collection[Status], cursor: str | None, until: float | None
    ) -> Page:
        await self._here()
        page = await self.inner.list(labels=labels, statuses=statuses, cursor=cursor, until=until)
        return Page(items=tuple(self._ours(info) for info in page.items), cursor=page.cursor)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        await self._here()
        return await self.inner.delete(sandbox_id, until=until)

    async def extend(self, sandbox_id: str, *, expires_at: float, until: float | None) -> SandboxInfo:
        await self._here()
        return self._ours(await self.extendable.extend(sandbox_id, expires_at=expires_at, until=until))

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        await self._here()
        return self._ours(await self.restartable.restart(sandbox_id, until=until))

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> TerminalChannel:
        await self._here()
        return await self.terminals.start_terminal(sandbox_id, command, size, until=until)

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        await self._here()
        inner = await self.inner.open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)
        return LoopboundChannel(self, inner)

    async def close(self) -> None:
        await self.inner.close()

    def _ours(self, info: SandboxInfo) -> SandboxInfo:
        return attrs.evolve(info, provider=self.name)


@attrs.define(eq=False)
class LoopboundChannel:
    """A channel that is good on its provider's loop only."""

    provider: LoopboundProvider
    inner: ByteChannel

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        await self.provider._here()
        return await self.inner.exchange(outgoing, receive=receive, until=until)

    async def close(self) -> None:
        await self.inner.close()


@hookimpl
def sandboxkit_worlds() -> Collection[str]:
    return ("asyncio",)


@hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> SandboxProvider:
    return LoopboundProvider(world, make_provider("local", world, {}))


@hookimpl
def sandboxkit_probe() -> Probe:
    answer = probe("local")
    return Probe(answer.works, f"over local: {answer.reason}")
