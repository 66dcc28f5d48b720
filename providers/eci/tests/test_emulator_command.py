"""The emulator as a program: its options, its end, its state."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any, cast

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.assembly import make_service
from sandboxkit_eci.emulator.commandline import UsageError, keys, read
from sandboxkit_eci.emulator.images import PHASES, Commit, Phase
from sandboxkit_eci.emulator.state import StateFile
from sandboxkit_eci.emulator.testing import Emulator

from .asking import REGION, code, create, delete, execute, groups, no_proxy, running, sdk, until
from .manualclock import settle
from .program import command
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


def ask(it: Any, **config: Any) -> Any:
    return sdk(cast("Emulator", it), **config)


@pytest.mark.parametrize("end", ["SIGTERM", "SIGINT"])
def test_it_serves_until_it_is_told_to_stop(end: str) -> None:
    with command("--backend", "none", end=end) as it:
        assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+", it.endpoint)
        client = ask(it)
        made = create(client)
        running(client, made)
        assert execute(client, made, '["hi"]', sync=True).sync_response == "hi\n"
        with urllib.request.urlopen(f"{it.endpoint}/_emulator/requests") as answer:
            counted = json.load(answer)
        assert counted["calls"]["CreateContainerGroup"] == 1


def test_keys_of_ones_own_are_good_and_the_usual_one_is_not() -> None:
    with command("--backend", "none", "--access-key-id", "a", "--access-key-secret", "b") as it:
        assert groups(ask(it, access_key_id="a", access_key_secret="b")) == []
        with pytest.raises(Exception, match="InvalidAccessKeyId"):
            groups(ask(it))


def test_tls_with_a_certificate_made_for_the_occasion() -> None:
    with command("--backend", "none", "--tls") as it:
        second, third = it.output.readline(), it.output.readline()
        assert third == "access key: emulator, secret: emulator-secret\n"
        path = second.removeprefix("certificate: ").strip()
        context = ssl.create_default_context(cafile=path)
        with urllib.request.urlopen(f"{it.endpoint}/_emulator/requests", context=context) as answer:
            assert answer.status == 200
        assert it.endpoint.startswith("https://127.0.0.1:")
    assert not Path(path).exists()


def test_groups_come_back_from_a_state_file(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    with command("--backend", "none", "--state", str(state)) as it:
        client = ask(it)
        kept = create(client, "kept", tags={"a": "1"}, client_token="token", instance_type="ecs.g6.large")
        gone = create(client, "gone")
        delete(client, gone)
        until(lambda: len(groups(client)) == 1)
    assert state.stat().st_mode & 0o777 == 0o600
    with command("--backend", "none", "--state", str(state)) as it:
        client = ask(it)
        group = running(client, kept)
        assert ([kept], "kept") == ([each.container_group_id for each in groups(client)], group.container_group_name)
        assert (group.instance_type, group.memory) == ("ecs.g6.large", 8)
        assert kept == create(client, "kept", tags={"a": "1"}, client_token="token", instance_type="ecs.g6.large")


def test_tags_and_image_caches_outlive_an_emulator_that_is_killed(tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    folder = tmp_path / "temporary"
    folder.mkdir()
    env = {"TMPDIR": str(folder)}
    with command("--backend", "none", "--state", str(state), killed=True, env=env) as it:
        client = ask(it)
        made = create(client, tags={"a": "1", "b": "1"})
        cache = models.CreateImageCacheRequest(region_id=REGION, image_cache_name="cache", image=["busybox"])
        snapshot = client.create_image_cache(cache).body.image_cache_id
        ready(client)
        common: dict[str, Any] = {"region_id": REGION, "resource_type": "containergroup", "resource_id": [made]}
        tag = models.TagResourcesRequestTag(key="c", value="3")
        client.tag_resources(models.TagResourcesRequest(tag=[tag], **common))
        client.untag_resources(models.UntagResourcesRequest(tag_key=["a"], **common))
    assert list(folder.iterdir()) == []
    with command("--backend", "none", "--state", str(state)) as it:
        client = ask(it)
        assert [made] == [each.container_group_id for each in groups(client, tags={"b": "1", "c": "3"})]
        assert groups(client, tags={"a": "1"}) == []
        assert ready(client).image_cache_id == snapshot
        assert create(client, image_snapshot_id=ready(client).snapshot_id)


def commit(client: Any, group: str) -> str:
    image = models.CommitContainerRequestImage(repository="r.io/ns/name", tag="v1")
    request = models.CommitContainerRequest(
        region_id=REGION, container_group_id=group, container_name="main", image=image
    )
    return str(client.commit_container(request).body.task_id)


def task(client: Any, task_id: str) -> Any:
    request = models.DescribeCommitContainerTaskRequest(region_id=REGION, task_id=[task_id])
    (found,) = client.describe_commit_container_task(request).body.commit_tasks
    return found


@pytest.mark.parametrize("killed", [False, True])
def test_commits_are_known_after_a_stop_or_a_kill(tmp_path: Path, killed: bool) -> None:
    options = ("--backend", "none", "--state", str(tmp_path / "state.json"))
    with command(*options, killed=killed) as it:
        client = ask(it)
        made = create(client)
        running(client, made)
        ended = commit(client, made)
        until(lambda: task(client, ended).task_status == "Failed")
        before = task(client, ended).to_map()
    slow = ["--time-scale", "1", "--quirk", "commit-phase=1000"]
    slow += [part for name in ("scheduling", "pending", "pull") for part in ("--quirk", f"{name}=0")]
    with command(*options, *slow, killed=killed) as it:
        client = ask(it)
        assert before == task(client, ended).to_map()
        running(client, made)
        going = commit(client, made)
        assert (going != ended, task(client, going).task_status) == (True, "Running")
    with command(*options) as it:
        client = ask(it)
        assert before == task(client, ended).to_map()
        until(lambda: task(client, going).task_status == "Failed")
        found = task(client, going)
        assert found.status_message == "The emulator was stopped before the image was made."
        assert [(each.phase, each.status) for each in found.commit_phase_infos] == [
            ("PullBaseImage", "Succeeded"),
            ("CommitContainer", "Failed"),
        ]
        assert found.task_finished_time


def test_a_commit_whose_image_is_made_is_finished_by_the_next_emulator(tmp_path: Path) -> None:
    async def body() -> str:
        first, second = (make_service(ScriptedBackend()) for _ in range(2))
        phases = [Phase(name=name, time=1.0, status="Succeeded") for name in PHASES[:2]]
        phases.append(Phase(name=PHASES[2], time=2.0))
        place = {"account": "a", "region": REGION, "group_id": "eci-1", "container": "main"}
        first.images.commits["t-1"] = Commit(id="t-1", serial=7, created=1.0, phases=phases, **place)
        file = tmp_path / "state.json"
        StateFile(first, file).save()
        StateFile(second, file).load()
        (resumed,) = second.images.commits_of("a", REGION)
        await settle()
        assert [phase.name for phase in resumed.phases] == list(PHASES)
        assert {phase.status for phase in resumed.phases} == {"Succeeded"}
        assert second.images.new_serial() == 8
        return resumed.status

    assert asyncio.run(body()) == "Succeeded"


def ready(client: Any) -> Any:
    """Wait for the one image cache."""

    def look() -> Any:
        request = models.DescribeImageCachesRequest(region_id=REGION)
        (found,) = client.describe_image_caches(request).body.image_caches
        return found if found.status == "Ready" else None

    return until(look)


def test_quirks_faults_and_a_responder_are_options_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "shouting.py").write_text(
        "class Shout:\n"
        "    def __init__(self, argv):\n"
        "        self.argv, self.exit_code = argv, None\n"
        "    def feed(self, data):\n"
        "        self.exit_code = 0\n"
        "        return [(1, ' '.join(self.argv).upper().encode())]\n"
    )
    file = tmp_path / "emulator.toml"
    file.write_text(
        'backend = "none"\nresponder = "shouting:Shout"\nfault = "ExecContainerCommand:throttle,nth=2"\n'
        'access-key-id = "emulator"\naccess-key-secret = "emulator-secret"\n'
        '[quirk]\nthrottle-code = "Throttling"\nunique-names = true\n'
    )
    with command("--config", str(file), "--quirk", "sync-bytes=3", env={"PYTHONPATH": str(tmp_path)}) as it:
        client = ask(it)
        made = create(client, "one")
        running(client, made)
        assert execute(client, made, '["hello"]', sync=True).sync_response == "HEL"
        assert code(lambda: execute(client, made, '["hello"]', sync=True)) == "Throttling"
        assert execute(client, made, '["hello"]', sync=True).sync_response == "HEL"
        # What is on the command line comes to what is in the file.
        assert code(lambda: create(client, "one")) == "InvalidParameter.DuplicatedName"


def test_the_services_own_time_is_scaled() -> None:
    with command("--backend", "none", "--time-scale", "1000000") as it:
        client = ask(it)
        made = create(client)
        with pytest.raises(Exception, match="IncorrectStatus"):
            execute(client, made, '["a"]')
        assert groups(client, made)[0].status == "Scheduling"


def test_options_come_from_a_file_too(tmp_path: Path) -> None:
    file = tmp_path / "emulator.toml"
    file.write_text('port = 1\nbackend = "none"\ntime-scale = 0.5\nfault = ["*:slow"]\n[quirk]\ncommand-limit = 10\n')
    options = read(["--config", str(file), "--port", "2"])
    assert (options.port, options.backend, options.time_scale) == (2, "none", 0.5)
    assert (options.fault, options.quirk) == (["*:slow"], ["command-limit=10"])
    file.write_text("colour = 1\n")
    with pytest.raises(UsageError, match="unknown option 'colour'"):
        read(["--config", str(file)])


def test_keys_come_in_pairs() -> None:
    with pytest.raises(UsageError, match="in pairs"):
        keys(read(["--access-key-id", "a"]))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--quirk", "nonsense=1"], "unknown quirk: nonsense=1"),
        (["--fault", "nonsense"], "fault 'nonsense'"),
        (["--fault", "DescribeContainerGroup:lost"], "close to it: DescribeContainerGroups"),
        (["--responder", "nonsense"], "MODULE:NAME"),
        (
            ["--responder", "tests:It", "--backend", "local"],
            "responder 'tests:It' is for the backend none, not local",
        ),
        (["--region", ""], "--region"),
        (["--quirk", "quota-cpu=-3"], "quirk quota-cpu is a number from 0 on, not '-3'"),
        (["--config", "/nonexistent"], "/nonexistent"),
        (["--nonsense"], "--nonsense"),
        (["--port", "x"], "--port"),
        (["--port", "99999"], "99999"),
        (["--port", "-1"], "-1"),
        (["--time-scale", "-1"], "-1"),
        (["--tls", "certificate.pem"], "a certificate and its key"),
        (["--time-scale", "nan"], "nan"),
        (["--tls", "/nonexistent", "/b"], "--tls /nonexistent: No such file or directory"),
        (["--tls", __file__, "/nonexistent"], "--tls /nonexistent: No such file or directory"),
        (["--tls", __file__, __file__], f"--tls {__file__} {__file__}: no certificate with its key: "),
        (["--host", "300.1.1.1"], "--host 300.1.1.1: "),
        (["--host", "a..b"], "--host a..b: "),
        (["--state", __file__], "no emulator's state"),
        (["--state", "/nonexistent/x"], "--state /nonexistent/x: it cannot be written: No such file or directory"),
        (["--state", "/dev/null/x"], "--state /dev/null/x: it cannot be written: Not a directory"),
        (["--state", "/proc/x"], "--state /proc/x: it cannot be written: "),
        (["--state", "/"], "--state /: it is a directory"),
        (["--state", ""], "--state .: it is a directory"),
    ],
)
def test_a_wrong_option_is_one_line_that_names_it(options: list[str], words: str) -> None:
    argv = [sys.executable, "-m", "sandboxkit_eci.emulator", "--backend", "none", *options]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
