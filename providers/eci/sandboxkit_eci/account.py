"""What only ECI has: logs, events, stats, prices, images, labels; with an async and a blocking face."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, overload

import attrs

from sandboxkit.client import AsyncClient
from sandboxkit.driver import blocking
from sandboxkit.errors import InvalidRequest
from sandboxkit.model import SandboxInfo
from sandboxkit.sync import Client
from sandboxkit_eci import labelling, snapshots, spending, watching
from sandboxkit_eci.options import AcrRegistry
from sandboxkit_eci.provider import EciProvider
from sandboxkit_eci.snapshots import ImageCache
from sandboxkit_eci.spending import Price
from sandboxkit_eci.watching import Event, Stats

LIMIT = 60.0
"""Seconds that a question may take."""

IMAGE_LIMIT = 1800.0
"""Seconds that making an image or a cache may take."""


@attrs.define(eq=False)
class AsyncAccount:
    """One account in one region; made by :func:`account`. Sandboxes are named by their ids."""

    _provider: EciProvider = attrs.field(repr=False)

    def _until(self, seconds: float = LIMIT) -> float:
        return self._provider.world.now() + seconds

    async def logs(
        self,
        sandbox_id: str,
        *,
        tail: int = 500,
        since: float | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> str:
        """See :func:`sandboxkit_eci.watching.logs`."""
        return await watching.logs(
            self._provider,
            sandbox_id,
            tail=tail,
            since=since,
            previous=previous,
            timestamps=timestamps,
            until=self._until(),
        )

    async def events(self, sandbox_id: str) -> tuple[Event, ...]:
        """See :func:`sandboxkit_eci.watching.events`."""
        return await watching.events(self._provider, sandbox_id, until=self._until())

    async def stats(self, sandbox_id: str) -> Stats | None:
        """See :func:`sandboxkit_eci.watching.stats`."""
        return await watching.stats(self._provider, sandbox_id, until=self._until())

    async def usage(self) -> Mapping[str, int]:
        """See :func:`sandboxkit_eci.spending.usage`."""
        return await spending.usage(self._provider, until=self._until())

    async def price(
        self,
        *,
        cpu: float | None = None,
        memory_gib: float | None = None,
        instance_type: str | None = None,
        zone_id: str | None = None,
        compute_category: Literal["general", "economy"] | None = None,
        spot: Literal["NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit"] | None = None,
    ) -> Price:
        """See :func:`sandboxkit_eci.spending.price`."""
        return await spending.price(
            self._provider,
            cpu=cpu,
            memory_gib=memory_gib,
            instance_type=instance_type,
            zone_id=zone_id,
            compute_category=compute_category,
            spot=spot,
            until=self._until(),
        )

    async def relabel(
        self, sandbox_id: str, *, add: Mapping[str, str] | None = None, remove: Collection[str] = ()
    ) -> SandboxInfo:
        """See :func:`sandboxkit_eci.labelling.relabel`."""
        return await labelling.relabel(self._provider, sandbox_id, add=add, remove=remove, until=self._until())

    async def snapshot(
        self,
        sandbox_id: str,
        *,
        repository: str,
        tag: str,
        role_arn: str | None = None,
        registry: AcrRegistry | None = None,
    ) -> str:
        """See :func:`sandboxkit_eci.snapshots.snapshot`."""
        return await snapshots.snapshot(
            self._provider,
            sandbox_id,
            repository=repository,
            tag=tag,
            role_arn=role_arn,
            registry=registry,
            until=self._until(IMAGE_LIMIT),
        )

    async def make_image_cache(
        self, name: str, images: Sequence[str], *, size_gib: int | None = None, retention_days: int | None = None
    ) -> ImageCache:
        """See :func:`sandboxkit_eci.snapshots.make_cache`."""
        return await snapshots.make_cache(
            self._provider,
            name,
            images,
            size_gib=size_gib,
            retention_days=retention_days,
            until=self._until(IMAGE_LIMIT),
        )

    async def image_caches(self) -> tuple[ImageCache, ...]:
        """See :func:`sandboxkit_eci.snapshots.caches`."""
        return await snapshots.caches(self._provider, until=self._until())

    async def remove_image_cache(self, cache_id: str) -> None:
        """See :func:`sandboxkit_eci.snapshots.remove_cache`."""
        await snapshots.remove_cache(self._provider, cache_id, until=self._until())


class Account:
    """The blocking face of :class:`AsyncAccount`."""

    def __init__(self, account: AsyncAccount) -> None:
        self._async = account

    logs = blocking(AsyncAccount.logs)
    events = blocking(AsyncAccount.events)
    stats = blocking(AsyncAccount.stats)
    usage = blocking(AsyncAccount.usage)
    price = blocking(AsyncAccount.price)
    relabel = blocking(AsyncAccount.relabel)
    snapshot = blocking(AsyncAccount.snapshot)
    make_image_cache = blocking(AsyncAccount.make_image_cache)
    image_caches = blocking(AsyncAccount.image_caches)
    remove_image_cache = blocking(AsyncAccount.remove_image_cache)


@overload
def account(client: Client) -> Account: ...


@overload
def account(client: AsyncClient) -> AsyncAccount: ...


def account(client: Client | AsyncClient) -> Account | AsyncAccount:
    """Give what only ECI has, for a client from ``connect("eci")`` or ``connect_async("eci")``."""
    inner = client._async if isinstance(client, Client) else client
    if not isinstance(inner.provider, EciProvider):
        raise InvalidRequest(f"this client's provider is {inner.provider.name!r}, not eci")
    made = AsyncAccount(inner.provider)
    return Account(made) if isinstance(client, Client) else made
