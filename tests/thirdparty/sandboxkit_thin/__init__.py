"""A provider in a distribution of its own: ``local``'s sandboxes, with commands and files from ``ProviderBase``.

It shows what an author writes: the lifecycle, a byte channel, a declaration and two hooks.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import attrs

import sandboxkit
from sandboxkit import Capability, InvalidSpec, Probe, SandboxInfo, Status
from sandboxkit.model import CreateRequest, Page
from sandboxkit.plugins import make_provider, probe
from sandboxkit.provider import ByteChannel, ProviderBase, World


class ThinProvider(ProviderBase):
    """See :class:`~sandboxkit.provider.SandboxProvider`."""

    name = "thin"

    def __init__(self, world: World) -> None:
        super().__init__(world)
        inner = make_provider("local", world, {})
        assert isinstance(inner, ProviderBase)
        self._inner = inner

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        # What is not passed on is not declared.
        without = ("extend", "pty", "restart", "restart_keeps_files")
        return {
            **self._inner.capabilities,
            **{name: Capability(False, "thin does not pass it on") for name in without},
        }

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        return self._named(await self._inner.create(request, until=until))

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return self._named(await self._inner.get(sandbox_id, until=until))

    async def list(
        self, *, labels: Mapping[str, str], statuses: Collection[Status], cursor: str | None, until: float | None
    ) -> Page:
        page = await self._inner.list(labels=labels, statuses=statuses, cursor=cursor, until=until)
        return Page(items=tuple(self._named(info) for info in page.items), cursor=page.cursor)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        return await self._inner.delete(sandbox_id, until=until)

    async def open_channel(
        self, sandbox_id: str, argv: tuple[str, ...], *, user: str | None, urgent: bool, until: float | None
    ) -> ByteChannel:
        return await self._inner.open_channel(sandbox_id, argv, user=user, urgent=urgent, until=until)

    async def close(self) -> None:
        await self._inner.close()

    def _named(self, info: SandboxInfo) -> SandboxInfo:
        return attrs.evolve(info, provider=self.name)


@sandboxkit.hookimpl
def sandboxkit_provider(world: World, options: Mapping[str, Any]) -> ThinProvider:
    """Make the provider; it has no options."""
    if options:
        raise InvalidSpec(f"provider 'thin' has no option {sorted(options)[0]!r}")
    return ThinProvider(world)


@sandboxkit.hookimpl
def sandboxkit_probe() -> Probe:
    """It works where ``local`` does."""
    return probe("local")
