"""The API's actions on groups, as the real SDK sees them."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.service import Answer
from sandboxkit_eci.emulator.signature import Key, Request
from sandboxkit_eci.emulator.testing import Emulator, emulator

from .asking import REGION, code, create, delete, execute, groups, listing, no_proxy, running, sdk, until
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


INIT = models.CreateContainerGroupRequestInitContainer(name="first", image="busybox")
VOLUME = models.CreateContainerGroupRequestVolume(name="data", type="EmptyDirVolume")


def config_file(content: str) -> models.CreateContainerGroupRequestVolume:
    path = models.CreateContainerGroupRequestVolumeConfigFileVolumeConfigFileToPath(path="a", content=content)
    files = models.CreateContainerGroupRequestVolumeConfigFileVolume(config_file_to_path=[path])
    return models.CreateContainerGroupRequestVolume(name="files", type="ConfigFileVolume", config_file_volume=files)


def test_a_group_is_made_listed_and_deleted(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client, tags={"owner": "me"}, cpu=1.0, memory=2.0)
    group = running(client, made)
    assert made.startswith("eci-bp1")
    assert (group.cpu, group.memory, group.restart_policy) == (1.0, 2.0, "Always")
    assert (group.containers[0].current_state.state, group.containers[0].name) == ("Running", "main")
    assert [(tag.key, tag.value) for tag in group.tags] == [("owner", "me")]
    assert (group.succeeded_time, group.containers[0].current_state.finish_time) == ("", "")
    delete(client, made)
    until(lambda: not groups(client, made))
    assert code(lambda: delete(client, made)) == "InvalidParameter.NotFound"


def test_a_key_sees_only_its_own_groups_and_a_region_only_those_in_it(eci: Emulator) -> None:
    made = create(sdk(eci))
    elsewhere = models.DeleteContainerGroupRequest(region_id="cn-beijing", container_group_id=made)
    assert code(lambda: sdk(eci).delete_container_group(elsewhere)) == "InvalidParameter.NotFound"
    assert [made] == [group.container_group_id for group in groups(sdk(eci))]
    assert groups(sdk(eci), region_id="cn-beijing") == []
    assert code(lambda: groups(sdk(eci, access_key_id="x"))) == "InvalidAccessKeyId.NotFound"
    assert code(lambda: groups(sdk(eci, access_key_secret="x"))) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("last", ["empty", "absent"])
def test_pages_hold_every_group_once_while_others_come_and_go(last: str) -> None:
    with emulator(NoBackend(), quirks={"last-token": last}) as eci:
        client = sdk(eci)
        made = [create(client, f"g-{number}") for number in range(45)]
        first = listing(client)
        assert (len(first.container_groups), first.total_count, bool(first.next_token)) == (20, 45, True)
        delete(client, made[0])
        until(lambda: not groups(client, made[0]))
        create(client, "new")
        second = listing(client, next_token=first.next_token)
        third = listing(client, next_token=second.next_token)
        seen = [group.container_group_id for page in (first, second, third) for group in page.container_groups]
        assert made[:0:-1] == seen
        assert third.next_token == ("" if last == "empty" else None)
        assert code(lambda: listing(client, next_token="nonsense")) == "InvalidParameter"


def test_a_list_is_filtered(eci: Emulator) -> None:
    client = sdk(eci)
    one = create(client, "one", tags={"a": "1", "b": "1"})
    two = create(client, "two", tags={"a": "1", "b": "2"})
    running(client, one)
    running(client, two)

    def ids(*wanted: str, **given: Any) -> set[str]:
        return {group.container_group_id for group in groups(client, *wanted, **given)}

    assert {one, two} == ids(tags={"a": "1"})
    assert {two} == ids(tags={"a": "1", "b": "2"})
    assert set() == ids(tags={"a": "2"})
    assert {one} == ids(one, "eci-unknown")
    assert {one} == ids(container_group_name="one")
    assert ({one, two}, set()) == (ids(status="Running"), ids(status="Failed"))
    assert {one, two} == ids(zone_id=f"{REGION}-a")
    assert set() == ids(v_switch_id="vsw-other")


def test_a_list_has_its_limits(eci: Emulator) -> None:
    client = sdk(eci)
    assert code(lambda: groups(client, limit=21)) == "InvalidParameter"
    assert code(lambda: groups(client, limit=0)) == "InvalidParameter"
    assert code(lambda: groups(client, *(f"eci-{number}" for number in range(21)))) == "InvalidParameter"
    bad = models.DescribeContainerGroupsRequest(region_id=REGION, container_group_ids="eci-1")
    assert code(lambda: client.describe_container_groups(bad)) == "InvalidParameter"


def test_one_client_token_makes_one_group(eci: Emulator) -> None:
    client = sdk(eci)
    first = create(client, client_token="token", cpu=2.0)
    assert first == create(client, client_token="token", cpu=2.0)
    assert code(lambda: create(client, client_token="token", cpu=4.0)) == "IdempotentParameterMismatch"
    assert len(groups(client)) == 1


def test_a_token_may_be_all_that_is_compared() -> None:
    with emulator(NoBackend(), quirks={"client-token-compared": False}) as eci:
        client = sdk(eci)
        assert create(client, client_token="token", cpu=2.0) == create(client, client_token="token", cpu=4.0)


@pytest.mark.parametrize("what", ["original", "new"])
def test_a_token_of_a_group_that_is_gone(what: str) -> None:
    with emulator(NoBackend(), quirks={"client-token-of-deleted": what}) as eci:
        client = sdk(eci)
        first = create(client, client_token="token")
        delete(client, first)
        until(lambda: not groups(client))
        assert (create(client, client_token="token") == first) == (what == "original")


@pytest.mark.parametrize(
    ("given", "refusal"),
    [
        ({"name": "-x"}, "InvalidParameter"),
        ({"name": "x"}, "InvalidParameter"),
        ({"name": "Upper"}, "InvalidParameter"),
        ({"cpu": 64.0, "memory": 1024.0}, "InvalidParameter.CPU.Memory"),
        ({"container": {"name": None}}, "MissingContainer.1.Name"),
        ({"container": {"image": None}}, "MissingContainer.Image"),
        ({"container": {"command": ["x" * 257]}}, "InvalidParameter.ValueExceeded"),
        ({"container": {"command": ["x"] * 21}}, "InvalidParameter.ValueExceeded"),
        ({"container": {"arg": ["x"] * 11}}, "InvalidParameter.ValueExceeded"),
        ({"restart_policy": "Sometimes"}, "InvalidParameter"),
        ({"active_deadline_seconds": 0}, "InvalidParameter"),
        ({"client_token": "x" * 65}, "InvalidParameter"),
        ({"tags": {"aliyun-x": "1"}}, "InvalidParameter"),
        ({"tags": {"x" * 65: "1"}}, "InvalidParameter"),
        ({"tags": {"x": "1" * 129}}, "InvalidParameter"),
        ({"init_container": [INIT, INIT]}, "InvalidParameter.DuplicatedName"),
        ({"volume": [VOLUME, VOLUME]}, "InvalidParameter.DuplicatedVolumeName"),
        ({"volume": [config_file("?")]}, "InvalidParameter"),
        ({"volume": [config_file("A" * 43696)]}, "InvalidParameter.ValueExceeded"),
        ({"tags": {str(number): "" for number in range(21)}}, "InvalidParameter.ValueExceeded"),
        ({"spot_strategy": "SpotAsPriceGo", "cpu": 1.0}, "InvalidSpotCpuMemorySpec"),
        ({"spot_strategy": "SpotWithPriceLimit"}, "MissingSpotPriceLimit"),
        ({"dry_run": True}, "DryRunOperation"),
        ({"cpu": 2000.0}, "InvalidParameter.CPU.Memory"),
    ],
)
def test_a_create_that_cannot_be_granted_is_refused(eci: Emulator, given: dict[str, Any], refusal: str) -> None:
    client = sdk(eci)
    assert code(lambda: create(client, **given)) == refusal
    assert groups(client) == []


@pytest.mark.parametrize("refusal", ["QuotaExceeded", "InvalidParameter.ValueExceeded"])
def test_a_quota_holds_for_what_is_in_use(refusal: str) -> None:
    with emulator(NoBackend(), quirks={"quota-cpu": "4", "quota-code": refusal}) as eci:
        client = sdk(eci)
        first = create(client, cpu=2.0, memory=4.0)
        create(client, cpu=2.0, memory=4.0)
        assert code(lambda: create(client, cpu=2.0, memory=4.0)) == refusal
        delete(client, first)
        until(lambda: not groups(client, first))
        create(client, cpu=2.0, memory=4.0)


def test_a_restart_and_an_update_are_for_groups_that_run() -> None:
    backend = ScriptedBackend()
    with emulator(backend) as eci:
        client = sdk(eci)
        made = create(client, restart_policy="Never")
        running(client, made)
        restart = models.RestartContainerGroupRequest(region_id=REGION, container_group_id=made)
        client.restart_container_group(restart)
        running(client, made)
        until(lambda: len(backend.machines) == 2)
        container = models.UpdateContainerGroupRequestContainer(name="main", image="other")
        update = models.UpdateContainerGroupRequest(region_id=REGION, container_group_id=made, container=[container])
        client.update_container_group(update)
        assert running(client, made).containers[0].image == "other"
        until(lambda: len(backend.machines) == 3)

        async def end() -> None:
            backend.machines[-1].end(0)

        eci.run(end())
        until(lambda: groups(client, made)[0].status == "Succeeded")
        assert code(lambda: client.restart_container_group(restart)) == "IncorrectStatus"
        assert code(lambda: client.update_container_group(update)) == "IncorrectStatus"
        assert code(lambda: execute(client, made, '["ls"]')) == "IncorrectStatus"


def test_env_can_be_hidden(eci: Emulator) -> None:
    client = sdk(eci)
    variable = models.CreateContainerGroupRequestContainerEnvironmentVar(key="A", value="secret")
    shown = create(client, container={"environment_var": [variable]})
    hidden = create(client, container={"environment_var": [variable], "environment_var_hide": True})
    assert [each.key for each in groups(client, shown)[0].containers[0].environment_vars] == ["A"]
    assert groups(client, hidden)[0].containers[0].environment_vars == []


@pytest.mark.parametrize("key", ["startedAt", "StartedAtstartedAt"])
def test_statuses_are_told_as_kubernetes_has_them(key: str) -> None:
    with emulator(NoBackend(), quirks={"started-at-key": key}) as eci:
        client = sdk(eci)
        made = create(client)
        running(client, made)
        request = models.DescribeContainerGroupStatusRequest(region_id=REGION)
        data = client.describe_container_group_status(request).body.to_map()["Data"][0]
        assert (made, "Running", "Running") == (data["ContainerGroupId"], data["Status"], data["PodStatus"]["Phase"])
        state = data["PodStatus"]["ContainerStatuses"][0]
        assert (state["Ready"], state["Name"]) == (True, "main")


def test_events_are_told(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    request = models.DescribeContainerGroupEventsRequest(region_id=REGION, container_group_ids=f'["{made}"]')
    data = client.describe_container_group_events(request).body.data[0]
    assert "Started" in [event.reason for event in data.events]
    assert groups(client, made)[0].events == []
    assert "Started" in [event.reason for event in groups(client, made, with_event=True)[0].events]


@pytest.mark.parametrize("value", ["error", "success"])
def test_what_a_delete_of_nothing_answers(value: str) -> None:
    with emulator(NoBackend(), quirks={"delete-missing": value, "not-found-code": "ContainerGroup.NotFound"}) as eci:
        client = sdk(eci)
        if value == "success":
            delete(client, "eci-nothing")
        else:
            assert code(lambda: delete(client, "eci-nothing")) == "ContainerGroup.NotFound"


def test_an_action_that_is_not_there_is_named(eci: Emulator) -> None:
    client = sdk(eci)
    with pytest.raises(Exception, match=r"InvalidAction\.NotFound.*DescribeVirtualNodes"):
        client.describe_virtual_nodes(models.DescribeVirtualNodesRequest(region_id=REGION))


def test_a_key_of_another_account_sees_nothing_of_this_one() -> None:
    keys = [Key(id="a", secret="s", account="one"), Key(id="b", secret="s", account="two")]
    with emulator(NoBackend(), keys=keys) as eci:
        one, two = (sdk(eci, access_key_id=name, access_key_secret="s") for name in "ab")
        made = create(one, client_token="token")
        assert groups(two) == []
        assert code(lambda: delete(two, made)) == "InvalidParameter.NotFound"
        assert made != create(two, client_token="token")


def test_a_request_is_good_once(eci: Emulator) -> None:
    seen: list[tuple[Request, str]] = []
    handle = eci.service.handle

    async def record(request: Request, origin: str) -> Answer:
        seen.append((request, origin))
        return await handle(request, origin)

    eci.service.handle = record  # type: ignore[method-assign]
    groups(sdk(eci))
    answer = eci.run(handle(*seen[0]))
    assert (answer.status, answer.body["Code"]) == (400, "SignatureNonceUsed")


def test_calls_are_counted(eci: Emulator) -> None:
    client = sdk(eci)
    groups(client)
    code(lambda: execute(client, "eci-nothing", '["ls"]'))
    assert eci.requests == {"DescribeContainerGroups": 1, "ExecContainerCommand": 1}
    assert dict(eci.counts.failed) == {"ExecContainerCommand": 1}
