"""Finding, listing and deleting; what is not sandboxkit's is never touched; what a sandbox may do."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sandboxkit_docker import DockerOptions
from sandboxkit_docker import spec as mapping
from sandboxkit_docker.daemon import Daemon

import sandboxkit
from sandboxkit import bookkeeping as books
from sandboxkit.errors import InvalidSpec, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import Status
from sandboxkit.sync import Client, Sandbox

from .conftest import BUSYBOX, USUAL, eventually


@pytest.fixture
def foreign(daemon: Daemon) -> Iterator[str]:
    """A running container that sandboxkit did not make."""
    made = daemon.request("POST", "/containers/create", until=None, body={"Image": USUAL, "Cmd": ["sleep", "600"]})
    identity = str(made.body["Id"])
    daemon.request("POST", f"/containers/{identity}/start", until=None)
    yield identity
    daemon.request("DELETE", f"/containers/{identity}", until=None, query={"force": 1})


def runs(daemon: Daemon, container: str) -> bool:
    return bool(daemon.request("GET", f"/containers/{container}/json", until=None).body["State"]["Running"])


def test_what_sandboxkit_did_not_make_is_not_found_and_not_touched(
    client: Client, shared: Sandbox, daemon: Daemon, foreign: str
) -> None:
    assert foreign not in [info.id for info in client.list()]
    with pytest.raises(SandboxNotFound):
        client.get(foreign)
    provider = client._async.provider
    with pytest.raises(SandboxNotFound):
        Sandbox(type(shared._async)(client._async, foreign, owned=False)).exec("true")
    assert client.delete(foreign) is False
    assert provider.name == "docker"
    assert runs(daemon, foreign)


def test_a_container_of_an_image_committed_from_a_sandbox_is_foreign(
    client: Client, shared: Sandbox, daemon: Daemon, owner: str
) -> None:
    repository = f"sandboxkit-test-commit-{owner}"
    assert (
        daemon.request("POST", "/commit", until=None, query={"container": shared.id, "repo": repository}).status
        == 201
    )
    made = daemon.request("POST", "/containers/create", until=None, body={"Image": repository, "Cmd": ["x"]}).body[
        "Id"
    ]
    try:
        labels = daemon.request("GET", f"/containers/{made}/json", until=None).body["Config"]["Labels"]
        assert labels[books.OWNER] == owner, "a control: it does carry the labels"
        assert made not in [info.id for info in client.list()]
        assert client.delete(made) is False
    finally:
        daemon.request("DELETE", f"/containers/{made}", until=None, query={"force": 1})
        daemon.request("DELETE", f"/images/{repository}", until=None, query={"force": 1})


@pytest.mark.parametrize("unknown", ["f" * 64, "nosuch", "../images/json", "a/b", "a?force=1", "ü", "x" * 300])
def test_an_unknown_id_is_not_found(client: Client, unknown: str) -> None:
    with pytest.raises(SandboxNotFound):
        client.get(unknown)
    assert client.delete(unknown) is False


def test_a_sandbox_is_found_by_another_client_and_by_the_start_of_its_id(client: Client, shared: Sandbox) -> None:
    with sandboxkit.connect("docker") as other:
        assert other.get(shared.id).exec("echo hi").text == "hi\n"
        assert other.get(shared.id[:12]).id == shared.id


def test_a_list_filters_by_labels_and_status(client: Client, owner: str) -> None:
    with (
        client.create(ttl=120, labels={"a": "1", "b=c": "2", "e": ""}) as one,
        client.create(ttl=120, labels={"a": "1"}),
    ):

        def ids(**given: object) -> list[str]:
            return [info.id for info in client.list(**given) if info.owner == owner]  # type: ignore[arg-type]

        assert len(ids(labels={"a": "1"})) == 2
        assert ids(labels={"a": "1", "b=c": "2"}) == [one.id]
        assert ids(labels={"e": ""}) == [one.id]
        assert ids(labels={"a": "2"}) == []
        for odd in ({"a": "\udcff"}, {"\udcff": "1"}, {"b=\udcff": "2"}):
            with pytest.raises(InvalidSpec, match="UTF-8"):
                ids(labels=odd)
        assert one.id in ids(status=Status.RUNNING)
        assert one.id not in ids(status=(Status.STOPPED, Status.PAUSED))


def test_what_is_paused_or_stopped_is_listed_as_such_and_refuses_commands(
    client: Client, daemon: Daemon, box: Sandbox
) -> None:
    daemon.request("POST", f"/containers/{box.id}/pause", until=None)
    assert [info.status for info in client.list(status=Status.PAUSED) if info.id == box.id] == [Status.PAUSED]
    with pytest.raises(SandboxNotRunning) as caught:
        box.exec("true")
    assert caught.value.status == "paused"
    daemon.request("POST", f"/containers/{box.id}/unpause", until=None)
    daemon.request("POST", f"/containers/{box.id}/kill", until=None)
    eventually(lambda: box.info().status is Status.STOPPED, "its end")
    with pytest.raises(SandboxNotRunning) as caught:
        box.exec("true")
    assert caught.value.status == "stopped"
    assert box.delete()


def test_a_paused_sandbox_can_be_deleted(daemon: Daemon, box: Sandbox) -> None:
    daemon.request("POST", f"/containers/{box.id}/pause", until=None)
    assert box.delete() is True
    assert box.delete() is False


def test_many_deletes_at_once_all_end_with_it_gone(client: Client, box: Sandbox) -> None:
    with ThreadPoolExecutor(6) as pool:
        removed = list(pool.map(lambda _: client.delete(box.id), range(6)))
    assert any(removed)
    with pytest.raises(SandboxNotFound):
        client.get(box.id)


def test_deleting_takes_anonymous_volumes_along(client: Client, daemon: Daemon) -> None:
    def volumes() -> set[str]:
        answer = daemon.request("GET", "/volumes", until=None)
        return {found["Name"] for found in answer.body["Volumes"] or ()}

    before = volumes()
    # There is no option for an anonymous volume: an image's VOLUME makes one, as a commit with that change does here.
    with client.create(ttl=60) as base:
        query = {"container": base.id, "repo": "sandboxkit-test-volume", "changes": "VOLUME /data"}
        daemon.request("POST", "/commit", until=None, query=query)
    try:
        with client.create(ttl=60, image="sandboxkit-test-volume") as box:
            assert len(volumes() - before) == 1, "a control: there is one"
            box.exec("touch /data/x", check=True)
        assert not volumes() - before
    finally:
        daemon.request("DELETE", "/images/sandboxkit-test-volume", until=None, query={"force": 1})


# -- what a sandbox is and may do ---------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [USUAL, BUSYBOX])
@pytest.mark.parametrize(("user", "mount"), [("1234:1234", ""), ("1234", "size=8m,mode=1777")])
def test_read_only_and_not_root_with_one_tmpfs_it_works(client: Client, image: str, user: str, mount: str) -> None:
    options = DockerOptions(read_only=True, tmpfs={"/work": mount})
    with client.create(ttl=120, image=image, user=user, cwd="/work", options=options) as box:
        assert box.exec("id -u; pwd").text == "1234\n/work\n"
        box.files.write("a", b"x" * 100_000)
        assert box.files.read("/work/a") == b"x" * 100_000
        assert box.exec("echo x >/etc/x").exit_code != 0


def test_the_mode_of_a_tmpfs_is_what_was_asked_for(client: Client) -> None:
    # The working directory is the hard case: the daemon makes it, and its mode would be the tmpfs's.
    options = DockerOptions(tmpfs={"/work": "mode=1777", "/other": "mode=0750"})
    with client.create(ttl=120, user="nobody", cwd="/work", options=options) as box:
        assert box.exec("stat -c %a /work /other").text == "1777\n750\n"
        box.files.write("a", b"x")


def test_root_can_do_ordinary_work_and_nothing_beyond(shared: Sandbox) -> None:
    script = """
    set -e; cd /tmp; touch f; chown 1000:1000 f; chmod 4755 f; chmod 600 f; cat f
    python3 - <<'END'
import os, socket
socket.create_server(("127.0.0.1", 80)).close()
os.setgid(1000); os.setuid(1000)
END
    echo fine"""
    assert shared.exec(script).text == "fine\n", shared.exec(script).stderr_text
    held = shared.exec("grep CapEff /proc/self/status").text.split()[1]
    kept = sum(1 << {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7,
                     "NET_BIND_SERVICE": 10}[name] for name in mapping.CAPABILITIES)  # fmt: skip
    assert int(held, 16) == kept
    assert shared.exec("mknod /tmp/null c 1 3").exit_code != 0
    assert shared.exec("grep NoNewPrivs /proc/self/status").text.split()[1] == "1"


def test_limits_are_the_kernels(client: Client) -> None:
    with client.create(ttl=120, cpu=0.5, memory_gib=0.125, options=DockerOptions(pids=32, shm_mib=16)) as box:
        script = """
        cd /sys/fs/cgroup
        cat memory.max 2>/dev/null || cat memory/memory.limit_in_bytes
        cat pids.max 2>/dev/null || cat pids/pids.max
        cat cpu.max 2>/dev/null || echo $(cat cpu/cpu.cfs_quota_us) $(cat cpu/cpu.cfs_period_us)
        df -m /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2"""
        assert box.exec(script).text.split() == ["134217728", "32", "50000", "100000", "16"]
        info = box.info()
        assert (info.cpu, info.memory_gib) == (0.5, 0.125)


def test_the_network_can_be_off(client: Client, shared: Sandbox) -> None:
    with client.create(ttl=120, network=False) as box:
        assert "eth0" not in box.exec("cat /proc/net/dev").text
    assert "eth0" in shared.exec("cat /proc/net/dev").text, "a control: it is on unless said otherwise"


def test_a_port_is_reached_from_outside(client: Client) -> None:
    import urllib.request

    with client.create(ttl=120, ports=[8000]) as box, box.spawn(["python3", "-m", "http.server", "8000"]):
        address = box.info().ports[8000]

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://{address}/", timeout=5) as page:
                    return bool(page.status == 200)
            except OSError:
                return False

        eventually(answers, "an answer")


def test_a_host_directory_and_names_can_be_given(client: Client, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("from the host")
    options = DockerOptions(volumes={str(tmp_path): "/in:ro"}, extra_hosts={"db.test": "10.9.8.7"})
    with client.create(ttl=120, options=options) as box:
        assert box.files.read("/in/f") == b"from the host"
        assert box.exec("echo x >/in/f").exit_code != 0
        assert "10.9.8.7" in box.exec("cat /etc/hosts").text


def test_a_command_runs_beside_and_is_seen(client: Client) -> None:
    with client.create(ttl=120, command=["sleep", "4321"], env={"A": "b"}, cwd="/tmp") as box:
        assert "4321" in box.exec("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").text
        assert box.exec("echo $A; pwd").text == "b\n/tmp\n"


def test_an_unknown_user_of_a_command_is_said(shared: Sandbox) -> None:
    with pytest.raises(sandboxkit.SandboxError, match="no such user"):
        shared.exec("true", user="nosuchuser")
    assert shared.exec("id -un", user="nobody").text == "nobody\n"


def test_nothing_is_left_open(client: Client) -> None:
    import gc
    import os

    def count() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), threading.active_count()  # noqa: PTH208

    def turn() -> None:
        with sandboxkit.connect("docker", image=USUAL) as other, other.create(ttl=60) as box:
            box.exec("true", check=True)
            with box.spawn("sleep 60"):
                pass

    turn()
    before = count()
    for _ in range(3):
        turn()
    assert count() == before
