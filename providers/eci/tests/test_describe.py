"""What the API says of a group, as sandboxkit says it."""

from __future__ import annotations

from typing import Any

import pytest
from sandboxkit_eci.describe import STATUSES, info_of_group, started, status_of, timestamp, why
from sandboxkit_eci.verdict import exit_code, failure, is_settled
from sandboxkit_eci.waiting import brief

import sandboxkit
from sandboxkit import Status

TAGS = {
    "sandboxkit.version": "1",
    "sandboxkit.owner": "me@here",
    "sandboxkit.key": "k",
    "sandboxkit.fingerprint": "f",
    "sandboxkit.attempt": "a",
    "sandboxkit.expires_at": "1600.250000",
    "mine": "yes",
    "acs:rm:rgId": "rg",
}


def group(status: str = "Running", state: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    container = {"Name": "main", "Image": "busybox:1", "CurrentState": state or {"State": "Running"}}
    return {
        "ContainerGroupId": "eci-1",
        "ContainerGroupName": "sandboxkit-x",
        "Status": status,
        "CreationTime": "1970-01-01T00:10:00Z",
        "Cpu": 2.0,
        "Memory": 4.0,
        "IntranetIp": "10.0.0.1",
        "InternetIp": "",
        "Tags": [{"Key": key, "Value": value} for key, value in TAGS.items()],
        "Containers": [{"Name": "beside", "Image": "other"}, container],
        **more,
    }


def warning(reason: str, message: str) -> dict[str, Any]:
    return {
        "Events": [{"Type": "Normal", "Reason": "Pulling"}, {"Type": "Warning", "Reason": reason, "Message": message}]
    }


def test_a_group_is_described() -> None:
    info = info_of_group(group())
    assert (info.id, info.provider, info.status, info.owner) == ("eci-1", "eci", Status.RUNNING, "me@here")
    assert (info.image, dict(info.labels)) == ("busybox:1", {"mine": "yes"})
    assert (info.created_at, info.expires_at, info.cpu, info.memory_gib) == (600.0, 1600.25, 2.0, 4.0)
    assert info.details["status"] == "Running"
    assert info.details["private_ip"] == "10.0.0.1"
    assert "public_ip" not in info.details


def test_every_status_is_one_of_ours() -> None:
    assert {status_of(word) for word in STATUSES} == set(Status) - {Status.PAUSED}
    assert status_of("Something new") is Status.FAILED


def test_one_that_has_ended_says_how() -> None:
    state = {"State": "Terminated", "ExitCode": 137, "Reason": "OOMKilled", "Message": ""}
    info = info_of_group(group("Failed", state))
    assert (info.status, info.details["exit_code"], info.details["reason"]) == (Status.STOPPED, "137", "OOMKilled")
    assert exit_code(group("Failed", state)) == 137
    assert exit_code(group()) is None


def test_what_is_missing_or_empty_is_borne() -> None:
    info = info_of_group({"ContainerGroupId": "eci-1", "Status": "Scheduling", "CreationTime": "", "Tags": None})
    assert (info.status, info.created_at, info.cpu, info.image) == (Status.CREATING, None, None, None)
    assert timestamp("") is None
    assert timestamp("not a time") is None
    assert started({}) == ("", 0)


def test_environment_values_are_in_no_description() -> None:
    told = group()
    told["Containers"][1]["EnvironmentVars"] = [{"Key": "A", "Value": "hunter2"}]
    assert "hunter2" not in repr(info_of_group(told))


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (group("Pending", **warning("Failed", 'Failed to pull image "x": not found')), sandboxkit.ImageNotFound),
        (group("Pending", {"State": "Waiting", "Reason": "ImagePullBackOff"}), sandboxkit.ImageNotFound),
        (group("Pending", {"State": "Waiting", "Reason": "ErrImagePull"}), sandboxkit.ImageNotFound),
        (group("ScheduleFailed", **warning("NoStock", "out of stock")), sandboxkit.NoCapacity),
        (group("Scheduling", **warning("NoStock", "out of stock")), sandboxkit.NoCapacity),
        (group("ScheduleFailed", **warning("QuotaExceeded", "vcpu quota is exceeded")), sandboxkit.QuotaExceeded),
        (group("ScheduleFailed", **warning("InsufficientBalance", "pay")), sandboxkit.QuotaExceeded),
        (group("ScheduleFailed"), sandboxkit.ProviderError),
        (group("Failed", {"State": "Terminated", "ExitCode": 1, "Reason": "Error"}), sandboxkit.ProviderError),
        (
            group("Failed", {"State": "Terminated", "Reason": "StartError", "Message": "/bin/sh: no such file"}),
            sandboxkit.InvalidSpec,
        ),
        (group("Pending", {"State": "Waiting", "Reason": "CreateContainerConfigError"}), sandboxkit.ProviderError),
    ],
)
def test_a_group_that_cannot_come_up_says_why(told: dict[str, Any], kind: type) -> None:
    error = failure(told)
    assert type(error) is kind
    assert is_settled(told)


@pytest.mark.parametrize("status", ["Scheduling", "Pending", "Restarting"])
def test_one_that_may_still_come_up_is_waited_for(status: str) -> None:
    told = group(status, {"State": "Waiting", "Reason": "ContainerCreating"})
    assert failure(told) is None
    assert not is_settled(told)


def test_the_newest_warning_is_the_reason() -> None:
    told = group("ScheduleFailed")
    told["Events"] = [
        {"Type": "Warning", "Reason": "First", "Message": "a"},
        {"Type": "Warning", "Reason": "Last", "Message": "b"},
    ]
    assert why(told) == "Last: b"
    assert info_of_group(told).details["reason"] == "Last: b"


def test_a_pods_status_reads_like_a_groups() -> None:
    pod = {
        "Phase": "Pending",
        "ContainerStatuses": [
            {"Name": "main", "State": {"Running": {}, "Waiting": {"Reason": "ImagePullBackOff", "Message": "x"}}}
        ],
    }
    assert brief({"ContainerGroupId": "eci-1", "Status": "Scheduling", "PodStatus": pod})["Status"] == "Scheduling"
    told = brief({"ContainerGroupId": "eci-1", "PodStatus": pod})
    assert told["Status"] == "Pending"
    assert isinstance(failure(told), sandboxkit.ImageNotFound)
    assert brief({"ContainerGroupId": "eci-1", "Status": "Running"})["Status"] == "Running"
