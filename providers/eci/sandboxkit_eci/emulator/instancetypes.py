"""ECS instance types: a name says how many vCPUs, GiB and GPUs there are.

From ECS's pages on instance families. What is not on them as a rule, or in the table of GPU types, is no type here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import attrs

from sandboxkit_eci.emulator.errors import ApiError

_NAME = re.compile(r"ecs\.([a-z0-9-]+)\.(nano|small|large|([0-9]*)xlarge)")
_LETTER = re.compile(r"(hf)?([cgr])[1-9][a-z]*")
_RATIO = re.compile(r"(?:t[1-9]|u[1-9][a-z]*|e)-l?c([1248])m([1248])")

GIB = {"c": 2.0, "g": 4.0, "r": 8.0, "sn1ne": 2.0, "sn2ne": 4.0}
"""GiB for each vCPU, by a family's letter, or by the names of older ones."""

TIMES_XLARGE = frozenset({2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 16, 20, 22, 24, 26, 32, 48})
"""The numbers that stand before ``xlarge``: four vCPUs each."""

LESS = {13: 12 / 13, 26: 12 / 13}
"""The part of its memory that a size has of what its family's rule says: 52 vCPUs come with 96, 192 or 384 GiB."""

GPU: dict[str, dict[str, tuple[float, int]]] = {
    "gn5": {"c4g1.xlarge": (30, 1), "c8g1.2xlarge": (60, 1), "c4g1.2xlarge": (60, 2), "c28g1.7xlarge": (112, 1)},
    "gn5i": {"c2g1.large": (8, 1), "c4g1.xlarge": (16, 1), "c8g1.2xlarge": (32, 1), "c16g1.4xlarge": (64, 1)},
    "gn6i": {
        "c4g1.xlarge": (15, 1),
        "c8g1.2xlarge": (31, 1),
        "c16g1.4xlarge": (62, 1),
        "c24g1.6xlarge": (93, 1),
        "c40g1.10xlarge": (155, 1),
        "c24g1.12xlarge": (186, 2),
        "c24g1.24xlarge": (372, 4),
    },
    "gn6e": {
        "c12g1.3xlarge": (92, 1),
        "c12g1.6xlarge": (184, 2),
        "c12g1.12xlarge": (368, 4),
        "c12g1.24xlarge": (736, 8),
    },
    "gn6v": {"c8g1.2xlarge": (32, 1), "c8g1.4xlarge": (64, 2), "c8g1.8xlarge": (128, 4), "c8g1.16xlarge": (256, 8)},
    "gn7": {"c12g1.3xlarge": (94, 1), "c13g1.13xlarge": (378, 4), "c13g1.26xlarge": (756, 8)},
    "gn7e": {
        "c16g1.4xlarge": (125, 1),
        "c16g1.8xlarge": (250, 2),
        "c16g1.16xlarge": (500, 4),
        "c16g1.32xlarge": (1000, 8),
    },
    "gn7i": {
        "c8g1.2xlarge": (30, 1),
        "c16g1.4xlarge": (60, 1),
        "c32g1.8xlarge": (188, 1),
        "c32g1.16xlarge": (376, 2),
        "c32g1.32xlarge": (752, 4),
        "c48g1.12xlarge": (310, 1),
        "c56g1.14xlarge": (346, 1),
    },
}
"""GiB and GPUs of types that have GPUs, by family and the rest of the name."""

USUAL = ("c5", "c6", "c7", "g5", "g6", "g7", "r5", "r6", "r7", "t6-c1m1", "t6-c1m2", "t6-c1m4")
"""Families whose types are listed where a size is asked for; other names are known, too."""

USUAL_SIZES = ("large", "xlarge", "2xlarge", "3xlarge", "4xlarge", "6xlarge", "8xlarge", "13xlarge", "16xlarge")


@attrs.frozen
class InstanceType:
    """One type: vCPUs, GiB and GPUs."""

    name: str
    cpu: float
    memory: float
    gpus: int = 0

    @property
    def size(self) -> tuple[float, float]:
        """Its vCPUs and GiB."""
        return self.cpu, self.memory

    @property
    def family(self) -> str:
        """Its family, such as ``ecs.c6``; the ratio in a name is no part of it: ``ecs.t6``, ``ecs.gn6i``."""
        return "ecs." + re.split("[.-]", self.name)[1]


def named(name: str) -> InstanceType | None:
    """Give the type of this name; ``None`` if it names none."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    family, size, times = found.groups()
    if times and int(times) not in TIMES_XLARGE:
        return None
    cpu = {"nano": 1.0, "small": 1.0, "large": 2.0}.get(size) or 4.0 * int(times or 1)
    accelerated, _, rest = family.partition("-")
    if accelerated in GPU:
        row = GPU[accelerated].get(f"{rest}.{size}")
        return None if row is None else InstanceType(name, cpu, float(row[0]), row[1])
    ratio = _ratio(family)
    return None if ratio is None else InstanceType(name, cpu, cpu * ratio * LESS.get(int(times or 1), 1.0))


def listed(text: str) -> tuple[InstanceType, ...]:
    """Read a request's InstanceType: names with commas between, tried in order; raises for what is none."""
    found = []
    for name in filter(None, (part.strip() for part in text.split(","))):
        kind = named(name)
        if kind is None:
            words = f"Sales of this current instance type is not supported in eci: {name}."
            raise ApiError(400, "InvalidInstanceTypeForEciBuy", words)
        found.append(kind)
    return tuple(found)


def first(given: Any) -> InstanceType | None:
    """Give the type that a request names first; ``None`` if it names none."""
    return next(iter(listed(given.get("InstanceType", ""))), None)


def is_family(name: str) -> bool:
    """Whether this names a family, such as ``ecs.c6``, ``ecs.t6`` or ``ecs.gn6i``."""
    return name.removeprefix("ecs.") in GPU or any(named(f"{name}{rest}") for rest in (".large", "-c1m1.large"))


def usual() -> Iterator[InstanceType]:
    """Give the types that are listed where a size is asked for."""
    names = [f"{family}.{size}" for family in USUAL for size in USUAL_SIZES]
    names += [f"{family}-{rest}" for family, rows in GPU.items() for rest in rows]
    return (kind for name in names if (kind := named(f"ecs.{name}")) is not None)


def _ratio(family: str) -> float | None:
    """Give the GiB that a family without GPUs has for each vCPU; ``None`` for one that is not known."""
    if found := _RATIO.fullmatch(family):
        return int(found[2]) / int(found[1])
    found = _LETTER.fullmatch(family)
    return GIB.get(family) if found is None else GIB[found[2]]
