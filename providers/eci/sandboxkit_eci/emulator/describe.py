"""Groups in the words of DescribeContainerGroups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sandboxkit_eci.emulator.clock import timestamp
from sandboxkit_eci.emulator.containers import Container, State
from sandboxkit_eci.emulator.events import Event
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.quirks import Quirks

VPC = "vpc-emulated"


def group(it: Group, quirks: Quirks, *, events: bool = False) -> dict[str, Any]:
    """Describe a group."""
    given = it.given
    return {
        "ContainerGroupId": it.id,
        "ContainerGroupName": it.name,
        "RegionId": it.region,
        "ZoneId": it.zone,
        "Status": it.status,
        "RestartPolicy": it.restart_policy,
        "Cpu": it.size[0],
        "Memory": it.size[1],
        "Containers": [container(each, quirks) for each in it.containers],
        "InitContainers": [container(each, quirks, init=True) for each in it.init_containers],
        "Volumes": [_volume(each) for each in given.get("Volume", ())],
        "Tags": [{"Key": key, "Value": value} for key, value in it.tags.items()],
        "Events": [event(each) for each in it.events] if events else [],
        "VpcId": VPC,
        "VSwitchId": given.get("VSwitchId", "vsw-emulated").split(",")[0],
        "SecurityGroupId": given.get("SecurityGroupId", "sg-emulated"),
        "EniInstanceId": f"eni-{it.id[4:]}",
        "IntranetIp": it.intranet_ip,
        "InternetIp": it.internet_ip,
        "InstanceType": it.instance_type,
        "ComputeCategory": next(iter(given.get("ComputeCategory", ())), "general"),
        "SpotStrategy": given.get("SpotStrategy", "NoSpot"),
        "SpotPriceLimit": given.get("SpotPriceLimit", 0.0),
        "EphemeralStorage": given.get("EphemeralStorage", 0),
        "ResourceGroupId": given.get("ResourceGroupId", "rg-emulated"),
        "RamRoleName": given.get("RamRoleName", ""),
        "Discount": 0,
        "DnsConfig": _dns(given.get("DnsConfig", {})),
        "EciSecurityContext": {"Sysctls": given.get("SecurityContext", {}).get("Sysctl", [])},
        "HostAliases": [
            {"Hostnames": e.get("Hostname", []), "Ip": e.get("Ip", "")} for e in given.get("HostAliase", ())
        ],
        "CreationTime": timestamp(it.created),
        **times(quirks, SucceededTime=it.succeeded, FailedTime=it.failed, ExpiredTime=it.expired),
    }


def container(it: Container, quirks: Quirks, *, init: bool = False) -> dict[str, Any]:
    """Describe a container, one that runs first if ``init``."""
    given = it.given
    hidden = given.get("EnvironmentVarHide", False)
    described = {
        "Name": it.name,
        "Image": given["Image"],
        "ImagePullPolicy": given.get("ImagePullPolicy", "IfNotPresent"),
        "Command" if init else "Commands": given.get("Command", []),
        "Args": given.get("Arg", []),
        "Cpu": given.get("Cpu", 0.0),
        "Memory": given.get("Memory", 0.0),
        "Gpu": given.get("Gpu", 0),
        "WorkingDir": given.get("WorkingDir", ""),
        "EnvironmentVars": [] if hidden else [_variable(each) for each in given.get("EnvironmentVar", ())],
        "Ports": given.get("Port", []),
        "VolumeMounts": given.get("VolumeMount", []),
        "SecurityContext": _security(given.get("SecurityContext", {})),
        "Ready": it.ready or (init and it.state.exit_code == 0),
        "RestartCount": it.restarts,
        "CurrentState": state(it.state, quirks),
    }
    if it.previous is not None:
        described["PreviousState"] = state(it.previous, quirks)
    if not init:
        described |= {"Tty": given.get("Tty", False), "Stdin": given.get("Stdin", False)}
        described["StdinOnce"] = given.get("StdinOnce", False)
        for name in ("LivenessProbe", "ReadinessProbe"):
            if name in given:
                probe = dict(given[name])
                described[name] = {**probe, "Execs": probe.pop("Exec", {}).get("Command", [])}
    return described


def state(it: State, quirks: Quirks) -> dict[str, Any]:
    """Describe a container's state."""
    described: dict[str, Any] = {"State": it.kind, "Reason": it.reason, "Message": it.message}
    described["DetailStatus"] = it.reason or it.kind
    described |= times(quirks, StartTime=it.started, FinishTime=it.finished)
    if it.exit_code is not None:
        described["ExitCode"] = it.exit_code
    return described


def event(it: Event) -> dict[str, Any]:
    """Describe an event."""
    return {
        "Name": it.name,
        "Reason": it.reason,
        "Message": it.message,
        "Type": it.type,
        "Count": it.count,
        "FirstTimestamp": timestamp(it.first),
        "LastTimestamp": timestamp(it.last),
    }


def times(quirks: Quirks, **moments: float | None) -> dict[str, str]:
    """Write moments under their names; those that do not apply are empty strings, or not there."""
    absent = quirks.not_applicable_times == "absent"
    return {name: timestamp(each) for name, each in moments.items() if each is not None or not absent}


def _variable(given: Mapping[str, Any]) -> dict[str, Any]:
    described = {"Key": given.get("Key", ""), "Value": given.get("Value", "")}
    return {**described, "ValueFrom": {"FieldRef": given["FieldRef"]}} if "FieldRef" in given else described


def _security(given: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in given.items() if name != "Capability"}
    return {**rest, "Capability": {"Adds": given.get("Capability", {}).get("Add", [])}}


def _dns(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {"NameServers": "NameServer", "Options": "Option", "Searches": "Search"}
    return {name: given.get(asked, []) for name, asked in names.items()}


def _volume(given: Mapping[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"Name": given.get("Name", ""), "Type": given.get("Type", "")}
    for kind in ("DiskVolume", "EmptyDirVolume", "FlexVolume", "NFSVolume"):
        described |= {kind + name: value for name, value in given.get(kind, {}).items()}
    files = given.get("ConfigFileVolume", {}).get("ConfigFileToPath", [])
    if files:
        described["ConfigFileVolumeConfigFileToPaths"] = files
    return described
