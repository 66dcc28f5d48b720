"""Images made of sandboxes, and image caches: CommitContainer and …ImageCache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from sandboxkit.errors import DeadlineExceeded, InvalidSpec, ProviderError, ProviderUnavailable
from sandboxkit.retry import retrying
from sandboxkit_eci import describe
from sandboxkit_eci.faults import never_arrived
from sandboxkit_eci.options import AcrRegistry

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

POLL = 1.0
"""Seconds between two looks at a commit or a cache."""


@attrs.frozen(kw_only=True)
class ImageCache:
    """A cache of images: ``snapshot_id`` is what ``EciOptions(image_snapshot_id=...)`` takes once it is ``Ready``."""

    id: str
    name: str
    status: str
    snapshot_id: str = ""
    images: tuple[str, ...] = ()


async def snapshot(
    provider: EciProvider,
    sandbox_id: str,
    *,
    repository: str,
    tag: str,
    role_arn: str | None = None,
    registry: AcrRegistry | None = None,
    until: float | None,
) -> str:
    """Make an image of a sandbox's files and push it; give its name, from which others can be created.

    ``repository`` is in Alibaba's registry, like ``registry-vpc.cn-hangzhou.aliyuncs.com/me/box``; ``role_arn`` is
    the role by which the service may push there. Neither memory nor volumes are in it. The service has no token for
    this, so it is never repeated: where its answer is lost, the error says that a commit may be under way.
    """
    group = await provider.group(sandbox_id, until=until)
    wire: dict[str, Any] = {
        "ContainerGroupId": sandbox_id,
        "ContainerName": describe.container_name(group),
        "Image": {"Repository": repository, "Tag": tag},
    }
    if role_arn is not None:
        wire["Arn"] = {"RoleArn": role_arn, "RoleType": "service"}
    if registry is not None:
        info = {
            "InstanceId": registry.instance_id,
            "RegionId": registry.region_id,
            "ArnService": registry.arn_service,
            "ArnUser": registry.arn_user,
        }
        wire["AcrRegistryInfo"] = {name: value for name, value in info.items() if value is not None}
    try:
        body = await provider.api.ask("CommitContainer", "making an image of the sandbox", wire, until=until)
    except (ProviderUnavailable, DeadlineExceeded) as exc:
        if never_arrived(exc):
            raise
        raise ProviderError(
            "making an image of the sandbox: the answer was lost and the call is not repeated; "
            f"an image {repository}:{tag} may be made all the same",
            provider_code=exc.provider_code,
            request_id=exc.request_id,
        ) from exc.__cause__
    await _committed(provider, sandbox_id, str(body.get("TaskId") or ""), until)
    return f"{repository}:{tag}"


async def _committed(provider: EciProvider, sandbox_id: str, task_id: str, until: float | None) -> None:
    wire = {"ContainerGroupId": sandbox_id, "TaskId": [task_id]}
    while True:
        body = await _ask(provider, "DescribeCommitContainerTask", "waiting for the image", wire, until)
        tasks: Sequence[Mapping[str, Any]] = body.get("CommitTasks") or ()
        task = next((one for one in tasks if one.get("TaskId") == task_id), {})
        if task.get("TaskStatus") == "Succeeded":
            return
        if task.get("TaskStatus") == "Failed":
            raise ProviderError(f"no image could be made of the sandbox: {task.get('StatusMessage') or 'no reason'}")
        await _pause(provider, f"the image of sandbox {sandbox_id}", until)


async def make_cache(
    provider: EciProvider,
    name: str,
    images: Sequence[str],
    *,
    size_gib: int | None = None,
    retention_days: int | None = None,
    until: float | None,
) -> ImageCache:
    """Make a cache of images and wait until it is ready, so that sandboxes of them start without a pull."""
    if not images:
        raise InvalidSpec("an image cache needs at least one image")
    options = provider.options.options
    wire: dict[str, Any] = {
        "ImageCacheName": name,
        "Image": list(images),
        "ImageCacheSize": size_gib,
        "RetentionDays": retention_days,
        "VSwitchId": options.v_switch_ids[0] if options.v_switch_ids else None,
        "SecurityGroupId": options.security_group_id,
    }
    given = {key: value for key, value in wire.items() if value is not None}
    # Names are unique, so a second try after a lost answer cannot make another.
    body = await provider.api.ask("CreateImageCache", "making an image cache", given, until=until)
    made = str(body.get("ImageCacheId") or "")
    while True:
        found = next((cache for cache in await caches(provider, until=until) if cache.id == made), None)
        if found is not None and found.status == "Ready":
            return found
        if found is not None and found.status == "Failed":
            raise ProviderError(f"the image cache {made} could not be made")
        await _pause(provider, f"the image cache {made}", until)


async def caches(provider: EciProvider, *, until: float | None) -> tuple[ImageCache, ...]:
    """Give the account's image caches in the region."""
    found: list[ImageCache] = []
    cursor: str | None = None
    while True:
        wire = {"NextToken": cursor} if cursor else {}
        body = await _ask(provider, "DescribeImageCaches", "asking for image caches", wire, until)
        found += [_cache(one) for one in body.get("ImageCaches") or ()]
        cursor = body.get("NextToken") or None
        if cursor is None:
            return tuple(found)


async def remove_cache(provider: EciProvider, cache_id: str, *, until: float | None) -> None:
    """Remove an image cache."""
    await _ask(provider, "DeleteImageCache", "removing an image cache", {"ImageCacheId": cache_id}, until)


def _cache(told: Mapping[str, Any]) -> ImageCache:
    return ImageCache(
        id=str(told.get("ImageCacheId")),
        name=str(told.get("ImageCacheName") or ""),
        status=str(told.get("Status") or ""),
        snapshot_id=str(told.get("SnapshotId") or ""),
        images=tuple(told.get("Images") or ()),
    )


async def _ask(
    provider: EciProvider, action: str, doing: str, wire: Mapping[str, Any], until: float | None
) -> Mapping[str, Any]:
    return await retrying(provider.world, lambda: provider.api.ask(action, doing, wire, until=until), until=until)


async def _pause(provider: EciProvider, what: str, until: float | None) -> None:
    if until is not None and provider.world.now() + POLL > until:
        raise DeadlineExceeded(f"{what} was not there within the operation's deadline; it may come all the same")
    await provider.world.sleep(POLL)
