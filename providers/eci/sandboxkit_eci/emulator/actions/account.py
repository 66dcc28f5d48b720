"""Where one can be, what one may use, and what it costs."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator import instancetypes
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.images import MOST_CACHES
from sandboxkit_eci.emulator.sizes import rounded
from sandboxkit_eci.emulator.stock import zones

REGIONS = ("cn-beijing", "cn-hangzhou", "cn-hongkong", "cn-shanghai", "cn-shenzhen", "ap-southeast-1", "us-west-1")

CPU_PRICE = 0.000049
"""CNY for a vCPU and second; half as much about for one of the economy category."""

MEMORY_PRICE = 0.00000613
"""CNY for a GiB and second."""

ECONOMY_CPU_PRICE = 0.000027
SPOT_DISCOUNT = 0.3


async def describe_regions(call: Call) -> dict[str, Any]:
    """List the regions, with three zones each."""
    names = sorted({*REGIONS, call.service.region})
    regions = [
        {
            "RegionId": name,
            "RegionEndpoint": f"eci.{name}.aliyuncs.com",
            "Zones": zones(name),
            "RecommendZones": zones(name)[:1],
        }
        for name in names
    ]
    return {"Regions": regions}


async def list_usage(call: Call) -> dict[str, Any]:
    """Give what the account may use in the region."""
    limits = {"MaxCpu": int(call.service.runtime.quirks.quota_cpu), "MaxImageCacheCount": MOST_CACHES}
    return {"Attributes": {**limits, "MaxAutoImageCacheCount": 25}}


async def describe_container_group_price(call: Call) -> dict[str, Any]:
    """Give the price of a size, rounded up as a group of it would be, or of an instance type's."""
    given, quirks = call.given, call.service.runtime.quirks
    kind, even = instancetypes.first(given), quirks.memory_rounding == "even"
    cpu, memory = rounded(given.get("Cpu"), given.get("Memory"), even=even) if kind is None else kind.size
    economy = given.get("ComputeCategory") == "economy"
    spot = given.get("SpotStrategy", "NoSpot") != "NoSpot"
    seconds = 3600 if quirks.price_per == "hour" else 1
    usual = (cpu * (ECONOMY_CPU_PRICE if economy else CPU_PRICE) + memory * MEMORY_PRICE) * seconds
    price = usual * (SPOT_DISCOUNT if spot else 1.0)
    amounts = {"OriginalPrice": usual, "TradePrice": price, "DiscountPrice": usual - price}
    spots = [
        {
            "ZoneId": zone,
            "InstanceType": kind.name if kind else "",
            "SpotPrice": usual * SPOT_DISCOUNT,
            "OriginPrice": usual,
        }
        for zone in zones(call.region)
    ]
    return {
        "PriceInfo": {
            "Price": {
                "Currency": "CNY",
                **amounts,
                "DetailInfos": {"DetailInfo": [{"Resource": "instanceType", **amounts, "Rules": {"Rule": []}}]},
            },
            "Rules": {"Rule": []},
            "SpotPrices": {"SpotPrice": spots if spot else []},
        }
    }
