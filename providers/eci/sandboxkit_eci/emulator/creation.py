"""What a create request must be like, beyond the types of its parameters. Pure functions over it."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sandboxkit_eci.emulator import health, instancetypes
from sandboxkit_eci.emulator.errors import ApiError, invalid, missing, too_much
from sandboxkit_eci.emulator.instancetypes import InstanceType
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.sizes import not_valid

_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])")
_CONTAINER_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED_TAG = re.compile(r"aliyun|acs:|https?://")
_MODE = re.compile(r"[0-7]{1,4}")

MOST_CONTAINERS = MOST_VOLUMES = MOST_TAGS = 20
MOST_CREDENTIALS = 11
RESERVED_PORTS = frozenset({111, 10250, 10255})
"""Ports that the service itself listens on, for exec, logs and metrics."""

FILE_LIMIT = 32 << 10
FILES_LIMIT = 60 << 10


def check(given: Mapping[str, Any], quirks: Quirks) -> None:
    """Raise what the service answers to a request that cannot be granted."""
    if not _NAME.fullmatch(given["ContainerGroupName"]):
        raise invalid("ContainerGroupName", "2 to 128 of a-z, 0-9 and -, and no - at either end")
    token = given.get("ClientToken", "")
    if len(token) > 64 or not token.isascii():
        raise invalid("ClientToken", "at most 64 ASCII characters")
    check_containers(given, quirks)
    check_tags(given.get("Tag", ()))
    _check_volumes(given.get("Volume", ()))
    _check_mounts(given)
    _check_numbers(given)
    kinds = instancetypes.listed(given.get("InstanceType", ""))
    _check_spot(given, kinds)
    _check_gpus(given, kinds, quirks)


def check_containers(given: Mapping[str, Any], quirks: Quirks) -> None:
    """Check a request's containers, those that run first included."""
    containers = [*given.get("Container", ()), *given.get("InitContainer", ())]
    if len(containers) > MOST_CONTAINERS:
        raise too_much(f"a group has at most {MOST_CONTAINERS} containers")
    names = [each["Name"] for each in containers]
    if len(set(names)) < len(names):
        raise ApiError(400, "InvalidParameter.DuplicatedName", "The names of the containers are not unique.")
    for each in containers:
        _check_container(each, quirks)


def check_tags(tags: Iterable[Mapping[str, str]]) -> None:
    """Check tags, of a create or of TagResources."""
    tags = list(tags)
    if len(tags) > MOST_TAGS:
        raise too_much(f"a resource has at most {MOST_TAGS} tags")
    for tag in tags:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not 0 < len(key) <= 64 or len(value) > 128 or _RESERVED_TAG.match(key):
            raise invalid("Tag", "1 to 64 characters for a key, 128 for a value, no key with a reserved prefix")


def _check_container(given: Mapping[str, Any], quirks: Quirks) -> None:
    name = given["Name"]
    if not _CONTAINER_NAME.fullmatch(name):
        raise invalid("Container.Name", "1 to 63 of a-z, 0-9 and -, and no - at either end")
    if not given.get("Image"):
        raise missing("Container.Image")
    for variable in given.get("EnvironmentVar", ()):
        key = variable.get("Key", "")
        if not _ENV_NAME.fullmatch(key) or len(key) > 128:
            raise invalid(
                "Container.EnvironmentVar.Key", "letters, digits and _, not beginning with a digit, up to 128"
            )
        if quirks.create_limits and len(variable.get("Value", "")) > 256:
            raise too_much("an environment variable's value has at most 256 characters")
    if quirks.create_limits:
        for part, most in (("Command", 20), ("Arg", 10)):
            words = given.get(part, ())
            if len(words) > most or any(len(word) > 256 for word in words):
                raise too_much(f"{part} has at most {most} elements of 256 characters")
    for port in given.get("Port", ()):
        if not 1 <= port.get("Port", 0) <= 65535 or port["Port"] in RESERVED_PORTS:
            raise invalid("Container.Port", "1 to 65535, but for 111, 10250 and 10255")
        if port.get("Protocol", "TCP") not in ("TCP", "UDP"):
            raise invalid("Container.Port.Protocol", "must be one of TCP, UDP")
    for add in given.get("SecurityContext", {}).get("Capability", {}).get("Add", ()):
        if add not in ("NET_ADMIN", "NET_RAW"):
            raise invalid("Container.SecurityContext.Capability.Add", "NET_ADMIN or NET_RAW")
    if any(given.get(part, 0) < 0 for part in ("Cpu", "Memory")):
        raise not_valid("a negative size")
    health.check(given)
    if given.get("Gpu", 0) < 0:
        raise invalid("Container.Gpu", "must be at least 0")


def _check_volumes(volumes: Iterable[Mapping[str, Any]]) -> None:
    volumes = list(volumes)
    names = [volume.get("Name", "") for volume in volumes]
    if len(volumes) > MOST_VOLUMES:
        raise too_much(f"a group has at most {MOST_VOLUMES} volumes")
    if len(set(names)) < len(names):
        raise ApiError(400, "InvalidParameter.DuplicatedVolumeName", "The names of the volumes are not unique.")
    total = 0
    for volume in volumes:
        told = volume.get("ConfigFileVolume", {})
        files = told.get("ConfigFileToPath", ())
        if any(
            not _MODE.fullmatch(str(mode))
            for mode in (told.get("DefaultMode", 0), *(f.get("Mode", 0) for f in files))
        ):
            raise invalid("Volume.ConfigFileVolume.Mode", "up to four octal digits, as 644")
        for file in files:
            try:
                size = len(base64.b64decode(file.get("Content", ""), validate=True))
            except (binascii.Error, ValueError):
                raise invalid("Volume.ConfigFileVolume.ConfigFileToPath.Content", "must be base64") from None
            total += size
            if size > FILE_LIMIT or total > FILES_LIMIT:
                raise too_much("a config file has at most 32 KB, all of them 60 KB")


def _check_mounts(given: Mapping[str, Any]) -> None:
    """Check that containers mount what there is."""
    there = {volume.get("Name") for volume in given.get("Volume", ())}
    for container in (*given.get("Container", ()), *given.get("InitContainer", ())):
        for mount in container.get("VolumeMount", ()):
            if mount.get("Name") not in there:
                raise invalid("Container.VolumeMount.Name", f"no volume is called {mount.get('Name')!r}")


def _check_numbers(given: Mapping[str, Any]) -> None:
    for name, least in (
        ("ActiveDeadlineSeconds", 1),
        ("EipBandwidth", 1),
        ("EphemeralStorage", 0),
        ("TerminationGracePeriodSeconds", 0),
        ("SpotDuration", 0),
        ("MaxPendingMinute", 1),
    ):
        if given.get(name, least) < least:
            raise invalid(name, f"must be at least {least}")
    if any(given.get(part, 0) < 0 for part in ("Cpu", "Memory")):
        raise not_valid("a negative size")
    if len(given.get("ImageRegistryCredential", ())) > MOST_CREDENTIALS:
        raise too_much(f"a group has at most {MOST_CREDENTIALS} registry credentials")
    if len(given.get("VSwitchId", "").split(",")) > 10:
        raise too_much("at most 10 vSwitches")


def _check_spot(given: Mapping[str, Any], kinds: Sequence[InstanceType]) -> None:
    if given.get("SpotStrategy", "NoSpot") == "NoSpot":
        return
    if any(kind.cpu < 2 for kind in kinds) or (not kinds and given.get("Cpu", 2.0) < 2):
        raise ApiError(400, "InvalidSpotCpuMemorySpec", "A spot instance has at least 2 vCPU.")
    if given["SpotStrategy"] == "SpotWithPriceLimit" and given.get("SpotPriceLimit", 0.0) <= 0:
        raise missing("SpotPriceLimit")


def _check_gpus(given: Mapping[str, Any], kinds: Sequence[InstanceType], quirks: Quirks) -> None:
    """Check that every type that may be taken has the GPUs that are wanted; without a type, there are none."""
    there = min((kind.gpus for kind in kinds), default=0)
    together = sum(each.get("Gpu", 0) for each in given["Container"])
    # Those that run first run one after the other.
    wanted = max(together, *(each.get("Gpu", 0) for each in given.get("InitContainer", ())), 0)
    if wanted > there:
        words = f"The containers want {wanted} GPUs, and the specified InstanceType has {there}."
        raise ApiError(400, quirks.gpu_code, words)
