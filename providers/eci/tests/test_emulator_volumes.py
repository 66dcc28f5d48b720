"""What is mounted into a container is there, in the mode that was asked for."""

from __future__ import annotations

import base64

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci import ConfigFiles, EciOptions, EmptyDir, NfsVolume
from sandboxkit_eci.emulator import volumes
from sandboxkit_eci.emulator.testing import emulator
from sandboxkit_eci.emulator.volumes import ConfigFile

import sandboxkit
from sandboxkit import plugins

from .asking import code, create, sdk


def text(content: str) -> str:
    return base64.b64encode(content.encode()).decode()


GIVEN = {
    "Volume": [
        {"Name": "empty", "Type": "EmptyDirVolume"},
        {"Name": "nas", "Type": "NFSVolume", "NFSVolume": {"Server": "nas.example", "Path": "/"}},
        {
            "Name": "files",
            "Type": "ConfigFileVolume",
            "ConfigFileVolume": {
                "DefaultMode": 600,
                "ConfigFileToPath": [
                    {"Path": "a", "Content": text("one")},
                    {"Path": "b/c", "Content": text("two"), "Mode": 444},
                ],
            },
        },
        {"Name": "disk", "Type": "DiskVolume"},
    ]
}


def mounts(**paths: str) -> dict[str, list[dict[str, str]]]:
    return {"VolumeMount": [{"Name": name, "MountPath": path} for name, path in paths.items()]}


def test_volumes_that_are_directories_are_found_where_they_are_mounted() -> None:
    container = mounts(empty="/empty", nas="/nas", files="/files", disk="/disk", other="/other")
    assert volumes.directories(GIVEN, container) == ("/empty", "/nas", "/files")
    assert volumes.directories(GIVEN, {}) == ()


def test_config_files_are_below_their_mount_or_are_it() -> None:
    expected = {"/files/a": ConfigFile(b"one", 0o600), "/files/b/c": ConfigFile(b"two", 0o444)}
    assert volumes.files(GIVEN, mounts(files="/files", empty="/empty")) == expected
    alone = {"VolumeMount": [{"Name": "files", "MountPath": "/etc/one", "SubPath": "a"}]}
    assert volumes.files(GIVEN, alone) == {"/etc/one": ConfigFile(b"one", 0o600)}
    assert volumes.directories(GIVEN, alone) == ()


@pytest.mark.parametrize("mode", [648, 77777, -1])
def test_a_mode_that_is_none_is_refused(mode: int) -> None:
    path = models.CreateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(path="a", content="", mode=mode)
    files = models.CreateContainerGroupRequestVolumeConfigFileVolume(config_file_to_path=[path])
    volume = models.CreateContainerGroupRequestVolume(name="files", type="ConfigFileVolume", config_file_volume=files)
    with emulator("none") as eci:
        assert code(lambda: create(sdk(eci), volume=[volume])) == "InvalidParameter"


@pytest.mark.skipif(not plugins.probe("local").works, reason="local does not work here")
def test_a_user_finds_what_was_mounted_also_after_a_restart() -> None:
    options = EciOptions(
        config_files=[ConfigFiles(mount_path="/tmp/config", files={"a": b"\0one\n", "b/c": "two"}, mode=0o400)],
        empty_dirs=[EmptyDir(mount_path="/tmp/empty")],
        nfs_volumes=[NfsVolume(mount_path="/tmp/nas", server="nas.example")],
    )
    with (
        emulator("local") as eci,
        sandboxkit.connect("eci", **{**eci.options, "image": "any:1"}) as client,
        client.create(options=options) as box,
    ):
        for _ in range(2):
            assert box.files.read("/tmp/config/a") == b"\0one\n"
            assert box.files.read_text("/tmp/config/b/c") == "two"
            assert box.files.stat("/tmp/config/a").mode & 0o777 == 0o400
            assert box.files.list("/tmp/empty") == box.files.list("/tmp/nas") == []
            box.restart()
