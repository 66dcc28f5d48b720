"""Every option of a sandbox goes to the service under the service's own name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest
from sandboxkit_eci import AcrRegistry, ConfigFiles, EciOptions, EmptyDir, NfsVolume, RegistryCredential

from .test_request import sent, wire

VOLUME, MOUNT, CONTEXT = "Volume.1", "Container.1.VolumeMount.1", "Container.1.SecurityContext"
ACR = {"instance_id": "cri-1", "region_id": "cn-x1", "instance_name": "n", "domains": ["d"], "arn_service": "s"}

NAMES: Mapping[str, tuple[Any, dict[str, str | None]]] = {
    "container_name": ("box", {"Container.1.Name": "box"}),
    "name": ("my-group", {"ContainerGroupName": "my-group"}),
    "args": (["last"], {"Container.1.Command.10": "last"}),
    "v_switch_ids": (["vsw-1", "vsw-2"], {"VSwitchId": "vsw-1,vsw-2"}),
    "schedule_strategy": ("VSwitchRandom", {"ScheduleStrategy": "VSwitchRandom"}),
    "security_group_id": ("sg-1", {"SecurityGroupId": "sg-1"}),
    "zone_id": ("cn-x1-a", {"ZoneId": "cn-x1-a"}),
    "instance_types": (["ecs.a", "ecs.b"], {"InstanceType": "ecs.a,ecs.b"}),
    "compute_category": (["economy", "general"], {"ComputeCategory.1": "economy", "ComputeCategory.2": "general"}),
    "cpu_architecture": ("ARM64", {"CpuArchitecture": "ARM64"}),
    "restart_policy": ("OnFailure", {"RestartPolicy": "OnFailure"}),
    # These two are sent only where there was no stock, in place of what was said first.
    "fallback_zones": (["cn-x1-b"], {"ZoneId": None}),
    "fallback_instance_types": (["ecs.c"], {"InstanceType": None}),
    "spot": ("SpotAsPriceGo", {"SpotStrategy": "SpotAsPriceGo"}),
    "spot_price_limit": (0.5, {"SpotPriceLimit": "0.5"}),
    "spot_duration": (0, {"SpotDuration": "0"}),
    "create_eip": (True, {"AutoCreateEip": "True"}),
    "eip_bandwidth": (5, {"EipBandwidth": "5"}),
    "eip_id": ("eip-1", {"EipInstanceId": "eip-1"}),
    "registry_credentials": (
        [RegistryCredential(server="r.example", user_name="u", password="p4ss")],
        {
            "ImageRegistryCredential.1.Server": "r.example",
            "ImageRegistryCredential.1.UserName": "u",
            "ImageRegistryCredential.1.Password": "p4ss",
        },
    ),
    "acr_registries": (
        [AcrRegistry(**ACR, arn_user="a")],
        {
            "AcrRegistryInfo.1.InstanceId": "cri-1",
            "AcrRegistryInfo.1.RegionId": "cn-x1",
            "AcrRegistryInfo.1.InstanceName": "n",
            "AcrRegistryInfo.1.Domain.1": "d",
            "AcrRegistryInfo.1.ArnService": "s",
            "AcrRegistryInfo.1.ArnUser": "a",
        },
    ),
    "image_cache": (True, {"AutoMatchImageCache": "True"}),
    "image_snapshot_id": ("s-1", {"ImageSnapshotId": "s-1"}),
    "pull_policy": ("Never", {"Container.1.ImagePullPolicy": "Never"}),
    "ephemeral_storage_gib": (20, {"EphemeralStorage": "20"}),
    "gpu": (1, {"Container.1.Gpu": "1"}),
    "empty_dirs": (
        [EmptyDir(mount_path="/scratch", memory=True, size="256Mi")],
        {
            f"{VOLUME}.Type": "EmptyDirVolume",
            f"{VOLUME}.Name": "volume-1",
            f"{VOLUME}.EmptyDirVolume.Medium": "Memory",
            f"{VOLUME}.EmptyDirVolume.SizeLimit": "256Mi",
            f"{MOUNT}.Name": "volume-1",
            f"{MOUNT}.MountPath": "/scratch",
            f"{MOUNT}.ReadOnly": "False",
        },
    ),
    "config_files": (
        [ConfigFiles(mount_path="/etc/app", files={"a": "hi"}, mode=0o444)],
        {
            f"{VOLUME}.Type": "ConfigFileVolume",
            f"{VOLUME}.ConfigFileVolume.ConfigFileToPath.1.Path": "a",
            f"{VOLUME}.ConfigFileVolume.ConfigFileToPath.1.Content": "aGk=",
            f"{VOLUME}.ConfigFileVolume.DefaultMode": "444",
            f"{MOUNT}.MountPath": "/etc/app",
            f"{MOUNT}.ReadOnly": "True",
        },
    ),
    "nfs_volumes": (
        [NfsVolume(mount_path="/nas", server="nas.example", path="/p", read_only=True)],
        {
            f"{VOLUME}.Type": "NFSVolume",
            f"{VOLUME}.NFSVolume.Server": "nas.example",
            f"{VOLUME}.NFSVolume.Path": "/p",
            f"{VOLUME}.NFSVolume.ReadOnly": "True",
            f"{MOUNT}.MountPath": "/nas",
            f"{MOUNT}.ReadOnly": "True",
        },
    ),
    "dns": (
        {"NameServer": ["1.1.1.1"], "Search": ["x"], "Option": [{"Name": "ndots", "Value": "2"}]},
        {
            "DnsConfig.NameServer.1": "1.1.1.1",
            "DnsConfig.Search.1": "x",
            "DnsConfig.Option.1.Name": "ndots",
            "DnsConfig.Option.1.Value": "2",
        },
    ),
    "run_as_user": (1000, {f"{CONTEXT}.RunAsUser": "1000"}),
    "run_as_group": (100, {"Container.1.SecurityContextRunAsGroup": "100"}),
    "read_only_root": (True, {f"{CONTEXT}.ReadOnlyRootFilesystem": "True"}),
    "capabilities": (["NET_ADMIN"], {f"{CONTEXT}.Capability.Add.1": "NET_ADMIN"}),
    "ram_role": ("role", {"RamRoleName": "role"}),
    "resource_group_id": ("rg-1", {"ResourceGroupId": "rg-1"}),
    "termination_grace": (7, {"TerminationGracePeriodSeconds": "7"}),
    "hide_env": (False, {"Container.1.EnvironmentVarHide": None}),
    "extra": (
        {"CorePattern": "/tmp/core", "Container": {"Tty": True}},
        {"CorePattern": "/tmp/core", "Container.1.Tty": "True"},
    ),
}
"""Each option with a value and what of the request is then as no other value has it; ``None`` for not there."""

WITH = {"spot_price_limit": {"spot": "SpotWithPriceLimit"}}
"""What an option cannot do without."""


def test_every_option_has_its_names_here() -> None:
    assert {field.name for field in attrs.fields(EciOptions)} == set(NAMES)
    told = set(ACR) | {"arn_user"}
    assert {field.name for field in attrs.fields(AcrRegistry)} == told


@pytest.mark.parametrize("option", NAMES)
def test_an_option_is_sent_under_its_name(option: str) -> None:
    value, names = NAMES[option]
    found = sent(EciOptions(**{option: value, **WITH.get(option, {})}), command=["echo", "first"], env={"A": "1"})
    assert {name: found.get(name) for name in names} == names


ALWAYS = {"container_name", "name", "restart_policy", "termination_grace"}
"""What is sent in any case."""


@pytest.mark.parametrize("option", sorted(set(NAMES) - ALWAYS))
def test_an_option_that_is_not_given_is_not_sent(option: str) -> None:
    found = sent(command=["echo", "first"], env={"A": "1"})
    assert not {name for name, text in NAMES[option][1].items() if text is not None} & set(found)


def test_a_sandbox_ends_for_good_and_hides_its_environment_unless_told_otherwise() -> None:
    made = wire(env={"A": "1"})
    assert (made["RestartPolicy"], made["Container"][0]["EnvironmentVarHide"]) == ("Never", True)
