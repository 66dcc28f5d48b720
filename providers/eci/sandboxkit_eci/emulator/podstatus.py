"""Groups in the words of DescribeContainerGroupStatus and DescribeContainerGroupEvents, which are Kubernetes'."""

from __future__ import annotations

from typing import Any

from sandboxkit_eci.emulator import describe
from sandboxkit_eci.emulator.clock import timestamp
from sandboxkit_eci.emulator.containers import Container, State
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.quirks import Quirks

NAMESPACE = "default"

PHASES = {"Succeeded": "Succeeded", "Failed": "Failed", "Expired": "Failed", "ScheduleFailed": "Failed"}
"""Phases of the statuses in which a group has ended; before, its containers say."""


def group(it: Group, quirks: Quirks) -> dict[str, Any]:
    """Describe a group's status."""
    running = it.status in ("Running", "Restarting", "Updating", "Terminating")
    phase = PHASES.get(it.status, "Running" if running else "Pending")
    ready = it.status == "Running" and all(each.ready for each in it.containers)
    scheduled = it.status not in ("Scheduling", "ScheduleFailed")
    conditions = {"PodScheduled": scheduled, "Initialized": running, "ContainersReady": ready, "Ready": ready}
    return {
        **_identity(it),
        "Status": it.status,
        "PodStatus": {
            "Phase": phase,
            "Conditions": [
                {
                    "type": name,
                    "status": str(value),
                    "lastTransitionTime": timestamp(it.created),
                    "Reason": "",
                    "Message": "",
                }
                for name, value in conditions.items()
            ],
            "ContainerStatuses": [_container(each, quirks) for each in it.containers],
            "HostIp": it.intranet_ip,
            "PodIp": it.intranet_ip,
            "PodIps": [{"Ip": it.intranet_ip}] if it.intranet_ip else [],
            "QosClass": "Guaranteed",
            "StartTime": timestamp(it.created),
        },
    }


def events(it: Group, since: float | None = None) -> dict[str, Any]:
    """Give a group's events, those after ``since``."""
    involved = {"ApiVersion": "v1", "Kind": "Pod", "Name": it.name, "Namespace": NAMESPACE, "Uid": it.id}
    listed = []
    for each in it.events:
        if since is not None and each.last < since:
            continue
        described = describe.event(each)
        described["Metadata"] = {"Name": described.pop("Name"), "Namespace": NAMESPACE}
        described |= {"involvedObject": involved, "Source": {"Component": "EciService", "Host": ""}}
        described |= {"ReportingComponent": "", "ReportingInstance": ""}
        listed.append(described)
    return {**_identity(it), "Events": listed}


def _identity(it: Group) -> dict[str, Any]:
    return {
        "ContainerGroupId": it.id,
        "Name": it.name,
        "Namespace": NAMESPACE,
        "uuid": it.id,
        "Annotations": "{}",
    }


def _container(it: Container, quirks: Quirks) -> dict[str, Any]:
    running = it.state.kind == "Running"
    return {
        "Name": it.name,
        "Image": it.given["Image"],
        "ImageID": "",
        "Ready": it.ready,
        "Started": running,
        "RestartCount": it.restarts,
        "State": _state(it.state, quirks),
        "LastState": {} if it.previous is None else _state(it.previous, quirks),
    }


def _state(it: State, quirks: Quirks) -> dict[str, Any]:
    if it.kind == "Running":
        return {"Running": {quirks.started_at_key: timestamp(it.started)}}
    if it.kind == "Waiting":
        return {"Waiting": {"Reason": it.reason, "Message": it.message}}
    return {
        "Terminated": {
            "ContainerID": "",
            "ExitCode": it.exit_code,
            "Reason": it.reason,
            "Message": it.message,
            **describe.times(quirks, StartedAt=it.started, FinishedAt=it.finished),
        }
    }
