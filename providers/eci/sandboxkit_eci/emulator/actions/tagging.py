"""Tags of groups and image caches."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.creation import MOST_TAGS, check_tags
from sandboxkit_eci.emulator.errors import invalid, too_much
from sandboxkit_eci.emulator.store import tags_of

KINDS = ("containergroup", "imagecache")
MOST_RESOURCES = 50


async def tag_resources(call: Call) -> dict[str, Any]:
    """Give resources tags; a key that is there has its value replaced."""
    check_tags(call.given["Tag"])
    new = tags_of(call.given)
    resources = _resources(call)
    if any(len({**tags, **new}) > MOST_TAGS for tags in resources.values()):
        raise too_much(f"a resource has at most {MOST_TAGS} tags")
    for tags in resources.values():
        tags.update(new)
    return {}


async def untag_resources(call: Call) -> dict[str, Any]:
    """Take tags away, those named or all."""
    for tags in _resources(call).values():
        for key in list(tags) if call.given.get("All") else call.given.get("TagKey", ()):
            tags.pop(key, None)
    return {}


async def list_tag_resources(call: Call) -> dict[str, Any]:
    """List tags of resources, by the resources' ids or by the tags."""
    given = call.given
    resources = _resources(call)
    wanted = {(tag.get("Key"), tag.get("Value")) for tag in given.get("Tag", ())}
    found = [
        {"ResourceId": name, "ResourceType": given["ResourceType"], "TagKey": key, "TagValue": value}
        for name, tags in resources.items()
        for key, value in tags.items()
        if not wanted or (key, value) in wanted or (key, None) in wanted
    ]
    start = given.get("NextToken") or "0"
    if not start.isdecimal() or len(start) > 9:
        raise invalid("NextToken", "was not given by this service")
    limit = min(max(given.get("Limit", MOST_RESOURCES), 1), MOST_RESOURCES)
    end = int(start) + limit
    return {"TagResources": found[int(start) : end], "NextToken": str(end) if end < len(found) else ""}


def _resources(call: Call) -> dict[str, dict[str, str]]:
    """Give the tags of the resources that the call is about, by their ids."""
    kind, ids = call.given["ResourceType"].lower(), call.given.get("ResourceId")
    if kind not in KINDS:
        raise invalid("ResourceType", f"must be one of {', '.join(KINDS)}")
    if ids and len(ids) > MOST_RESOURCES:
        raise too_much(f"at most {MOST_RESOURCES} resources")
    service = call.service
    if kind == "imagecache":
        caches = service.images.caches_of(call.account, call.region)
        seen = {cache.id: cache.tags for cache in caches}
    else:
        seen = {group.id: group.tags for group in service.groups.seen(call.account, call.region)}
    for each in ids or ():
        if each not in seen:
            raise service.groups.unknown(each)
    return {each: seen[each] for each in ids} if ids else seen
