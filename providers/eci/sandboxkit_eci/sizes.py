"""The sizes that a group can have, and how others are rounded up; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DEFAULT = (2.0, 4.0)
"""vCPU and GiB of a group for which nothing is asked, as documented."""

SIZES: Mapping[float, tuple[float, ...]] = {
    0.25: (0.5, 1),
    0.5: (1, 2),
    1: (2, 4, 8),
    2: (1, 2, 4, 8, 16),
    4: (2, 4, 8, 16, 32),
    8: (4, 8, 16, 32, 64),
    12: (12, 24, 48, 96),
    16: (16, 32, 64, 128),
    24: (24, 48, 96, 192),
    32: (32, 64, 128, 256),
    52: (96, 192, 384),
    64: (128, 256, 512),
}
"""GiB of memory by vCPU, as documented for CreateContainerGroup."""


def sized(cpu: float | None, memory: float | None) -> tuple[float, float] | None:
    """Give the smallest size that has what is asked for; ``None`` if nothing is asked for or none has as much.

    Without a word about memory it is twice the vCPU's number or the next that there is.
    """
    if cpu is None and memory is None:
        return None
    for vcpu, memories in SIZES.items():
        if vcpu < (cpu or 0.0):
            continue
        wanted = memory if memory is not None else min(2 * vcpu, memories[-1])
        for gib in memories:
            if gib >= wanted:
                return float(vcpu), float(gib)
    return None


def size_of(wire: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Give the vCPU and GiB of the group that a CreateContainerGroup makes, as far as it tells.

    Sizes are sent rounded, so they are what is made; where an instance type decides, only the service knows.
    """
    cpu, memory = wire.get("Cpu"), wire.get("Memory")
    if wire.get("InstanceType"):
        return None, None
    return DEFAULT if cpu is None and memory is None else (cpu, memory)
