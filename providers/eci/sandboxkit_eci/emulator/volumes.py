"""What a container finds mounted: directories that begin empty, and files. Pure functions over a create request.

Each container has its own. An NFS volume is an empty directory here, and nothing is mounted for reading only.
"""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Mapping
from typing import Any

import attrs

DIRECTORIES = frozenset({"EmptyDirVolume", "NFSVolume", "ConfigFileVolume"})

DEFAULT_MODE = 0o644


@attrs.frozen
class ConfigFile:
    """A file of a ConfigFileVolume, decoded."""

    content: bytes = attrs.field(repr=False)
    mode: int = DEFAULT_MODE


def directories(given: Mapping[str, Any], container: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the paths at which a container of a create request finds directories of volumes."""
    return tuple(
        mount["MountPath"]
        for mount, volume in _mounted(given, container)
        if volume.get("Type") in DIRECTORIES and not mount.get("SubPath")
    )


def files(given: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, ConfigFile]:
    """Give the config files that a container finds, by path; a mount's ``SubPath`` takes one file of its volume."""
    found = {}
    for mount, volume in _mounted(given, container):
        told = volume.get("ConfigFileVolume", {})
        for each in told.get("ConfigFileToPath", ()):
            digits = each.get("Mode") or told.get("DefaultMode")
            file = ConfigFile(base64.b64decode(each.get("Content", "")), mode_of(digits) if digits else DEFAULT_MODE)
            if not mount.get("SubPath"):
                found[posixpath.join(mount["MountPath"], each.get("Path", ""))] = file
            elif mount["SubPath"] == each.get("Path"):
                found[mount["MountPath"]] = file
    return found


def mode_of(digits: int) -> int:
    """Give the mode that a number means: the API reads its decimal digits as octal, so 644 is 0o644."""
    return int(str(digits), 8)


def _mounted(
    given: Mapping[str, Any], container: Mapping[str, Any]
) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    volumes = {each.get("Name"): each for each in given.get("Volume", ())}
    mounts = [each for each in container.get("VolumeMount", ()) if each.get("MountPath")]
    return [(mount, volumes[mount.get("Name")]) for mount in mounts if mount.get("Name") in volumes]
