"""What a specification becomes in the daemon's JSON, and what the daemon's JSON says about a sandbox."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from sandboxkit_docker import DockerOptions, RegistryAuth, describe, keepalive
from sandboxkit_docker import labels as marks
from sandboxkit_docker import spec as mapping

from sandboxkit import bookkeeping as books
from sandboxkit.errors import InvalidSpec
from sandboxkit.model import CreateRequest, SandboxSpec, Status

NOW = 1_000_000.0


def request(**given: Any) -> CreateRequest:
    return CreateRequest(
        spec=SandboxSpec(**{"image": "img:1", **given}),
        owner="me@here",
        key="k",
        key_given=True,
        fingerprint="f" * 64,
        expires_at=NOW + 60.5,
    )


def body(**given: Any) -> dict[str, Any]:
    return mapping.container_body(request(**given), attempt="a1", now=NOW)


def host(**given: Any) -> dict[str, Any]:
    found = body(**given)["HostConfig"]
    assert isinstance(found, dict)
    return found


def test_the_least_specification_is_hardened_bounded_and_networked() -> None:
    made = body()
    assert made["Image"] == "img:1"
    assert made["Entrypoint"] == ["/bin/sh", "-c", keepalive.PROGRAM, "sandboxkit", "1000061"]
    assert made["Cmd"] == []
    config = made["HostConfig"]
    assert config["NetworkMode"] == "bridge"
    assert config["CapDrop"] == ["ALL"]
    assert list(mapping.CAPABILITIES) == config["CapAdd"]
    assert config["SecurityOpt"] == ["no-new-privileges"]
    assert config["PidsLimit"] == 512
    assert config["RestartPolicy"] == {"Name": "no"}
    assert config["Init"] is config["AutoRemove"] is config["ReadonlyRootfs"] is False
    assert not {"Memory", "NanoCpus", "Tmpfs", "Binds", "PortBindings", "Runtime"} & config.keys()
    assert not {"User", "WorkingDir", "ExposedPorts"} & made.keys()


def test_a_command_is_given_to_the_keep_alive_word_by_word() -> None:
    assert body(command=("/srv", "a b", ""))["Entrypoint"][-3:] == ["/srv", "a b", ""]


def test_limits_are_in_the_daemons_units_and_swap_adds_nothing() -> None:
    config = host(cpu=1.5, memory_gib=0.25)
    assert (config["NanoCpus"], config["Memory"], config["MemorySwap"]) == (1_500_000_000, 1 << 28, 1 << 28)


def test_surroundings_are_passed_on() -> None:
    made = body(env={"A": "b=c", "E": ""}, cwd="/w", user="1000:1000", network=False)
    assert made["Env"] == ["A=b=c", "E="]
    assert (made["WorkingDir"], made["User"], made["HostConfig"]["NetworkMode"]) == ("/w", "1000:1000", "none")


def test_ports_are_bound_to_loopback_and_chosen_by_the_daemon() -> None:
    made = body(ports=(80, 8080))
    assert made["ExposedPorts"] == {"80/tcp": {}, "8080/tcp": {}}
    assert made["HostConfig"]["PortBindings"] == {
        "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
        "8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}],
    }


def test_options_are_passed_on() -> None:
    config = host(
        options=DockerOptions(
            pids=64,
            read_only=True,
            tmpfs={"/tmp": "size=1m"},
            cap_add="CAP_NET_RAW",
            cap_drop=("chown", "KILL"),
            security_opt=("seccomp=unconfined",),
            extra_hosts={"db": "10.0.0.1"},
            volumes={"/data": "/in:ro"},
            shm_mib=128,
            runtime="runsc",
        )
    )
    assert config["PidsLimit"] == 64
    assert config["ReadonlyRootfs"] is True
    assert config["Tmpfs"] == {"/tmp": "size=1m"}
    assert "NET_RAW" in config["CapAdd"]
    assert not {"CHOWN", "KILL"} & set(config["CapAdd"])
    assert config["SecurityOpt"] == ["seccomp=unconfined", "no-new-privileges"]
    assert config["ExtraHosts"] == ["db:10.0.0.1"]
    assert config["Binds"] == ["/data:/in:ro"]
    assert (config["ShmSize"], config["Runtime"]) == (128 << 20, "runsc")


@pytest.mark.parametrize(
    ("mount", "user", "expected"),
    [
        ("", None, ""),
        ("size=1m", "root", "size=1m"),
        ("", "1000", "uid=1000,gid=1000"),
        ("size=1m", "1000:50", "size=1m,uid=1000,gid=50"),
        ("uid=7", "1000", "uid=7"),
    ],
)
def test_a_tmpfs_belongs_to_a_user_who_is_a_number(mount: str, user: str | None, expected: str) -> None:
    assert host(user=user, options=DockerOptions(tmpfs={"/t": mount}))["Tmpfs"] == {"/t": expected}


def test_the_modes_that_were_asked_for_are_found() -> None:
    options = DockerOptions(tmpfs={"/a": "mode=1777", "/b": "size=1m,mode=0700,noexec", "/c": "size=1m"})
    assert mapping.modes_of(mapping.tmpfs_mounts(options, None)) == {"0": [("1777", "/a"), ("0700", "/b")]}
    assert mapping.modes_of(mapping.tmpfs_mounts(options, "1000")) == {"1000": [("1777", "/a"), ("0700", "/b")]}


def test_all_capabilities_can_be_dropped_and_new_privileges_allowed() -> None:
    config = host(
        options=DockerOptions(cap_drop=("ALL",), cap_add=("CHOWN",), security_opt="no-new-privileges:false")
    )
    assert config["CapAdd"] == ["CHOWN"]
    assert config["SecurityOpt"] == ["no-new-privileges:false"]


def test_no_process_limit_is_the_daemons_default() -> None:
    assert "PidsLimit" not in host(options=DockerOptions(pids=None))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"image": None}, "needs an image"),
        ({"image": ""}, "needs an image"),
        ({"image": "a b"}, "not the name of an image"),
        ({"image": "-x"}, "not the name of an image"),
        ({"labels": {"sandboxkit.owner": "x"}}, "sandboxkit's own"),
        ({"cwd": "relative"}, "absolute"),
        ({"ports": (80,), "network": False}, "ports need a network"),
        ({"memory_gib": 0.001}, "6 MiB"),
        ({"cpu": 0.001}, "hundredth"),
        ({"cpu": 1e300}, "cpu.*more than"),
        ({"cpu": 1e10}, "cpu.*more than"),
        ({"memory_gib": 1e300}, "memory_gib.*more than"),
        ({"memory_gib": 2**34}, "memory_gib.*more than"),
        ({"env": {"A": "x\0y"}}, "NUL"),
        ({"env": {"A": "\udcff"}}, "env is not UTF-8"),
        ({"labels": {"k": "\udcff"}}, "labels is not UTF-8"),
        ({"labels": {"\udcff": "v"}}, "labels is not UTF-8"),
        ({"command": ("echo", "\udcff")}, "command is not UTF-8"),
        ({"cwd": "/\udcff"}, "cwd is not UTF-8"),
        ({"user": "\udcff"}, "user is not UTF-8"),
        ({"options": DockerOptions(volumes={"/\udcff": "/x"})}, "volumes is not UTF-8"),
        ({"options": DockerOptions(platform="\udcff")}, "platform is not UTF-8"),
        ({"command": ()}, "command is empty"),
        ({"options": object()}, "DockerOptions"),
        ({"options": DockerOptions(pids=3)}, "pids"),
        ({"options": DockerOptions(shm_mib=0)}, "shm_mib"),
        ({"options": DockerOptions(pull="maybe")}, "pull"),  # type: ignore[arg-type]
        ({"options": DockerOptions(tmpfs={"tmp": ""})}, "absolute path"),
        ({"options": DockerOptions(volumes={"/x": "y"})}, "absolute path"),
    ],
)
def test_what_cannot_be_right_is_refused_before_anything_is_sent(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidSpec, match=says) as caught:
        body(**given)
    assert "x\0y" not in str(caught.value)


def test_no_repr_shows_credentials() -> None:
    options = DockerOptions(auth=RegistryAuth(username="u", password="hunter2-secret"))
    assert "hunter2-secret" not in repr(options) + repr(options.auth) + repr(request(options=options))


def test_a_name_depends_on_owner_and_key_and_nothing_else() -> None:
    name = marks.container_name("o", "k")
    assert name == marks.container_name("o", "k")
    assert 1 == len({name}) != len({name, marks.container_name("o", "k2"), marks.container_name("ok", "")})
    assert "k" not in name.removeprefix("sandboxkit-") or len(name) == len("sandboxkit-") + 32


# -- the other way ------------------------------------------------------------------------------------------------


def inspect(**more: Any) -> dict[str, Any]:
    made = body(labels={"mine": "1"}, cpu=2.0, memory_gib=0.5)
    found: dict[str, Any] = {
        "Id": "c" * 64,
        "Name": "/" + marks.container_name("me@here", "k"),
        "Created": "2026-01-02T03:04:05.123456789Z",
        "Image": "sha256:0",
        "State": {"Status": "running", "ExitCode": 0},
        "Config": {"Image": "img:1", "Labels": {**made["Labels"], "from.image": "x"}},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "4001"}], "81/tcp": None}},
    }
    return {**found, **more}


def test_an_inspected_container_is_described() -> None:
    info = describe.info_of_inspect(inspect())
    assert (
        info.id, info.provider, info.status, info.owner, info.image,
    ) == ("c" * 64, "docker", Status.RUNNING, "me@here", "img:1")  # fmt: skip
    assert info.labels == {"mine": "1"}, "the image's own labels are not the user's"
    assert (info.created_at, info.expires_at, info.cpu, info.memory_gib) == (NOW, NOW + 60.5, 2.0, 0.5)
    assert info.ports == {80: "127.0.0.1:4001"}


def test_a_listed_container_is_described_alike() -> None:
    whole = inspect()
    entry = {
        "Id": whole["Id"],
        "Names": [whole["Name"]],
        "Image": "img:1",
        "ImageID": "sha256:0",
        "Created": 5,
        "State": "running",
        "Labels": whole["Config"]["Labels"],
        "Ports": [
            {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 4001, "Type": "tcp"},
            {"PrivatePort": 81, "Type": "tcp"},
        ],
    }
    assert describe.info_of_inspect(whole) == describe.info_of_entry(entry)


@pytest.mark.parametrize(
    "state", ["created", "running", "paused", "restarting", "removing", "exited", "dead", "new word"]
)
def test_every_state_has_a_status(state: str) -> None:
    info = describe.info_of_inspect(inspect(State={"Status": state, "ExitCode": 3, "OOMKilled": True}))
    expected = {
        "created": "creating", "running": "running", "paused": "paused", "restarting": "creating",
        "removing": "deleting", "exited": "stopped",
    }.get(state, "failed")  # fmt: skip
    assert expected == info.status
    assert ("exit_code" in info.details) == (expected in ("stopped", "failed"))


def test_labels_that_others_wrote_do_no_harm() -> None:
    labels = {books.OWNER: "o", books.EXPIRES_AT: "soon", marks.CPU: "", marks.NAMES: "{["}
    info = describe.info_of_inspect(inspect(Config={"Labels": labels}, NetworkSettings=None))
    assert (info.expires_at, info.cpu, info.labels, info.ports) == (None, None, {}, {})
    assert pytest.approx(info.created_at) == 1767323045.123456789


def test_a_container_is_ours_only_if_its_name_agrees_with_its_labels() -> None:
    found = inspect()
    labels = found["Config"]["Labels"]
    assert marks.is_ours(labels, found["Name"])
    assert not marks.is_ours(labels, "/someone-elses"), "a container run from a committed sandbox"
    assert not marks.is_ours({}, found["Name"])
    assert not marks.is_ours(None, found["Name"])


def test_the_description_made_without_asking_is_what_the_daemon_would_say() -> None:
    asked = request(labels={"mine": "1"}, cpu=2.0, memory_gib=0.5, ports=(80,))
    made = describe.info_of_request(asked, "c" * 64, created_at=NOW, ports={80: "127.0.0.1:4001"})
    assert attrs.evolve(describe.info_of_inspect(inspect()), details={}) == made
