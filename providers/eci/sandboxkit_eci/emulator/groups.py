"""A container group: what the API knows of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from sandboxkit_eci.emulator import volumes
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.events import Events
from sandboxkit_eci.emulator.faults import Fault
from sandboxkit_eci.emulator.instancetypes import InstanceType
from sandboxkit_eci.emulator.sizes import rounded

ENDED = frozenset({"Succeeded", "Failed", "Expired", "ScheduleFailed"})
"""Statuses that a group never leaves but by being deleted."""


@attrs.define(eq=False, kw_only=True)
class Group:
    """One group. ``given`` is the request that made it, ``serial`` its place among all groups."""

    id: str
    serial: int
    account: str
    region: str
    given: Mapping[str, Any] = attrs.field(repr=False)
    created: float
    size: tuple[float, float]
    containers: list[Container]
    init_containers: list[Container]
    events: Events
    tags: dict[str, str]
    zone: str = ""
    instance_type: str = ""
    """The type that decides its size; empty if it is made by size."""
    status: str = "Scheduling"
    intranet_ip: str = ""
    internet_ip: str = ""
    succeeded: float | None = None
    failed: float | None = None
    expired: float | None = None
    cached: Sequence[str] = ()
    """The images of the snapshot that it is made from."""
    faults: tuple[Fault, ...] = ()

    @property
    def name(self) -> str:
        """Its name; another group may have the same."""
        return str(self.given["ContainerGroupName"])

    @property
    def restart_policy(self) -> str:
        """``Always``, ``OnFailure`` or ``Never``."""
        return str(self.given.get("RestartPolicy", "Always"))

    @property
    def is_spot(self) -> bool:
        """Whether the service may take it back."""
        return bool(self.given.get("SpotStrategy", "NoSpot") != "NoSpot")

    @property
    def ended(self) -> float | None:
        """When it ended by itself or was ended; ``None`` if it has not."""
        return next((each for each in (self.succeeded, self.failed, self.expired) if each is not None), None)

    @property
    def changed(self) -> float:
        """When something last happened to it."""
        moments = [self.created, self.ended, *(event.last for event in self.events)]
        for container in self.all_containers:
            moments += (container.state.started, container.state.finished)
        return max(moment for moment in moments if moment is not None)

    @property
    def all_containers(self) -> list[Container]:
        """Its containers, those that run first included."""
        return [*self.init_containers, *self.containers]

    def fault(self, kind: str) -> Fault | None:
        """Give its fault of this kind, if it has one."""
        return next((fault for fault in self.faults if fault.kind == kind), None)


def group_size(
    given: Mapping[str, Any], kind: InstanceType | None = None, *, even: bool = False
) -> tuple[float, float]:
    """Give the vCPUs and GiB of a create request: an instance type's, its own, or what its containers need together.

    A ``kind`` decides alone: it is not rounded, and what else the request says of its size does not count.
    """
    if kind is not None:
        return kind.size

    def total(name: str) -> float | None:
        parts = [each[name] for each in given["Container"] if each.get(name)]
        return given.get(name) or (sum(parts) if parts else None)

    return rounded(total("Cpu"), total("Memory"), even=even)


def make_containers(
    given: Mapping[str, Any], kind: str, group_id: str, size: tuple[float, float], address: str = ""
) -> list[Container]:
    """Make a group's containers as requested; ``kind`` is ``Container`` or ``InitContainer``."""
    fields = {"metadata.name": str(given["ContainerGroupName"]), "metadata.uid": group_id}
    fields |= {"metadata.namespace": "default", "status.podIP": address, "status.hostIP": address}
    return [
        Container(
            given=each,
            group_id=group_id,
            size=size,
            fields=fields,
            directories=volumes.directories(given, each),
            files=volumes.files(given, each),
        )
        for each in given.get(kind, ())
    ]
