"""What the daemon's JSON says about a container, as a ``SandboxInfo``; pure."""

from __future__ import annotations

import calendar
import time
from collections.abc import Mapping
from typing import Any

from sandboxkit.bookkeeping import EXPIRES_AT, OWNER
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit_docker.labels import CPU, CREATED_AT, MEMORY, user_labels

PROVIDER = "docker"

STATES = {
    "created": Status.CREATING,
    "restarting": Status.CREATING,
    "running": Status.RUNNING,
    "paused": Status.PAUSED,
    "exited": Status.STOPPED,
    "removing": Status.DELETING,
    "dead": Status.FAILED,
}
"""The daemon's words for a container's state, and sandboxkit's."""


def info_of_request(
    request: CreateRequest, container_id: str, *, created_at: float, ports: Mapping[int, str]
) -> SandboxInfo:
    """Describe a container that was just created and started from this request."""
    spec = request.spec
    return SandboxInfo(
        id=container_id,
        provider=PROVIDER,
        status=Status.RUNNING,
        owner=request.owner,
        image=spec.image,
        labels=spec.labels,
        created_at=created_at,
        expires_at=request.expires_at,
        cpu=spec.cpu,
        memory_gib=spec.memory_gib,
        ports=_plain(ports),
    )


def info_of_inspect(inspect: Mapping[str, Any]) -> SandboxInfo:
    """Describe a container from ``GET /containers/ID/json``."""
    config, state = inspect["Config"], inspect["State"]
    labels = config.get("Labels") or {}
    details = {"name": str(inspect.get("Name", "")).lstrip("/"), "image_id": str(inspect.get("Image", ""))}
    status = status_of(state.get("Status", ""))
    if status in (Status.STOPPED, Status.FAILED):
        details["exit_code"] = str(state.get("ExitCode", ""))
        if state.get("OOMKilled"):
            details["reason"] = "out of memory"
    return _info(
        inspect["Id"],
        status,
        labels,
        image=config.get("Image"),
        created_at=_timestamp(inspect.get("Created")),
        ports=ports_of_inspect(inspect),
        details=details,
    )


def info_of_entry(entry: Mapping[str, Any]) -> SandboxInfo:
    """Describe a container from an entry of ``GET /containers/json``."""
    names = entry.get("Names") or [""]
    return _info(
        entry["Id"],
        status_of(entry.get("State", "")),
        entry.get("Labels") or {},
        image=entry.get("Image"),
        created_at=float(entry.get("Created") or 0.0) or None,
        ports={
            port["PrivatePort"]: f"{port['IP']}:{port['PublicPort']}"
            for port in entry.get("Ports") or ()
            if port.get("PublicPort") and port.get("Type") == "tcp" and port.get("IP")
        },
        details={"name": names[0].lstrip("/"), "image_id": str(entry.get("ImageID", ""))},
    )


def _info(
    container_id: str,
    status: Status,
    labels: Mapping[str, str],
    *,
    image: str | None,
    created_at: float | None,
    ports: Mapping[int, str],
    details: Mapping[str, str],
) -> SandboxInfo:
    return SandboxInfo(
        id=container_id,
        provider=PROVIDER,
        status=status,
        owner=labels.get(OWNER, ""),
        image=image,
        labels=user_labels(labels),
        created_at=_number(labels.get(CREATED_AT)) or created_at,
        expires_at=_number(labels.get(EXPIRES_AT)),
        cpu=_number(labels.get(CPU)),
        memory_gib=_number(labels.get(MEMORY)),
        ports=_plain(ports),
        details=details,
    )


def status_of(state: str) -> Status:
    """Map the daemon's word for a state."""
    return STATES.get(state, Status.FAILED)


def ports_of_inspect(inspect: Mapping[str, Any]) -> dict[int, str]:
    """Give where each published TCP port is reached, as ``host:port`` on the daemon's host."""
    published = (inspect.get("NetworkSettings") or {}).get("Ports") or {}
    found = {}
    for name, bindings in published.items():
        port, _, protocol = name.partition("/")
        if protocol == "tcp" and bindings:
            found[int(port)] = f"{bindings[0]['HostIp']}:{bindings[0]['HostPort']}"
    return found


def _plain(ports: Mapping[int, str]) -> Any:
    # mypy takes the model's converter, the type dict, for one of dict's overloads; it is untyped here for that.
    return dict(ports)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None  # a label that someone else wrote


def _timestamp(text: str | None) -> float | None:
    """Read the daemon's RFC 3339 time, whose nanoseconds Python's parser refuses."""
    if not text:
        return None
    whole, _, fraction = text.rstrip("Z").partition(".")
    seconds = calendar.timegm(time.strptime(whole, "%Y-%m-%dT%H:%M:%S"))
    return seconds + float(f"0.{fraction or 0}")
