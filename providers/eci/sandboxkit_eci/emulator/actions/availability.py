"""What a create would find in stock, asked before it is made."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator import instancetypes, stock
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.errors import invalid, missing


async def describe_available_resource(call: Call) -> dict[str, Any]:
    """List the zones that have what is asked for, with or without stock; a zone without such a type is left out."""
    resource, spot = call.given["DestinationResource"], _spot(call.given.get("SpotResource", {}))
    kind, faults = resource["Category"], call.service.faults.foresee("CreateContainerGroup")
    if kind == "InstanceTypeFamily":
        if spot:
            raise invalid("DestinationResource.Category", "must be InstanceType for spot instances")
        if not resource.get("Value"):
            raise missing("DestinationResource.Value")
        names: dict[str, tuple[str, ...]] = (
            {resource["Value"]: ()} if instancetypes.is_family(resource["Value"]) else {}
        )
    else:
        names = {each.name: (each.family,) for each in _types(resource) if not spot or each.cpu >= 2}
    found = []
    for zone in stock.zones(call.region):
        if names and call.given.get("ZoneId") in (None, "", zone):
            supported = [
                {"Value": name, "StatusCategory": _status(stock.has((zone, name, *family), faults))}
                for name, family in names.items()
            ]
            available = {
                "AvailableResource": [{"Type": kind, "SupportedResources": {"SupportedResource": supported}}]
            }
            found.append({"RegionId": call.region, "ZoneId": zone, "AvailableResources": available})
    return {"AvailableZones": {"AvailableZone": found}}


def _spot(given: dict[str, Any]) -> bool:
    """Whether spot instances are asked for; raises without the price that their strategy needs."""
    strategy = given.get("SpotStrategy", "NoSpot")
    if strategy == "SpotWithPriceLimit" and given.get("SpotPriceLimit", 0.0) <= 0:
        raise missing("SpotResource.SpotPriceLimit")
    return bool(strategy != "NoSpot")


def _types(resource: dict[str, Any]) -> list[instancetypes.InstanceType]:
    """Give the types that are asked for: one by its name, those of a size, or one if it has that size."""
    cores, memory = resource.get("Cores"), resource.get("Memory")
    if resource.get("Value"):
        one = instancetypes.named(resource["Value"])
        found = [] if one is None else [one]
    elif cores is None or memory is None:
        # The documents ask for all three in one place, and for either in another.
        raise missing("DestinationResource.Value")
    else:
        found = list(instancetypes.usual())
    return [each for each in found if cores in (None, each.cpu) and memory in (None, each.memory)]


def _status(there: bool) -> str:
    return "WithStock" if there else "WithoutStock"
