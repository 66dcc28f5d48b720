"""What a specification becomes in CreateContainerGroup, by the API's own names; pure."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from sandboxkit.bookkeeping import digest
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest, SandboxSpec
from sandboxkit.texts import is_utf8
from sandboxkit_eci import extras, keepalive
from sandboxkit_eci.options import ConfigFiles, EciOptions, Mount, NfsVolume
from sandboxkit_eci.sizes import sized
from sandboxkit_eci.tags import tags_of

LONGEST_NAME = 128
LONGEST_VALUE = 256
"""Characters of an environment variable's name and value, as documented."""

MOST_COMMAND = 20
MOST_ARGS = 10

Wire = dict[str, Any]


def create_request(
    request: CreateRequest, options: EciOptions, *, attempt: str, token: str, now: float, fallback: Mapping[str, Any]
) -> Wire:
    """Give all of CreateContainerGroup but the region; raises ``InvalidSpec`` for what cannot be right.

    ``now`` is in seconds since the epoch. ``fallback`` overrules fields where an earlier attempt found no stock.
    """
    spec = request.spec
    check(spec, options)
    tags = tags_of(request, attempt, options.container_name)
    wire: Wire = {
        "ContainerGroupName": options.name or f"sandboxkit-{digest(request.owner, request.key)[:20]}",
        "ClientToken": token,
        "RestartPolicy": options.restart_policy,
        "ActiveDeadlineSeconds": max(1, math.ceil(request.expires_at - now)),
        "TerminationGracePeriodSeconds": options.termination_grace,
        "Tag": [{"Key": key, "Value": value} for key, value in tags.items()],
        "Container": [_container(request, options)],
        **_placement(options),
        **_size(spec, options),
        **_network(options),
        **_image(options),
        **_volumes(options),
    }
    wire.update(fallback)
    made = extras.merged(wire, options.extra)
    for name, text in flat(made).items():
        if not (is_utf8(name) and is_utf8(text)):
            raise InvalidSpec(f"{name!r} of CreateContainerGroup is not UTF-8 text")
    return made


def secrets_of(spec: SandboxSpec, options: EciOptions) -> tuple[str, ...]:
    """Give what must not be repeated, should the service quote it."""
    files = [data for mount in options.config_files for data in mount.files.values()]
    return (
        *spec.env.values(),
        *(credential.password for credential in options.registry_credentials),
        *(_bytes(data).decode(errors="replace") for data in files),
        *(_base64(data) for data in files),
        *extras.strings(options.extra),
    )


def check(spec: SandboxSpec, options: EciOptions) -> None:
    """Refuse what the service would refuse late, or would take to mean something else."""
    if not spec.image:
        raise InvalidSpec("eci needs an image: create(image='...') or connect(..., image='...')")
    if not re.fullmatch(r"[\w.:/@-]+", spec.image, re.ASCII) or spec.image.startswith("-"):
        raise InvalidSpec(f"{spec.image!r} is not the name of an image")
    if spec.cwd is not None and not spec.cwd.startswith("/"):
        raise InvalidSpec(f"cwd must be an absolute path, not {spec.cwd!r}")
    for name, value in spec.env.items():
        if len(name) > LONGEST_NAME or len(value) > LONGEST_VALUE:
            raise InvalidSpec(
                f"env {name[:LONGEST_NAME]!r}: ECI takes names up to {LONGEST_NAME} and values up to {LONGEST_VALUE} "
                "characters for a whole sandbox; a command's own env may be longer"
            )
    if spec.command and spec.command[0].startswith("-"):
        raise InvalidSpec(f"a command's program cannot begin with a dash: {spec.command[0]!r}")
    if options.args and not spec.command:
        raise InvalidSpec("args need a command")
    texts = (*(spec.command or ()), *options.args, *spec.env.values(), *spec.labels, *spec.labels.values())
    if any("\0" in text for text in (*texts, spec.user or "", spec.cwd or "")):
        raise InvalidSpec("command, args, env, labels, user and cwd cannot hold a NUL byte")
    _check_encoding(spec, options)
    extras.check(options.extra)


def _check_encoding(spec: SandboxSpec, options: EciOptions) -> None:
    files = [text for mount in options.config_files for pair in mount.files.items() for text in pair]
    fields: Mapping[str, Sequence[bytes | str]] = {
        "command": spec.command or (),
        "args": options.args,
        "env": (*spec.env, *spec.env.values()),
        "user": (spec.user or "",),
        "cwd": (spec.cwd or "",),
        "config_files": files,
    }
    for name, texts in fields.items():
        if not all(is_utf8(text) for text in texts if isinstance(text, str)):
            raise InvalidSpec(f"{name} is not UTF-8 text, and ECI takes no other")


def _container(request: CreateRequest, options: EciOptions) -> Wire:
    spec = request.spec
    words = keepalive.argv(request.expires_at, (*(spec.command or ()), *options.args))
    if len(words) > MOST_COMMAND + MOST_ARGS:
        room = MOST_COMMAND + MOST_ARGS - len(keepalive.argv(request.expires_at, ()))
        raise InvalidSpec(f"ECI has room for a command of {room} words; put it into a script")
    container: Wire = {
        "Name": options.container_name,
        "Image": spec.image,
        "Command": list(words[:MOST_COMMAND]),
        "EnvironmentVar": [{"Key": name, "Value": value} for name, value in spec.env.items()],
        "EnvironmentVarHide": (options.hide_env and bool(spec.env)) or None,
        "Arg": list(words[MOST_COMMAND:]) or None,
        "WorkingDir": spec.cwd,
        "ImagePullPolicy": options.pull_policy,
        "Gpu": options.gpu,
        "VolumeMount": [
            {"Name": name, "MountPath": mount.mount_path, "ReadOnly": _read_only(mount)}
            for name, mount in _mounts(options)
        ],
        **_security(spec, options),
    }
    return {name: value for name, value in container.items() if value is not None}


def _security(spec: SandboxSpec, options: EciOptions) -> Wire:
    user, group = options.run_as_user, options.run_as_group
    if spec.user is not None:
        found = re.fullmatch(r"(\d{1,10})(?::(\d{1,10}))?", spec.user, re.ASCII)
        if found is None:
            raise InvalidSpec(f"ECI knows users by number only, like user='1000' or '1000:1000', not {spec.user!r}")
        user, group = int(found[1]), int(found[2]) if found[2] else group
    context: Wire = {
        "RunAsUser": user,
        "ReadOnlyRootFilesystem": options.read_only_root or None,
        "Capability": {"Add": list(options.capabilities)} if options.capabilities else None,
    }
    context = {name: value for name, value in context.items() if value is not None}
    return {"SecurityContext": context or None, "SecurityContextRunAsGroup": group}


def _placement(options: EciOptions) -> Wire:
    return _given(
        VSwitchId=",".join(options.v_switch_ids) or None,
        ScheduleStrategy=options.schedule_strategy,
        SecurityGroupId=options.security_group_id,
        ZoneId=options.zone_id,
        InstanceType=",".join(options.instance_types) or None,
        ComputeCategory=list(options.compute_category) or None,
        CpuArchitecture=options.cpu_architecture,
        SpotStrategy=options.spot,
        SpotPriceLimit=options.spot_price_limit,
        SpotDuration=options.spot_duration,
        RamRoleName=options.ram_role,
        ResourceGroupId=options.resource_group_id,
        EphemeralStorage=options.ephemeral_storage_gib,
    )


def _size(spec: SandboxSpec, options: EciOptions) -> Wire:
    found = sized(spec.cpu, spec.memory_gib)
    if found is not None and not options.instance_types:
        return {"Cpu": found[0], "Memory": found[1]}
    return _given(Cpu=spec.cpu, Memory=spec.memory_gib)


def _network(options: EciOptions) -> Wire:
    return _given(
        AutoCreateEip=options.create_eip or None,
        EipBandwidth=options.eip_bandwidth,
        EipInstanceId=options.eip_id,
        DnsConfig=options.dns or None,
    )


def _image(options: EciOptions) -> Wire:
    return _given(
        AutoMatchImageCache=options.image_cache,
        ImageSnapshotId=options.image_snapshot_id,
        ImageRegistryCredential=[
            {"Server": one.server, "UserName": one.user_name, "Password": one.password}
            for one in options.registry_credentials
        ]
        or None,
        AcrRegistryInfo=[
            _given(
                InstanceId=one.instance_id,
                RegionId=one.region_id,
                InstanceName=one.instance_name,
                Domain=list(one.domains) or None,
                ArnService=one.arn_service,
                ArnUser=one.arn_user,
            )
            for one in options.acr_registries
        ]
        or None,
    )


def _mounts(options: EciOptions) -> list[tuple[str, Mount]]:
    mounts: tuple[Mount, ...] = (*options.empty_dirs, *options.config_files, *options.nfs_volumes)
    return [(f"volume-{number}", mount) for number, mount in enumerate(mounts, 1)]


def _read_only(mount: Mount) -> bool:
    return isinstance(mount, ConfigFiles) or (isinstance(mount, NfsVolume) and mount.read_only)


def _volumes(options: EciOptions) -> Wire:
    return _given(Volume=[_volume(name, mount) for name, mount in _mounts(options)] or None)


def _volume(name: str, mount: Mount) -> Wire:
    if isinstance(mount, ConfigFiles):
        return {
            "Name": name,
            "Type": "ConfigFileVolume",
            "ConfigFileVolume": _given(
                ConfigFileToPath=[{"Path": path, "Content": _base64(data)} for path, data in mount.files.items()],
                # The API reads the digits of a mode as octal.
                DefaultMode=None if mount.mode is None else int(f"{mount.mode:o}"),
            ),
        }
    if isinstance(mount, NfsVolume):
        volume = {"Server": mount.server, "Path": mount.path, "ReadOnly": mount.read_only}
        return {"Name": name, "Type": "NFSVolume", "NFSVolume": volume}
    empty = _given(Medium="Memory" if mount.memory else None, SizeLimit=mount.size)
    return _given(Name=name, Type="EmptyDirVolume", EmptyDirVolume=empty or None)


def _bytes(data: bytes | str) -> bytes:
    return data.encode() if isinstance(data, str) else bytes(data)


def _base64(data: bytes | str) -> str:
    return base64.b64encode(_bytes(data)).decode()


def _given(**fields: Any) -> Wire:
    return {name: value for name, value in fields.items() if value is not None}


def flat(value: Any, name: str = "") -> dict[str, str]:
    """Flatten as the API has it in a query: ``Container.1.EnvironmentVar.2.Key``; ``None`` is left out."""
    if isinstance(value, Mapping):
        found = [flat(inner, f"{name}.{key}" if name else str(key)) for key, inner in value.items()]
    elif isinstance(value, list | tuple):
        found = [flat(inner, f"{name}.{number}") for number, inner in enumerate(value, 1)]
    else:
        return {} if value is None else {name: str(value)}
    return {key: text for inner in found for key, text in inner.items()}
