"""Image caches are made and listed, containers are made into images."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator.actions.execution import running_container
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.clock import timestamp
from sandboxkit_eci.emulator.creation import check_tags
from sandboxkit_eci.emulator.errors import ApiError, invalid, missing
from sandboxkit_eci.emulator.images import MOST_CACHES, Commit, ImageCache
from sandboxkit_eci.emulator.paging import page
from sandboxkit_eci.emulator.store import new_id, tags_of

MOST_DAYS = 36_500
"""Days that a cache may be kept; the service documents no bound."""


async def create_image_cache(call: Call) -> dict[str, Any]:
    """Begin to make a cache."""
    check_tags(call.given.get("Tag", ()))
    if not 1 <= call.given.get("RetentionDays", 1) <= MOST_DAYS:
        raise invalid("RetentionDays", f"must be from 1 to {MOST_DAYS}")

    def make() -> dict[str, Any]:
        images = call.service.images
        if len(images.caches_of(call.account, call.region)) >= MOST_CACHES:
            raise ApiError(403, "QuotaExceeded", f"An account has at most {MOST_CACHES} image caches in a region.")
        cache = ImageCache(
            id=new_id(call.region, "imc"),
            serial=images.new_serial(),
            account=call.account,
            region=call.region,
            given=call.given,
            group_id=new_id(call.region),
            snapshot_id=new_id(call.region, "s"),
            created=call.now,
            tags=tags_of(call.given),
            fails=call.fault("image-pull") is not None,
        )
        images.make(cache)
        return {"ImageCacheId": cache.id, "ContainerGroupId": cache.group_id}

    return call.once(make)


async def describe_image_caches(call: Call) -> dict[str, Any]:
    """List caches."""
    given, quirks = call.given, call.service.runtime.quirks
    found = [
        cache
        for cache in call.service.images.caches_of(call.account, call.region)
        if given.get("ImageCacheId", cache.id) == cache.id
        and given.get("ImageCacheName", cache.given["ImageCacheName"]) == cache.given["ImageCacheName"]
        and given.get("SnapshotId", cache.snapshot_id) == cache.snapshot_id
        and (not given.get("Image") or given["Image"] in cache.given["Image"])
        and all(cache.tags.get(tag.get("Key", "")) == tag.get("Value", "") for tag in given.get("Tag", ()))
    ]
    shown, answer = page(found, given, most=50, serial=lambda each: each.serial, quirks=quirks)
    return {"ImageCaches": [_cache(each) for each in shown], **answer}


async def delete_image_cache(call: Call) -> dict[str, Any]:
    """Delete a cache at once."""
    images, wanted = call.service.images, call.given["ImageCacheId"]
    if all(cache.id != wanted for cache in images.caches_of(call.account, call.region)):
        raise ApiError(404, "InvalidParameter.NotFound", f"The specified ImageCache {wanted} does not exist.")
    images.remove(images.caches[wanted])
    return {}


async def commit_container(call: Call) -> dict[str, Any]:
    """Begin to make an image of a container. There is no ClientToken: a call made twice commits twice."""
    image = call.given["Image"]
    if not image.get("Repository"):
        raise missing("Image.Repository")
    container, machine = running_container(call, ("Running",))
    images = call.service.images
    commit = Commit(
        id=new_id(call.region, "t"),
        serial=images.new_serial(),
        account=call.account,
        region=call.region,
        group_id=call.given["ContainerGroupId"],
        container=container.name,
        created=call.now,
    )
    images.commit(commit, machine, image["Repository"], image.get("Tag") or "latest")
    return {"TaskId": commit.id}


async def describe_commit_container_task(call: Call) -> dict[str, Any]:
    """List commits."""
    given, quirks = call.given, call.service.runtime.quirks
    found = [
        commit
        for commit in call.service.images.commits_of(call.account, call.region)
        if given.get("ContainerGroupId", commit.group_id) == commit.group_id
        and given.get("TaskStatus", commit.status) == commit.status
        and commit.id in given.get("TaskId", [commit.id])
    ]
    pages = {"Limit": given.get("MaxResults", 20), "NextToken": given.get("NextToken")}
    shown, answer = page(found, pages, most=100, serial=lambda each: each.serial, quirks=quirks)
    return {"CommitTasks": [_commit(each) for each in shown], "MaxResults": str(pages["Limit"]), **answer}


def _cache(it: ImageCache) -> dict[str, Any]:
    return {
        "ImageCacheId": it.id,
        "ImageCacheName": it.given["ImageCacheName"],
        "ContainerGroupId": it.group_id,
        "SnapshotId": it.snapshot_id,
        "Images": it.given["Image"],
        "ImageCacheSize": it.given.get("ImageCacheSize", 20),
        "Status": it.status,
        "Progress": "100%" if it.status == "Ready" else "10%",
        "RegionId": it.region,
        "ResourceGroupId": it.given.get("ResourceGroupId", "rg-emulated"),
        "CreationTime": timestamp(it.created),
        "ExpireDateTime": timestamp(it.expires),
        "LastMatchedTime": timestamp(it.matched),
        "EliminationStrategy": it.given.get("EliminationStrategy", ""),
        "Tags": [{"Key": key, "Value": value} for key, value in it.tags.items()],
        "Events": [],
    }


def _commit(it: Commit) -> dict[str, Any]:
    done = sum(phase.status == "Succeeded" for phase in it.phases)
    return {
        "TaskId": it.id,
        "ContainerName": it.container,
        "TaskStatus": it.status,
        "TaskProgress": f"{done * 100 // 3}%",
        "TaskCreationTime": timestamp(it.created),
        "TaskFinishedTime": timestamp(it.finished),
        "StatusMessage": it.message,
        "CommitPhaseInfos": [
            {"Phase": each.name, "Status": each.status, "RecordTime": timestamp(each.time), "Message": each.message}
            for each in it.phases
        ],
    }
