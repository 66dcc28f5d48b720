"""Container groups are made, deleted, restarted and updated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sandboxkit_eci.emulator import creation, instancetypes, stock
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.errors import ApiError, incorrect_status, too_much
from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.faults import CREATION
from sandboxkit_eci.emulator.groups import Group, group_size, make_containers
from sandboxkit_eci.emulator.stock import Place
from sandboxkit_eci.emulator.store import new_id, tags_of


async def create_container_group(call: Call) -> dict[str, Any]:
    """Make a group; it is scheduled after the answer."""
    given, quirks = call.given, call.service.runtime.quirks
    creation.check(given, quirks)

    def make() -> dict[str, Any]:
        cached = _snapshot_images(call)
        place = stock.find(given, call.region, call.faults)
        size = group_size(given, place.kind, even=quirks.memory_rounding == "even")
        _check_name(call)
        _check_quota(call, size[0])
        if given.get("DryRun"):
            raise ApiError(
                400, "DryRunOperation", "The request would have succeeded, but the DryRun parameter is set."
            )
        group = new_group(call, place, size, cached)
        call.service.groups.begin(group)
        return {"ContainerGroupId": group.id}

    token = given.get("ClientToken")
    if token and quirks.client_token_of_deleted == "new":
        call.service.forget_token_of_deleted(call.account, call.region, token)
    return call.once(make)


def new_group(call: Call, place: Place, size: tuple[float, float], cached: Sequence[str] = ()) -> Group:
    """Make the group of a create request, which nothing has happened to."""
    group_id, given = new_id(call.region), call.given
    serial = call.service.groups.new_serial()
    address = given.get("PrivateIpAddress") or f"172.16.{serial // 250 % 250}.{serial % 250 + 2}"
    return Group(
        id=group_id,
        serial=serial,
        account=call.account,
        region=call.region,
        given=given,
        created=call.now,
        size=size,
        containers=make_containers(given, "Container", group_id, size, address),
        init_containers=make_containers(given, "InitContainer", group_id, size, address),
        events=Events(group_id),
        tags=tags_of(given),
        zone=place.zone,
        instance_type="" if place.kind is None else place.kind.name,
        intranet_ip=address,
        cached=cached,
        faults=tuple(fault for fault in call.faults if fault.kind in CREATION),
    )


def _snapshot_images(call: Call) -> Sequence[str]:
    """Give the images of the snapshot that the group is to be made from; raises if it is not there or not ready."""
    wanted = call.given.get("ImageSnapshotId")
    if not wanted:
        return ()
    either = call.service.runtime.quirks.snapshot_ids == "either"
    for cache in call.service.images.caches_of(call.account, call.region):
        if wanted == cache.snapshot_id or (either and wanted == cache.id):
            if cache.status != "Ready":
                raise ApiError(400, "ImageSnapshot.IncorrectStatus", f"The image cache is {cache.status}.")
            cache.matched = call.now
            return tuple(cache.given["Image"])
    raise ApiError(404, "ImageSnapshot.NotFound", f"The specified ImageSnapshotId {wanted} does not exist.")


def _check_name(call: Call) -> None:
    quirks, groups, name = call.service.runtime.quirks, call.service.groups, call.given["ContainerGroupName"]
    if quirks.unique_names and any(group.name == name for group in groups.seen(call.account, call.region)):
        raise ApiError(400, "InvalidParameter.DuplicatedName", f"The container group name {name} exists already.")


def _check_quota(call: Call, more: float) -> None:
    quirks, groups = call.service.runtime.quirks, call.service.groups
    if call.fault("quota") or groups.used_cpu(call.account, call.region) + more > quirks.quota_cpu:
        words = f"vCPU max is {quirks.quota_cpu:g}"
        raise too_much(words) if quirks.quota_code != "QuotaExceeded" else ApiError(403, "QuotaExceeded", words)


async def delete_container_group(call: Call) -> dict[str, Any]:
    """Begin to delete a group."""
    quirks = call.service.runtime.quirks

    def delete() -> dict[str, Any]:
        life = call.life()
        if life.group.status == "Terminating" and quirks.delete_terminating != "success":
            words = f"The container group {life.group.id} is being deleted."
            raise ApiError(400, quirks.delete_terminating, words)
        if life.group.status != "Terminating" or call.given.get("Force"):
            life.delete(force=call.given.get("Force", False))
        return {}

    try:
        return call.once(delete)
    except ApiError as exc:
        if exc.code == quirks.not_found_code and quirks.delete_missing == "success":
            return {}
        raise


async def restart_container_group(call: Call) -> dict[str, Any]:
    """Begin to start a group's containers anew."""

    def restart() -> dict[str, Any]:
        life = call.life()
        if life.group.status not in ("Pending", "Running"):
            raise incorrect_status(life.group.id, life.group.status, "a restart")
        life.restart()
        return {}

    return call.once(restart)


async def update_container_group(call: Call) -> dict[str, Any]:
    """Begin to replace what was asked for."""

    def update() -> dict[str, Any]:
        life = call.life()
        group = life.group
        if group.status not in ("Pending", "Running"):
            raise incorrect_status(group.id, group.status, "an update")
        given = _updated(dict(group.given), call.given)
        creation.check(given, call.service.runtime.quirks)
        even = call.service.runtime.quirks.memory_rounding == "even"
        size = group_size(given, instancetypes.named(group.instance_type), even=even)
        _check_quota(call, size[0] - group.size[0])
        group.size = size
        if "Tag" in call.given:
            group.tags = tags_of(given)
        life.update(
            given,
            make_containers(given, "Container", group.id, size, group.intranet_ip),
            make_containers(given, "InitContainer", group.id, size, group.intranet_ip),
        )
        return {}

    return call.once(update)


def _updated(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Put an update's parameters into a create's: containers by name, or all of them anew."""
    parts = {
        name: value for name, value in new.items() if name not in ("ContainerGroupId", "ClientToken", "UpdateType")
    }
    if new.get("UpdateType", "IncrementalUpdate") == "IncrementalUpdate":
        for kind in {"Container", "InitContainer"} & new.keys():
            containers = {each["Name"]: each for each in old.get(kind, ())}
            for each in new[kind]:
                containers[each["Name"]] = {**containers.get(each["Name"], {}), **each}
            parts[kind] = list(containers.values())
    return {**old, **parts}
