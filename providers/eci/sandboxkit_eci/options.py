"""What a user can say about one sandbox that only ECI has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import attrs

from sandboxkit.errors import InvalidSpec
from sandboxkit.kinds import check_kinds, mapping, words

DEFAULT_CONTAINER = "main"
"""The container's name unless told otherwise."""


@attrs.frozen(kw_only=True)
class RegistryCredential:
    """Credentials of one registry, for pulling the image; never shown."""

    server: str
    user_name: str
    password: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class AcrRegistry:
    """An instance of Alibaba's registry (ACR) from which images are pulled without a password."""

    instance_id: str
    region_id: str | None = None
    instance_name: str | None = None
    domains: tuple[str, ...] = attrs.field(default=(), converter=words)
    arn_service: str | None = None
    arn_user: str | None = None


@attrs.frozen(kw_only=True)
class EmptyDir:
    """A directory that begins empty; ``memory=True`` keeps it in memory, ``size`` is like ``"256Mi"``."""

    mount_path: str
    memory: bool = False
    size: str | None = None


@attrs.frozen(kw_only=True)
class ConfigFiles:
    """Files that are there from the start, by their paths below ``mount_path``; read-only, at most 60 KB together."""

    mount_path: str
    files: Mapping[str, bytes | str] = attrs.field(converter=mapping, repr=False)
    mode: int | None = None


@attrs.frozen(kw_only=True)
class NfsVolume:
    """A directory of an NFS server, NAS included."""

    mount_path: str
    server: str
    path: str = "/"
    read_only: bool = False


Mount = EmptyDir | ConfigFiles | NfsVolume


@attrs.frozen(kw_only=True)
class EciOptions:
    """What only ECI has, for ``SandboxSpec.options``; everything may be left out.

    ``container_name`` is the container's within its group, ``name`` the group's (made from the key otherwise).
    ``args`` follow ``command``. ``v_switch_ids`` are tried in their order, or by ``schedule_strategy``
    (``"VSwitchRandom"``); without them, and without ``security_group_id``, the account's default VPC is used.
    ``instance_types`` are tried in order and decide cpu and memory; ``compute_category`` is ``"economy"`` or
    ``"general"``. ``restart_policy`` is ``Never``, so that a sandbox that has ended stays so.

    ``fallback_zones`` and ``fallback_instance_types``: tried one after the other when there is no stock.
    ``spot`` is ``"SpotAsPriceGo"`` or ``"SpotWithPriceLimit"`` (with ``spot_price_limit`` an hour);
    ``spot_duration`` is hours of protection, 0 for none.

    ``create_eip`` gives it a public address (``eip_bandwidth`` in Mbit/s), ``eip_id`` an existing one.
    ``image_cache`` uses a matching image cache, ``image_snapshot_id`` that very one. ``pull_policy`` is
    ``IfNotPresent``, ``Always`` or ``Never``. ``ephemeral_storage_gib`` is beyond the 30 GiB that are free.
    ``gpu`` needs an instance type that has them.

    ``run_as_user``, ``run_as_group``, ``read_only_root`` and ``capabilities`` (``NET_ADMIN``) are the container's
    security context. ``termination_grace`` is the seconds between SIGTERM and SIGKILL where a container is ended
    without force, as by another client's delete: sandboxkit's own deletes are forced and give none.
    ``hide_env`` keeps environment values out of what the API tells of a group. ``dns`` maps ``NameServer``,
    ``Search`` and ``Option`` as in the API.

    ``extra`` passes on any other field of CreateContainerGroup by the API's own names and shapes, like
    ``{"CorePattern": "/tmp/core", "Container": {"Tty": True}}``; what is said of ``Container`` is
    added to the sandbox's own: lists and mappings grow, and its ``Command`` and ``Arg`` are refused.
    """

    container_name: str = DEFAULT_CONTAINER
    name: str | None = None
    args: tuple[str, ...] = attrs.field(default=(), converter=words, repr=False)
    v_switch_ids: tuple[str, ...] = attrs.field(default=(), converter=words)
    schedule_strategy: Literal["VSwitchOrdered", "VSwitchRandom"] | None = None
    security_group_id: str | None = None
    zone_id: str | None = None
    instance_types: tuple[str, ...] = attrs.field(default=(), converter=words)
    compute_category: tuple[str, ...] = attrs.field(default=(), converter=words)
    cpu_architecture: Literal["AMD64", "ARM64"] | None = None
    restart_policy: Literal["Never", "OnFailure", "Always"] = "Never"
    fallback_zones: tuple[str, ...] = attrs.field(default=(), converter=words)
    fallback_instance_types: tuple[str, ...] = attrs.field(default=(), converter=words)
    spot: Literal["NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit"] | None = None
    spot_price_limit: float | None = None
    spot_duration: int | None = None
    create_eip: bool = False
    eip_bandwidth: int | None = None
    eip_id: str | None = None
    registry_credentials: tuple[RegistryCredential, ...] = attrs.field(default=(), converter=words)
    acr_registries: tuple[AcrRegistry, ...] = attrs.field(default=(), converter=words)
    image_cache: bool | None = None
    image_snapshot_id: str | None = None
    pull_policy: Literal["IfNotPresent", "Always", "Never"] | None = None
    ephemeral_storage_gib: int | None = None
    gpu: int | None = None
    empty_dirs: tuple[EmptyDir, ...] = attrs.field(default=(), converter=words)
    config_files: tuple[ConfigFiles, ...] = attrs.field(default=(), converter=words, repr=False)
    nfs_volumes: tuple[NfsVolume, ...] = attrs.field(default=(), converter=words)
    dns: Mapping[str, Any] = attrs.field(factory=dict, converter=mapping)
    run_as_user: int | None = None
    run_as_group: int | None = None
    read_only_root: bool = False
    capabilities: tuple[str, ...] = attrs.field(default=(), converter=words)
    ram_role: str | None = None
    resource_group_id: str | None = None
    termination_grace: int = 2
    hide_env: bool = True
    extra: Mapping[str, Any] = attrs.field(factory=dict, converter=mapping, repr=False)


_CHOICES: Mapping[str, tuple[str | None, ...]] = {
    "schedule_strategy": (None, "VSwitchOrdered", "VSwitchRandom"),
    "cpu_architecture": (None, "AMD64", "ARM64"),
    "restart_policy": ("Never", "OnFailure", "Always"),
    "spot": (None, "NoSpot", "SpotAsPriceGo", "SpotWithPriceLimit"),
    "pull_policy": (None, "IfNotPresent", "Always", "Never"),
}
_WHOLE = ("eip_bandwidth", "spot_duration", "ephemeral_storage_gib", "gpu", "run_as_user", "run_as_group")
_TEXTS = ("security_group_id", "zone_id", "eip_id", "image_snapshot_id", "ram_role", "resource_group_id")
_FLAGS = ("create_eip", "read_only_root", "hide_env")
_LISTS: Mapping[str, type] = {
    "args": str,
    "v_switch_ids": str,
    "instance_types": str,
    "compute_category": str,
    "fallback_zones": str,
    "fallback_instance_types": str,
    "capabilities": str,
    "registry_credentials": RegistryCredential,
    "acr_registries": AcrRegistry,
    "empty_dirs": EmptyDir,
    "config_files": ConfigFiles,
    "nfs_volumes": NfsVolume,
}
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,126}[a-z0-9])?\Z")


def eci_options(options: Any) -> EciOptions:
    """Check ``SandboxSpec.options``; ``InvalidSpec`` names the one that is wrong."""
    if options is None:
        return EciOptions()
    if not isinstance(options, EciOptions):
        raise InvalidSpec(f"options for eci are an EciOptions, not a {type(options).__name__}")
    check_kinds(options, texts=_TEXTS, flags=_FLAGS, lists=_LISTS, mappings={"dns": object, "extra": object})
    for registry in options.acr_registries:
        check_kinds(registry, lists={"domains": str})
    for files in options.config_files:
        check_kinds(files, mappings={"files": object})
    for name, allowed in _CHOICES.items():
        if getattr(options, name) not in allowed:
            choice = ", ".join(repr(word) for word in allowed if word is not None)
            raise InvalidSpec(f"{name} is one of {choice}, not {getattr(options, name)!r}")
    for name in (*_WHOLE, "termination_grace"):
        value = getattr(options, name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise InvalidSpec(f"{name} is a whole number, not {value!r}")
    for name in ("container_name", "name"):
        value = getattr(options, name)
        if value is not None and (not isinstance(value, str) or not _NAME.match(value)):
            raise InvalidSpec(f"{name} is lower-case letters, digits and dashes, not {value!r}")
    if options.name is not None and len(options.name) < 2:
        raise InvalidSpec("name has at least two characters")
    _check_combinations(options)
    return options


def _check_combinations(options: EciOptions) -> None:
    if (options.spot == "SpotWithPriceLimit") != (options.spot_price_limit is not None):
        raise InvalidSpec("spot_price_limit belongs to spot='SpotWithPriceLimit'")
    if options.create_eip and options.eip_id is not None:
        raise InvalidSpec("create_eip and eip_id: give one of them")
    if len(options.v_switch_ids) > 10:
        raise InvalidSpec(f"at most 10 v_switch_ids can be given, not {len(options.v_switch_ids)}")
    mounts: tuple[Mount, ...] = (*options.empty_dirs, *options.config_files, *options.nfs_volumes)
    for mount in mounts:
        if not isinstance(mount, EmptyDir | ConfigFiles | NfsVolume):
            raise InvalidSpec(f"a {type(mount).__name__} is no volume that eci knows")
        if not mount.mount_path.startswith("/"):
            raise InvalidSpec(f"mount_path is an absolute path in the sandbox, not {mount.mount_path!r}")
