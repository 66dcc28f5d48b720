"""Changing the labels of a sandbox that lives: TagResources and UntagResources."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from sandboxkit import bookkeeping as books
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import SandboxInfo
from sandboxkit.retry import retrying
from sandboxkit_eci import tags as marks

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

RESOURCE = "containergroup"


async def relabel(
    provider: EciProvider,
    sandbox_id: str,
    *,
    add: Mapping[str, str] | None = None,
    remove: Collection[str] = (),
    until: float | None,
) -> SandboxInfo:
    """Add or replace labels, and remove others; sandboxkit's own stay. Gives the sandbox as it is then."""
    given = dict(add or {})
    marks.check_labels(given)
    books.refuse_own(remove)
    have = marks.of_group(await provider.group(sandbox_id, until=until))
    after = {name for name in have if name not in remove} | set(given)
    if len(after) > marks.MOST:
        raise InvalidSpec(f"ECI has room for {marks.MOST} tags, not {len(after)}, sandboxkit's own included")
    resource = {"ResourceType": RESOURCE, "ResourceId": [sandbox_id]}
    if remove:
        keys = {**resource, "TagKey": sorted(remove)}
        await retrying(
            provider.world,
            lambda: provider.api.ask("UntagResources", "removing labels", keys, until=until),
            until=until,
        )
    if given:
        tags = {**resource, "Tag": [{"Key": key, "Value": value} for key, value in given.items()]}
        await retrying(
            provider.world, lambda: provider.api.ask("TagResources", "adding labels", tags, until=until), until=until
        )
    return await provider.get(sandbox_id, until=until)
