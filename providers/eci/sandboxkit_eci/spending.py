"""What the account may use and what a sandbox would cost: ListUsage and DescribeContainerGroupPrice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs

from sandboxkit.retry import retrying

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider


@attrs.frozen(kw_only=True)
class Price:
    """What a size costs, as the service quotes it, in its currency.

    The amounts are for an hour by the service's documentation. ``trade`` is what would be paid, ``spot`` the lowest
    spot price by zone where spot was asked for.
    """

    currency: str
    original: float
    trade: float
    spot: Mapping[str, float] = attrs.field(factory=dict)


async def usage(provider: EciProvider, *, until: float | None) -> Mapping[str, int]:
    """Give the account's quotas in the region by the service's names, like ``MaxCpu``."""
    body = await retrying(
        provider.world, lambda: provider.api.ask("ListUsage", "asking for quotas", {}, until=until), until=until
    )
    told: Mapping[str, Any] = body.get("Attributes") or {}
    return {name: int(value) for name, value in told.items() if str(value).isdigit()}


async def price(
    provider: EciProvider,
    *,
    cpu: float | None = None,
    memory_gib: float | None = None,
    instance_type: str | None = None,
    zone_id: str | None = None,
    compute_category: Literal["general", "economy"] | None = None,
    spot: Literal["NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit"] | None = None,
    until: float | None,
) -> Price:
    """Ask what a size or an instance type would cost. Nothing is made."""
    wire = {
        "Cpu": cpu,
        "Memory": memory_gib,
        "InstanceType": instance_type,
        "ZoneId": zone_id,
        "ComputeCategory": compute_category,
        "SpotStrategy": spot,
    }
    given = {name: value for name, value in wire.items() if value is not None}
    body = await retrying(
        provider.world,
        lambda: provider.api.ask("DescribeContainerGroupPrice", "asking for the price", given, until=until),
        until=until,
    )
    return _price(body.get("PriceInfo") or {})


def _price(info: Mapping[str, Any]) -> Price:
    told: Mapping[str, Any] = info.get("Price") or {}
    spots = (info.get("SpotPrices") or {}).get("SpotPrice") or ()
    cheapest: dict[str, float] = {}
    for spot in spots:
        zone, amount = str(spot.get("ZoneId") or ""), float(spot.get("SpotPrice") or 0.0)
        cheapest[zone] = min(amount, cheapest.get(zone, amount))
    return Price(
        currency=str(told.get("Currency") or ""),
        original=float(told.get("OriginalPrice") or 0.0),
        trade=float(told.get("TradePrice") or 0.0),
        spot=cheapest,
    )
