"""Logs, metrics, tags, images and the account, as the real SDK sees them."""

from __future__ import annotations

import time
from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.actions.table import ACTIONS
from sandboxkit_eci.emulator.backend import Interface, Usage
from sandboxkit_eci.emulator.backends.nothing import NoBackend
from sandboxkit_eci.emulator.schemas import SCHEMAS, UNSUPPORTED
from sandboxkit_eci.emulator.testing import Emulator, emulator

from .asking import REGION, code, create, groups, no_proxy, running, sdk, until
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


def log(client: Any, group: str, **given: Any) -> str:
    request = models.DescribeContainerLogRequest(
        region_id=REGION, container_group_id=group, container_name="main", **given
    )
    return str(client.describe_container_log(request).body.content)


def test_a_log_is_what_the_container_wrote(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client, restart_policy="Never")
    running(client, made)
    assert log(client, made) == ""
    backend.machines[0].output = b"one\ntwo\nthr\xffee\n"
    assert log(client, made) == "one\ntwo\nthr\N{REPLACEMENT CHARACTER}ee\n"
    assert log(client, made, tail=2, limit_bytes=4) == "\N{REPLACEMENT CHARACTER}ee\n"
    assert code(lambda: log(client, made, tail=2001)) == "InvalidParameter"
    assert code(lambda: log(client, made, limit_bytes=0)) == "InvalidParameter"

    async def end() -> None:
        backend.machines[0].end(0)

    eci.run(end())
    until(lambda: groups(client, made)[0].status == "Succeeded")
    assert log(client, made, tail=1) == "thr\N{REPLACEMENT CHARACTER}ee\n"


def test_a_log_can_be_asked_for_from_a_moment_on_and_with_its_times(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    backend.machines[0].output = b"old\nnew\n"
    backend.machines[0].times = ((0, 1_600_000_000.25), (4, time.time()))
    assert log(client, made, since_seconds=3600) == "new\n"
    assert log(client, made, start_time="2020-09-13T12:26:40Z") == "old\nnew\n"
    assert log(client, made, start_time="2020-09-13T12:26:41Z") == "new\n"
    lines = log(client, made, timestamps=True).splitlines()
    assert lines[0] == "2020-09-13T12:26:40.250000000Z old"
    assert lines[1].startswith("20")
    assert lines[1].endswith("Z new")
    assert code(lambda: log(client, made, start_time="yesterday")) == "InvalidParameter"


def test_the_log_before_a_restart_is_there(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    backend.machines[0].output = b"before\n"
    client.restart_container_group(models.RestartContainerGroupRequest(region_id=REGION, container_group_id=made))
    until(lambda: len(backend.machines) == 2)
    running(client, made)
    assert (log(client, made), log(client, made, last_time=True)) == ("", "before\n")


def test_metrics_are_those_of_the_machine(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client, cpu=1.0, memory=2.0)
    running(client, made)
    backend.machines[0].used = Usage(cpu_nanoseconds=5_000_000, memory_bytes=1 << 20)
    request = models.DescribeContainerGroupMetricRequest(region_id=REGION, container_group_id=made)
    (record,) = client.describe_container_group_metric(request).body.records
    assert (record.cpu.usage_core_nano_seconds, record.memory.usage_bytes) == (5_000_000, 1 << 20)
    assert record.memory.available_bytes == (2 << 30) - (1 << 20)
    assert [container.name for container in record.containers] == ["main"]
    lan = Interface(name="eth0", received=5, sent=7, sent_drops=1)
    backend.machines[0].used = Usage(memory_bytes=1 << 20, cache_bytes=1 << 19, interfaces=(lan,))
    (record,) = client.describe_container_group_metric(request).body.records
    assert (record.memory.cache, record.memory.rss, record.memory.working_set) == (1 << 19, 1 << 19, 1 << 19)
    (shown,) = record.network.interfaces
    assert (shown.name, shown.rx_bytes, shown.tx_bytes, shown.tx_drops) == ("eth0", 5, 7, 1)


def test_metrics_tell_of_the_disk_what_is_known(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client, ephemeral_storage=10)
    running(client, made)
    request = models.DescribeContainerGroupMetricRequest(region_id=REGION, container_group_id=made)
    (record,) = client.describe_container_group_metric(request).body.records
    assert (record.disk, record.filesystem) == ([], [])
    backend.machines[0].used = Usage(read_bytes=0, written_bytes=7, files_bytes=1 << 30)
    (record,) = client.describe_container_group_metric(request).body.records
    (disk,), (partition,) = record.disk, record.filesystem
    assert (disk.device, disk.read_bytes, disk.write_bytes, disk.read_io) == ("vda", 0, 7, None)
    assert (partition.category, partition.capacity >> 30, partition.usage >> 30) == ("System", 40, 1)
    assert partition.available >> 30 == 39


def test_metrics_are_of_the_time_that_is_asked_for(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)

    def records(**given: str) -> int:
        request = models.DescribeContainerGroupMetricRequest(region_id=REGION, container_group_id=made, **given)
        return len(client.describe_container_group_metric(request).body.records)

    past, future = "2018-08-02T15:00:00Z", "2118-08-02T15:00:00Z"
    assert (records(), records(start_time=past), records(start_time=past, end_time=future)) == (1, 1, 1)
    assert (records(end_time=past), records(start_time=future)) == (0, 0)
    assert code(lambda: records(start_time=future, end_time=past)) == "InvalidParameter"
    assert code(lambda: records(end_time="now")) == "InvalidParameter"


def tags(client: Any, group: str) -> dict[str, str]:
    request = models.ListTagResourcesRequest(region_id=REGION, resource_type="containergroup", resource_id=[group])
    return {tag.tag_key: tag.tag_value for tag in client.list_tag_resources(request).body.tag_resources}


def test_tags_come_and_go(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client, tags={"a": "1", "b": "1"})
    common: dict[str, Any] = {"region_id": REGION, "resource_type": "containergroup", "resource_id": [made]}
    new = [models.TagResourcesRequestTag(key="b", value="2"), models.TagResourcesRequestTag(key="c", value="3")]
    client.tag_resources(models.TagResourcesRequest(tag=new, **common))
    assert tags(client, made) == {"a": "1", "b": "2", "c": "3"}
    assert made == groups(client, tags={"b": "2"})[0].container_group_id
    client.untag_resources(models.UntagResourcesRequest(tag_key=["a"], **common))
    assert tags(client, made) == {"b": "2", "c": "3"}
    client.untag_resources(models.UntagResourcesRequest(all=True, **common))
    assert tags(client, made) == {}
    many = [models.TagResourcesRequestTag(key=str(number), value="") for number in range(21)]
    too_many = models.TagResourcesRequest(tag=many, **common)
    assert code(lambda: client.tag_resources(too_many)) == "InvalidParameter.ValueExceeded"
    unknown = models.UntagResourcesRequest(**{**common, "resource_id": ["eci-nothing"]})
    assert code(lambda: client.untag_resources(unknown)) == "InvalidParameter.NotFound"


def commit(client: Any, group: str) -> str:
    image = models.CommitContainerRequestImage(repository="r.io/ns/name", tag="v1")
    arn = models.CommitContainerRequestArn(role_arn="acs:ram::1:role/x", role_type="service")
    request = models.CommitContainerRequest(
        region_id=REGION, container_group_id=group, container_name="main", image=image, arn=arn
    )
    return str(client.commit_container(request).body.task_id)


def task(client: Any, task_id: str) -> Any:
    request = models.DescribeCommitContainerTaskRequest(region_id=REGION, task_id=[task_id])
    (found,) = client.describe_commit_container_task(request).body.commit_tasks
    return found


def test_a_container_becomes_an_image(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    made_task = commit(client, made)
    until(lambda: task(client, made_task).task_status == "Succeeded")
    done = task(client, made_task)
    assert [e.phase for e in done.commit_phase_infos] == ["PullBaseImage", "CommitContainer", "PushCommittedImage"]
    assert (backend.machines[0].committed, done.task_progress) == (["r.io/ns/name:v1"], "100%")


def test_a_commit_that_fails_says_why() -> None:
    with emulator(NoBackend()) as eci:
        client = sdk(eci)
        made = create(client)
        running(client, made)
        made_task = commit(client, made)
        until(lambda: task(client, made_task).task_status == "Failed")
        assert "no files" in task(client, made_task).status_message


def test_an_image_cache_is_made_and_hit(eci: Emulator) -> None:
    client = sdk(eci)
    request = models.CreateImageCacheRequest(
        region_id=REGION, image_cache_name="cache", image=["busybox"], client_token="t"
    )
    made = client.create_image_cache(request).body.image_cache_id
    assert made == client.create_image_cache(request).body.image_cache_id

    def caches() -> list[Any]:
        found = models.DescribeImageCachesRequest(region_id=REGION, image_cache_id=made)
        return list(client.describe_image_caches(found).body.image_caches)

    until(lambda: caches()[0].status == "Ready")
    assert (caches()[0].images, caches()[0].snapshot_id.startswith("s-")) == (["busybox"], True)

    def reasons(**given: Any) -> set[str]:
        group = create(client, **given)
        running(client, group)
        return {event.reason for event in groups(client, group, with_event=True)[0].events}

    assert "SuccessfulHitImageCache" in reasons(auto_match_image_cache=True)
    assert "SuccessfulHitImageCache" in reasons(image_snapshot_id=caches()[0].snapshot_id)
    assert "Pulled" in reasons()
    other: Any = {"container": {"image": "other"}, "auto_match_image_cache": True}
    assert "MissingImageCache" in reasons(**other)
    assert "SuccessfulHitImageCache" in reasons(**other)
    assert code(lambda: create(client, image_snapshot_id=made)) == "ImageSnapshot.NotFound"
    client.delete_image_cache(models.DeleteImageCacheRequest(region_id=REGION, image_cache_id=made))
    assert caches() == []
    again = models.DeleteImageCacheRequest(region_id=REGION, image_cache_id=made)
    assert code(lambda: client.delete_image_cache(again)) == "InvalidParameter.NotFound"


def test_the_account_is_described(eci: Emulator) -> None:
    client = sdk(eci)
    regions = client.describe_regions(models.DescribeRegionsRequest()).body.regions
    assert REGION in [region.region_id for region in regions]
    usage = client.list_usage(models.ListUsageRequest(region_id=REGION)).body.attributes
    assert usage["MaxCpu"] == 1000
    resource = models.DescribeAvailableResourceRequestDestinationResource(
        category="InstanceType", value="ecs.c6.large"
    )
    asked = models.DescribeAvailableResourceRequest(region_id=REGION, destination_resource=resource)
    zones = client.describe_available_resource(asked).body.available_zones.available_zone
    assert f"{REGION}-a" in [zone.zone_id for zone in zones]


@pytest.mark.parametrize(("per", "price"), [("hour", 0.441), ("second", 0.0001225)])
def test_a_price_is_that_of_the_size_that_is_made(per: str, price: float) -> None:
    with emulator(NoBackend(), quirks={"price-per": per}) as eci:
        request = models.DescribeContainerGroupPriceRequest(region_id=REGION, cpu=2.0, memory=3.0)
        info = sdk(eci).describe_container_group_price(request).body.price_info
        assert info.price.trade_price == pytest.approx(price, rel=0.01)


def test_every_action_has_its_parameters() -> None:
    assert set(ACTIONS) == set(SCHEMAS)
    assert not UNSUPPORTED & set(ACTIONS)
