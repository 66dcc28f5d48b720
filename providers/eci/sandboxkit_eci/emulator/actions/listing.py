"""Container groups are listed and described."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit_eci.emulator import describe, podstatus
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.errors import invalid
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.paging import ids, page


async def describe_container_groups(call: Call) -> dict[str, Any]:
    """List groups in full."""
    quirks, events = call.service.runtime.quirks, call.given.get("WithEvent", False)
    shown, answer = _page(call, most=20)
    return {"ContainerGroups": [describe.group(each, quirks, events=events) for each in shown], **answer}


async def describe_container_group_status(call: Call) -> dict[str, Any]:
    """List groups' statuses, as Kubernetes has them; with SinceSecond, of those that have changed since."""
    shown, answer = _page(call, most=200, since=_since(call))
    return {"Data": [podstatus.group(each, call.service.runtime.quirks) for each in shown], **answer}


async def describe_container_group_events(call: Call) -> dict[str, Any]:
    """List groups' events."""
    shown, answer = _page(call, most=200)
    return {"Data": [podstatus.events(each, _since(call)) for each in shown], **answer}


def _since(call: Call) -> float | None:
    """Give the moment from which on something is asked for."""
    seconds = call.given.get("SinceSecond", 0)
    if seconds < 0:
        raise invalid("SinceSecond", "must be at least 0")
    return call.now - seconds if seconds else None


def _page(call: Call, *, most: int, since: float | None = None) -> tuple[list[Group], dict[str, Any]]:
    groups = call.service.groups
    if stale := call.fault("stale"):
        seen = groups.seen_before(call.account, call.region, stale.seconds)
    else:
        seen = groups.seen(call.account, call.region)
    if since is not None:
        seen = [each for each in seen if each.changed >= since]
    wanted = ids(call.given.get("ContainerGroupIds"), most=most)
    found = [each for each in seen if (wanted is None or each.id in wanted) and _matches(each, call.given)]
    return page(found, call.given, most=most, serial=lambda each: each.serial, quirks=call.service.runtime.quirks)


def _matches(group: Group, given: Mapping[str, Any]) -> bool:
    """Whether a group is what a list asks for; all tags must match, those without a value by their key."""
    for tag in given.get("Tag", ()):
        key = tag.get("Key", "")
        if key not in group.tags or ("Value" in tag and group.tags[key] != tag["Value"]):
            return False
    if given.get("Status", group.status) != group.status:
        return False
    if given.get("ContainerGroupName", group.name) != group.name:
        return False
    usual = {"ZoneId": group.zone, "VSwitchId": "vsw-emulated", "SecurityGroupId": "sg-emulated"}
    usual |= {"ResourceGroupId": "rg-emulated"}
    categories = group.given.get("ComputeCategory") or ["general"]
    if given.get("ComputeCategory", categories[0]) != categories[0]:
        return False
    return all(
        given[name] in (group.given.get(name) or value).split(",") for name, value in usual.items() if given.get(name)
    )
