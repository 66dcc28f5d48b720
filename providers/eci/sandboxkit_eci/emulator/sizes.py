"""The sizes that container groups come in: what is asked for is rounded up to one."""

from __future__ import annotations

import math

from sandboxkit_eci.emulator.errors import ApiError

DEFAULT = (2.0, 4.0)
"""vCPU and GiB where nothing is asked for."""

SIZES: dict[float, tuple[float, ...]] = {
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
"""GiB that each number of vCPUs may have."""


def rounded(cpu: float | None, memory: float | None, *, even: bool = False) -> tuple[float, float]:
    """Give the size that is made and billed. With ``even``, memory is only rounded to an even number of GiB.

    The documents give a table, and also an example that is not in it: 7 vCPU and 13 GiB become 8 and 14.
    """
    if cpu is None and memory is None:
        return DEFAULT
    wanted_cpu, wanted_memory = cpu or 0.0, memory or (2 * (cpu or 0.0))
    for has, memories in SIZES.items():
        if has < wanted_cpu:
            continue
        if memory is None:
            wanted_memory = min(2 * has, memories[-1])
        fits = [size for size in memories if size >= wanted_memory]
        if fits:
            if even and wanted_memory > 2:
                return float(has), float(2 * math.ceil(max(wanted_memory, memories[0]) / 2))
            return float(has), float(fits[0])
    raise not_valid(f"cpu {cpu}, memory {memory}")


def not_valid(what: str) -> ApiError:
    """No group has this size."""
    return ApiError(400, "InvalidParameter.CPU.Memory", f"The specified cpu and memory are not valid: {what}.")
