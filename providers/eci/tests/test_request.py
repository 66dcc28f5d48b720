"""What a specification becomes in CreateContainerGroup, and what is refused before it is sent."""

from __future__ import annotations

import base64
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci import AcrRegistry, ConfigFiles, EciOptions, EmptyDir, NfsVolume, RegistryCredential, keepalive
from sandboxkit_eci.request import create_request, flat, secrets_of
from sandboxkit_eci.sizes import size_of, sized
from sandboxkit_eci.tags import is_ours, tags_of, token, user_labels

import sandboxkit
from sandboxkit import SandboxSpec
from sandboxkit.bookkeeping import digest
from sandboxkit.model import CreateRequest

NOW = 1_000_000.0


def request(**spec: Any) -> CreateRequest:
    return CreateRequest(
        spec=SandboxSpec(**{"image": "busybox:1", **spec}),
        owner="me@here",
        key="the key",
        key_given=True,
        fingerprint="f" * 64,
        expires_at=NOW + 99.5,
    )


def wire(options: EciOptions | None = None, fallback: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return create_request(
        request(**spec), options or EciOptions(), attempt="a1", token="t1", now=NOW, fallback=fallback or {}
    )


def sent(options: EciOptions | None = None, **spec: Any) -> dict[str, str]:
    """As the SDK's model takes it."""
    made = wire(options, **spec)
    taken = flat(models.CreateContainerGroupRequest().from_map(made).to_map())
    assert taken.keys() == flat(made).keys()
    return taken


def test_the_least_is_a_name_an_image_a_keep_alive_and_our_tags() -> None:
    made = wire()
    assert made["ContainerGroupName"].startswith("sandboxkit-")
    assert (made["RestartPolicy"], made["ClientToken"], made["ActiveDeadlineSeconds"]) == ("Never", "t1", 100)
    (container,) = made["Container"]
    assert (container["Name"], container["Image"]) == ("main", "busybox:1")
    assert container["Command"][:2] == ["/bin/sh", "-c"]
    tags = {tag["Key"]: tag["Value"] for tag in made["Tag"]}
    assert is_ours(tags)
    assert tags["sandboxkit.owner"] == "me@here"
    assert tags["sandboxkit.key"] == digest("me@here", "the key")
    assert "the key" not in str(made)
    assert "Cpu" not in made


def test_everything_of_a_specification_is_sent() -> None:
    found = sent(
        env={"A": "1"}, labels={"x": "ü"}, cwd="/srv", user="1000:100", cpu=1.5, memory_gib=3, command=["sleep", "1"]
    )
    assert found["Container.1.EnvironmentVar.1.Key"] == "A"
    assert found["Container.1.EnvironmentVar.1.Value"] == "1"
    assert found["Container.1.WorkingDir"] == "/srv"
    assert found["Container.1.SecurityContext.RunAsUser"] == "1000"
    assert found["Container.1.SecurityContextRunAsGroup"] == "100"
    assert (found["Cpu"], found["Memory"]) == ("2.0", "4.0")
    assert "ü" in found.values()
    assert found["Container.1.Command.8"] == "sleep"


def test_every_option_is_sent() -> None:
    found = sent(
        EciOptions(
            name="my-group",
            container_name="box",
            args=["x"],
            v_switch_ids=["vsw-1", "vsw-2"],
            schedule_strategy="VSwitchRandom",
            security_group_id="sg-1",
            zone_id="cn-hangzhou-k",
            instance_types=["ecs.c6.large", "ecs.c7.large"],
            compute_category=["economy"],
            cpu_architecture="ARM64",
            spot="SpotWithPriceLimit",
            spot_price_limit=0.5,
            spot_duration=0,
            create_eip=True,
            eip_bandwidth=5,
            registry_credentials=[RegistryCredential(server="r.example", user_name="u", password="hunter2")],
            acr_registries=[AcrRegistry(instance_id="cri-1", domains=["d"])],
            image_cache=True,
            image_snapshot_id="s-1",
            pull_policy="Always",
            ephemeral_storage_gib=20,
            gpu=1,
            empty_dirs=[EmptyDir(mount_path="/scratch", memory=True, size="256Mi")],
            config_files=[ConfigFiles(mount_path="/etc/app", files={"a": b"\0b"}, mode=0o444)],
            nfs_volumes=[NfsVolume(mount_path="/nas", server="nas.example", read_only=True)],
            dns={"NameServer": ["1.1.1.1"], "Option": [{"Name": "ndots", "Value": "2"}]},
            read_only_root=True,
            capabilities=["NET_ADMIN"],
            ram_role="role",
            resource_group_id="rg",
            termination_grace=7,
            extra={"CorePattern": "/tmp/core", "Container": {"Tty": True}, "Tag": [{"Key": "a", "Value": "b"}]},
        ),
        env={"A": "1"},
        command=["echo"],
    )
    assert {
        "ContainerGroupName": "my-group",
        "Container.1.Name": "box",
        "VSwitchId": "vsw-1,vsw-2",
        "ScheduleStrategy": "VSwitchRandom",
        "SecurityGroupId": "sg-1",
        "ZoneId": "cn-hangzhou-k",
        "InstanceType": "ecs.c6.large,ecs.c7.large",
        "ComputeCategory.1": "economy",
        "CpuArchitecture": "ARM64",
        "SpotStrategy": "SpotWithPriceLimit",
        "SpotPriceLimit": "0.5",
        "SpotDuration": "0",
        "AutoCreateEip": "True",
        "EipBandwidth": "5",
        "ImageRegistryCredential.1.Password": "hunter2",
        "AcrRegistryInfo.1.Domain.1": "d",
        "AutoMatchImageCache": "True",
        "ImageSnapshotId": "s-1",
        "Container.1.ImagePullPolicy": "Always",
        "EphemeralStorage": "20",
        "Container.1.Gpu": "1",
        "Volume.1.EmptyDirVolume.Medium": "Memory",
        "Volume.1.EmptyDirVolume.SizeLimit": "256Mi",
        "Volume.2.ConfigFileVolume.ConfigFileToPath.1.Content": "AGI=",
        "Volume.2.ConfigFileVolume.DefaultMode": "444",
        "Volume.3.NFSVolume.Server": "nas.example",
        "Container.1.VolumeMount.2.MountPath": "/etc/app",
        "Container.1.VolumeMount.2.ReadOnly": "True",
        "DnsConfig.NameServer.1": "1.1.1.1",
        "Container.1.SecurityContext.ReadOnlyRootFilesystem": "True",
        "Container.1.SecurityContext.Capability.Add.1": "NET_ADMIN",
        "RamRoleName": "role",
        "ResourceGroupId": "rg",
        "TerminationGracePeriodSeconds": "7",
        "CorePattern": "/tmp/core",
        "Container.1.Tty": "True",
        "Container.1.EnvironmentVarHide": "True",
    }.items() <= found.items()
    assert found["Container.1.Image"] == "busybox:1"
    assert {"a", "box", "sandboxkit.owner"} <= {v for k, v in found.items() if k.startswith("Tag.")}


def test_a_field_that_the_sdk_does_not_know_is_not_lost() -> None:
    made = wire(EciOptions(extra={"MaxPendingMinute": 30, "Container": {"NewThing": {"Deep": [1]}}}))
    known = flat(models.CreateContainerGroupRequest().from_map(made).to_map())
    unknown = {name: text for name, text in flat(made).items() if name not in known}
    assert unknown == {"MaxPendingMinute": "30", "Container.1.NewThing.Deep.1": "1"}


def test_a_fallback_overrules() -> None:
    assert wire(EciOptions(zone_id="a"), fallback={"ZoneId": "b"})["ZoneId"] == "b"


@pytest.mark.parametrize(
    "spec",
    [
        {"image": None},
        {"image": "-x"},
        {"image": "two words"},
        {"cwd": "relative"},
        {"user": "nobody"},
        {"command": []},
        {"command": ["-x"]},
        {"command": ["sh", "a\0b"]},
        {"command": ["echo", *["x"] * 30]},
        {"env": {"A": "x" * 257}},
        {"env": {"A" * 129: "x"}},
        {"labels": {str(n): "x" for n in range(15)}},
        {"labels": {"k" * 65: "x"}},
        {"labels": {"k": "v" * 129}},
        {"labels": {"acs:k": "v"}},
        {"labels": {"k": "https://v"}},
        {"labels": {"sandboxkit.owner": "x"}},
        {"env": {"A": "\udcff"}},
        {"env": {"\udcff": "a"}},
        {"labels": {"k": "\udcff"}},
        {"labels": {"\udcff": "v"}},
        {"command": ["echo", "\udcff"]},
        {"cwd": "/\udcff"},
    ],
)
def test_what_cannot_be_sent_is_refused_first(spec: dict[str, Any]) -> None:
    with pytest.raises(sandboxkit.InvalidSpec) as caught:
        wire(**spec)
    assert "x" * 257 not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"config_files": [ConfigFiles(mount_path="/c", files={"a": "\udcff"})]}, "config_files"),
        ({"resource_group_id": "\udcff"}, "ResourceGroupId"),
        ({"extra": {"CorePattern": "\udcff"}}, "CorePattern"),
        ({"extra": {"\udcff": "x"}}, "udcff"),
    ],
)
def test_a_text_that_cannot_be_encoded_is_named(options: dict[str, Any], said: str) -> None:
    with pytest.raises(sandboxkit.InvalidSpec, match=said):
        wire(EciOptions(**options))


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ({"Container": "hunter2"}, "Container is a mapping"),
        ({"Container": ["hunter2"]}, "Container is a mapping"),
        ({3: "hunter2"}, "names are strings, not a int"),
        ({"Container": {"EnvironmentVar": [{"Value": b"hunter2"}]}}, "EnvironmentVar: Value: .* a bytes"),
        ({"Volume": {"hunter2"}}, "Volume: .* a set"),
        ({"Container": {"Command": ["hunter2"]}}, "Command .* use command="),
        ({"Container": [{"Arg": ["hunter2"]}]}, "Arg .* use command="),
    ],
)
def test_an_extra_that_has_no_place_is_refused(extra: dict[Any, Any], said: str) -> None:
    with pytest.raises(sandboxkit.InvalidSpec, match=said) as caught:
        wire(EciOptions(extra=extra))
    assert "hunter2" not in str(caught.value)


def test_an_extra_is_added_to_the_sandboxs_own() -> None:
    added = {"EnvironmentVar": [{"Key": "B", "Value": "2"}], "VolumeMount": [{"Name": "v", "MountPath": "/v"}]}
    container = {**added, "SecurityContext": {"ReadOnlyRootFilesystem": True}, "Tty": True}
    other = {"Name": "side", "Command": ["true"]}
    options = EciOptions(
        empty_dirs=[EmptyDir(mount_path="/e")],
        extra={"Container": [container, other], "Volume": ({"Name": "v"},), "CorePattern": "/c"},
    )
    made = wire(options, env={"A": "1"}, user="7")
    own, side = made["Container"]
    assert own["EnvironmentVar"] == [{"Key": "A", "Value": "1"}, {"Key": "B", "Value": "2"}]
    assert [mount["MountPath"] for mount in own["VolumeMount"]] == ["/e", "/v"]
    assert own["SecurityContext"] == {"RunAsUser": 7, "ReadOnlyRootFilesystem": True}
    assert (own["Tty"], own["Name"], side) == (True, "main", other)
    assert [volume["Name"] for volume in made["Volume"]] == ["volume-1", "v"]
    assert made["CorePattern"] == "/c"
    assert len(wire(EciOptions(extra={"Container": []}))["Container"]) == 1


def test_arguments_need_a_command() -> None:
    with pytest.raises(sandboxkit.InvalidSpec):
        wire(EciOptions(args=["x"]))


def test_no_word_of_the_keep_alive_is_longer_than_documented() -> None:
    words = keepalive.argv(NOW, ())
    assert max(map(len, words)) <= 256
    assert len(words) <= 20


def test_labels_come_back_without_ours() -> None:
    tags = {**tags_of(request(labels={"a": "b"}), "a1"), "acs:rm:rgId": "rg"}
    assert user_labels(tags) == {"a": "b"}
    assert len(tags_of(request(labels={str(n): "x" for n in range(14)}), "a1")) == 20


def test_a_token_is_short_and_another_for_each_generation() -> None:
    found = {token("me", "key", generation) for generation in range(3)} | {token("you", "key", 0)}
    assert len(found) == 4
    assert all(len(one) <= 64 and one.isascii() for one in found)


def test_secrets_are_the_values_and_the_passwords() -> None:
    options = EciOptions(registry_credentials=[RegistryCredential(server="r", user_name="u", password="p4ss")])
    assert set(secrets_of(SandboxSpec(env={"A": "v4lue"}), options)) == {"v4lue", "p4ss"}
    assert "p4ss" not in repr(options)


def test_secrets_are_what_is_in_files_and_extras_too() -> None:
    extra = {
        "ImageRegistryCredential": [{"Password": "p4ss"}],
        "Container": {"EnvironmentVar": ({"Key": "A", "Value": "v4lue"},)},
        "Number": 1,
    }
    files = {"a": "t3xt", "b": b"byt3s"}
    options = EciOptions(extra=extra, config_files=[ConfigFiles(mount_path="/c", files=files)])
    found = set(secrets_of(SandboxSpec(), options))
    assert {"p4ss", "v4lue", "t3xt", "byt3s", base64.b64encode(b"t3xt").decode()} <= found


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ((None, None), None),
        ((0.25, None), (0.25, 0.5)),
        ((None, 0.0625), (0.25, 0.5)),
        ((2, None), (2.0, 4.0)),
        ((7, 13), (8.0, 16.0)),
        ((1, 16), (2.0, 16.0)),
        ((None, 100), (16.0, 128.0)),
        ((500, 1), None),
    ],
)
def test_sizes_are_rounded_up(asked: tuple[float | None, float | None], given: tuple[float, float] | None) -> None:
    assert sized(*asked) == given


@pytest.mark.parametrize(
    ("made", "size"),
    [
        (wire(cpu=7, memory_gib=13), (8.0, 16.0)),
        (wire(), (2.0, 4.0)),
        (wire(EciOptions(instance_types=["ecs.c6.large"]), cpu=7), (None, None)),
        (wire(fallback={"InstanceType": "ecs.c6.large"}), (None, None)),
        (wire(EciOptions(extra={"Cpu": 4, "Memory": 8})), (4, 8)),
    ],
)
def test_the_size_that_is_made_is_known_from_the_request(
    made: dict[str, Any], size: tuple[float | None, float | None]
) -> None:
    assert size_of(made) == size


# -- the keep-alive, on this machine's sh --------------------------------------------------------------------------


def start(seconds: float, *command: str) -> subprocess.Popen[bytes]:
    # A session of its own: what is left of it can be ended as one.
    return subprocess.Popen(keepalive.argv(time.time() + seconds, command), start_new_session=True)


def end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_it_ends_at_the_deadline_with_success() -> None:
    process = start(1)
    try:
        assert process.wait(30) == 0
    finally:
        end(process)


def test_a_command_ends_it_with_its_own_exit_code() -> None:
    for command, code in ((("sh", "-c", "exit 7"), 7), (("/no/such",), 127), (("true",), 0)):
        process = start(60, *command)
        try:
            assert process.wait(30) == code
        finally:
            end(process)


def test_a_command_ends_at_the_deadline() -> None:
    process = start(1, "sh", "-c", "trap '' TERM USR1; while :; do sleep 1; done")
    try:
        assert process.wait(30) == 0
    finally:
        end(process)


def test_sigterm_ends_it_at_once() -> None:
    process = start(60)
    try:
        while b"trap" not in cmdline(process.pid):
            time.sleep(0.01)
        while not handles(process.pid, signal.SIGTERM):
            time.sleep(0.01)
        process.terminate()
        assert process.wait(30) == 143
    finally:
        end(process)


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def handles(pid: int, number: int) -> bool:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line for line in lines if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (number - 1) & 1)
