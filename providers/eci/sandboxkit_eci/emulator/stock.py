"""Where there is stock, and of what: faults say so, to who creates and to who only asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from sandboxkit_eci.emulator import instancetypes
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.faults import Fault
from sandboxkit_eci.emulator.instancetypes import InstanceType


@attrs.frozen
class Place:
    """The zone and the type of a group; without a type, it is made by size."""

    zone: str
    kind: InstanceType | None = None


def zones(region: str) -> list[str]:
    """Give a region's zones: three."""
    return [f"{region}-{letter}" for letter in "abc"]


def find(given: Mapping[str, Any], region: str, faults: Iterable[Fault]) -> Place:
    """Give the place of a create request's group: the first type that there is, in the first zone that has it.

    A zone that the request names is the only one, whether or not the region has it. Raises if nothing is left.
    """
    gone = _gone(faults)
    kinds = instancetypes.listed(given.get("InstanceType", "")) or (None,)
    there = [given["ZoneId"]] if given.get("ZoneId") else zones(region)
    for kind in kinds:
        for zone in there:
            if not {"", zone, *(() if kind is None else (kind.name, kind.family))} & gone:
                return Place(zone, kind)
    raise ApiError(403, "OperationDenied.NoStock", "The specified instance is out of stock.")


def has(names: Iterable[str], faults: Iterable[Fault]) -> bool:
    """Whether a group would run that the next create made there: ``names`` are its zone, its type and its family."""
    # Of one that cannot be scheduled, the create is granted, and then nothing is found for it.
    late = any(fault.kind == "schedule-failed" for fault in faults)
    return not late and not {"", *names} & _gone(faults)


def _gone(faults: Iterable[Fault]) -> set[str]:
    """Give the names of what is gone; the empty one is everything."""
    return {fault.value for fault in faults if fault.kind == "no-stock"}
