"""What the API says about a group, as a ``SandboxInfo``; pure."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit import bookkeeping as books
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit_eci import tags as marks
from sandboxkit_eci.options import DEFAULT_CONTAINER
from sandboxkit_eci.sizes import size_of

PROVIDER = "eci"

STATUSES: Mapping[str, Status] = {
    "Scheduling": Status.CREATING,
    "Pending": Status.CREATING,
    "Restarting": Status.CREATING,
    "Updating": Status.CREATING,
    "Running": Status.RUNNING,
    "Succeeded": Status.STOPPED,
    "Failed": Status.STOPPED,
    "Expired": Status.FAILED,
    "Terminating": Status.DELETING,
    "ScheduleFailed": Status.FAILED,
}
"""ECI's words for a group's status, and sandboxkit's."""

ENDED = ("Succeeded", "Failed", "Expired", "ScheduleFailed")
"""Statuses that a group does not leave any more, other than by its removal."""


def status_of(word: str) -> Status:
    """Map ECI's word for a status."""
    return STATUSES.get(word, Status.FAILED)


def info_of_request(
    request: CreateRequest, wire: Mapping[str, Any], group_id: str, *, status: Status, created_at: float
) -> SandboxInfo:
    """Describe a group that was just made from this request, which became ``wire``."""
    spec = request.spec
    cpu, memory = size_of(wire)
    return SandboxInfo(
        id=group_id,
        provider=PROVIDER,
        status=status,
        owner=request.owner,
        image=spec.image,
        labels=spec.labels,
        created_at=created_at,
        expires_at=request.expires_at,
        cpu=cpu,
        memory_gib=memory,
    )


def info_of_group(group: Mapping[str, Any]) -> SandboxInfo:
    """Describe a group of DescribeContainerGroups; cpu and memory are what ECI rounded to and bills."""
    tags = marks.of_group(group)
    container = container_of(group)
    return SandboxInfo(
        id=str(group.get("ContainerGroupId")),
        provider=PROVIDER,
        status=status_of(str(group.get("Status"))),
        owner=tags.get(books.OWNER, ""),
        image=container.get("Image"),
        labels=marks.user_labels(tags),
        created_at=timestamp(group.get("CreationTime")),
        expires_at=_number(tags.get(books.EXPIRES_AT)),
        cpu=_number(group.get("Cpu")),
        memory_gib=_number(group.get("Memory")),
        details=_details(group, container),
    )


def _details(group: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    state: Mapping[str, Any] = container.get("CurrentState") or {}
    told = {
        "status": group.get("Status"),
        "name": group.get("ContainerGroupName"),
        "container": container.get("Name"),
        "zone": group.get("ZoneId"),
        "instance_type": group.get("InstanceType"),
        "private_ip": group.get("IntranetIp"),
        "public_ip": group.get("InternetIp"),
    }
    if status_of(str(group.get("Status"))) in (Status.STOPPED, Status.FAILED):
        told |= {"exit_code": state.get("ExitCode"), "reason": state.get("Reason") or why(group) or None}
    return {name: str(value) for name, value in told.items() if value not in (None, "")}


def container_of(group: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the sandbox's own container of a group, which may have others beside it."""
    containers: Sequence[Mapping[str, Any]] = group.get("Containers") or ()
    name = container_name(group)
    return next((one for one in containers if one.get("Name") == name), containers[0] if containers else {})


def container_name(group: Mapping[str, Any]) -> str:
    """Give the name of the sandbox's own container."""
    return marks.of_group(group).get(marks.CONTAINER, DEFAULT_CONTAINER)


def started(group: Mapping[str, Any]) -> tuple[str, int]:
    """Give what changes when the container starts anew: when it started, and how often before."""
    container = container_of(group)
    state: Mapping[str, Any] = container.get("CurrentState") or {}
    return str(state.get("StartTime") or ""), int(container.get("RestartCount") or 0)


def why(group: Mapping[str, Any]) -> str:
    """Give in a few words what the group's last warning or the container's state says."""
    container = container_of(group)
    state: Mapping[str, Any] = container.get("CurrentState") or {}
    events: Sequence[Mapping[str, Any]] = group.get("Events") or ()
    warnings = [event for event in events if str(event.get("Type")) == "Warning"]
    parts = [f"{state.get('Reason') or ''} {state.get('Message') or ''}".strip()]
    if warnings:
        last = warnings[-1]
        parts.insert(0, f"{last.get('Reason') or ''}: {last.get('Message') or ''}".strip(": "))
    return "; ".join(part for part in parts if part)[:400]


def timestamp(text: str | None) -> float | None:
    """Read an RFC 3339 time in UTC; what does not apply comes as an empty text."""
    if not text:
        return None
    try:
        return float(calendar.timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))
    except ValueError:
        return None


def _number(value: Any) -> float | None:
    try:
        return None if value in (None, "") else float(value)
    except (TypeError, ValueError):
        return None  # a tag that someone else wrote
