"""``local``'s sandboxes behind a channel that carries bytes and nothing else."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Mapping

import attrs

from sandboxkit.errors import ProviderError
from sandboxkit.model import Capability, CreateRequest, Page, SandboxInfo, Status
from sandboxkit.provider import ByteChannel, Extendable, ProviderBase, SandboxProvider, World

from .channel import PoorChannel

LONGEST_COMMAND = 2048
"""Bytes of a command as JSON that the backend takes."""


class PoorProvider(ProviderBase):
    """No exit status, no end of input, no kill, no user, no working directory; 2,048 bytes of command."""

    name = "poor"

    def __init__(self, world: World, inner: SandboxProvider, seed: int) -> None:
        super().__init__(world)
        assert isinstance(inner, ProviderBase)
        assert isinstance(inner, Extendable)
        self.inner = inner
        self.extendable: Extendable = inner
        self.random = random.Random(seed)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        without = {
            "exec_user": "the channel knows no users",
            "pty": "the channel is no terminal",
            "restart": "the channel is all there is",
            "restart_keeps_files": "the channel is all there is",
        }
        return {**self.inner.capabilities, **{name: Capability(False, reason) for name, reason in without.items()}}

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        return self._ours(await self.inner.create(request, until=until))

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return self._ours(await self.inner.get(sandbox_id, until=until))

    async def list(
        self, *, labels: Mapping[str, str], statuses: Collection[Status], cursor: str | None, until: float | None
    ) -> Page:
        page = await self.inner.list(labels=labels, statuses=statuses, cursor=cursor, until=until)
        return Page(items=tuple(self._ours(info) for info in page.items), cursor=page.cursor)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        return await self.inner.delete(sandbox_id, until=until)

    async def extend(self, sandbox_id: str, *, expires_at: float, until: float | None) -> SandboxInfo:
        return self._ours(await self.extendable.extend(sandbox_id, expires_at=expires_at, until=until))

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        assert user is None, "a user was asked for although exec_user is not declared"
        if len(json.dumps(argv).encode()) > LONGEST_COMMAND:
            raise ProviderError(f"a command of {len(json.dumps(argv))} bytes is over the limit of {LONGEST_COMMAND}")
        inner = await self.inner.open_channel(sandbox_id, argv, user=None, urgent=urgent, until=until)
        return PoorChannel(self.world, inner, random.Random(self.random.random()))

    async def close(self) -> None:
        await self.inner.close()

    def _ours(self, info: SandboxInfo) -> SandboxInfo:
        return attrs.evolve(info, provider=self.name)
