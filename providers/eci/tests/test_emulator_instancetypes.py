"""Instance types: their names, and the groups that are made of them."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.instancetypes import GPU, TIMES_XLARGE, named
from sandboxkit_eci.emulator.testing import Emulator

from .asking import REGION, code, create, groups, no_proxy, running, sdk
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("ecs.c6.large", (2, 4, 0)),
        ("ecs.c7a.xlarge", (4, 8, 0)),
        ("ecs.g6.2xlarge", (8, 32, 0)),
        ("ecs.r6.3xlarge", (12, 96, 0)),
        ("ecs.c6.13xlarge", (52, 96, 0)),
        ("ecs.r6.26xlarge", (104, 768, 0)),
        ("ecs.hfg7.large", (2, 8, 0)),
        ("ecs.sn1ne.large", (2, 4, 0)),
        ("ecs.t5-lc2m1.nano", (1, 0.5, 0)),
        ("ecs.t6-c1m4.xlarge", (4, 16, 0)),
        ("ecs.u1-c1m2.large", (2, 4, 0)),
        ("ecs.gn6i-c4g1.xlarge", (4, 15, 1)),
        ("ecs.gn7i-c32g1.32xlarge", (128, 752, 4)),
    ],
)
def test_a_name_says_how_large_a_type_is(name: str, size: tuple[float, float, int]) -> None:
    kind = named(name)
    assert kind is not None
    assert size == (kind.cpu, kind.memory, kind.gpus)


def test_every_gpu_type_has_a_size_that_there_is() -> None:
    for family, rows in GPU.items():
        for rest in rows:
            kind = named(f"ecs.{family}-{rest}")
            assert kind is not None
            assert kind.family == f"ecs.{family}"
            assert kind.gpus >= 1
    assert 1 not in TIMES_XLARGE


@pytest.mark.parametrize(
    "name",
    [
        "c6.large",
        "ecs.c6",
        "ecs.c6.huge",
        "ecs.c6.1xlarge",
        "ecs.c6.1000xlarge",
        "ecs.x6.large",
        "ecs.gn6i-c4g1.large",
        "ecs.gn6i.xlarge",
        "ecs.t6.large",
        "ecs.hfsn1ne.large",
        "ECS.C6.LARGE",
        "2-4Gi",
    ],
)
def test_what_is_no_type_is_none_and_refused(eci: Emulator, name: str) -> None:
    assert named(name) is None
    client = sdk(eci)
    assert code(lambda: create(client, instance_type=f"ecs.c6.large,{name}")) == "InvalidInstanceTypeForEciBuy"
    assert groups(client) == []


def test_a_group_is_as_large_as_its_type_whatever_else_is_asked_for(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client, instance_type="ecs.gn6i-c4g1.xlarge, ecs.c6.large", cpu=1.0, memory=2.0)
    group = running(client, made)
    assert (group.cpu, group.memory, group.instance_type) == (4, 15, "ecs.gn6i-c4g1.xlarge")
    assert (backend.machines[0].spec.cpu, backend.machines[0].spec.memory) == (4, 15)
    metric = models.DescribeContainerGroupMetricRequest(region_id=REGION, container_group_id=made)
    (record,) = client.describe_container_group_metric(metric).body.records
    assert (record.cpu.limit, record.memory.available_bytes) == (4000, 15 << 30)
    assert eci.service.groups.used_cpu(eci.service.keys["emulator"].account, REGION) == 4


def test_an_update_leaves_a_group_its_type(eci: Emulator) -> None:
    client = sdk(eci)
    made = create(client, instance_type="ecs.g6.xlarge")
    running(client, made)
    change: Any = models.UpdateContainerGroupRequest(region_id=REGION, container_group_id=made, cpu=1.0, memory=2.0)
    client.update_container_group(change)
    group = running(client, made)
    assert (group.cpu, group.memory, group.instance_type) == (4, 16, "ecs.g6.xlarge")


def test_a_group_without_a_type_says_none(eci: Emulator) -> None:
    client = sdk(eci)
    group = running(client, create(client, cpu=7.0, memory=13.0, instance_type=""))
    assert (group.cpu, group.memory, group.instance_type) == (8, 16, "")


def test_a_spot_group_of_a_type_with_one_vcpu_is_refused(eci: Emulator) -> None:
    client = sdk(eci)
    asked: Any = {"spot_strategy": "SpotAsPriceGo", "instance_type": "ecs.t5-lc1m1.small"}
    assert code(lambda: create(client, **asked)) == "InvalidSpotCpuMemorySpec"
    assert create(client, **{**asked, "instance_type": "ecs.c6.large", "cpu": 1.0})


def test_the_price_of_a_type_is_that_of_its_size(eci: Emulator) -> None:
    def price(**given: Any) -> float:
        request = models.DescribeContainerGroupPriceRequest(region_id=REGION, **given)
        return float(sdk(eci).describe_container_group_price(request).body.price_info.price.trade_price)

    assert price(instance_type="ecs.c6.xlarge") == price(cpu=4.0, memory=8.0)


def test_gpus_are_told_of_and_refused_where_the_type_has_too_few(eci: Emulator) -> None:
    client, one, two = sdk(eci), {"gpu": 1}, {"gpu": 2}
    t4 = "ecs.gn6i-c4g1.xlarge"
    assert code(lambda: create(client, container=one)) == "InvalidParameter"
    assert code(lambda: create(client, container=one, instance_type="ecs.c6.large")) == "InvalidParameter"
    assert code(lambda: create(client, container=one, instance_type=f"{t4},ecs.c6.large")) == "InvalidParameter"
    assert code(lambda: create(client, container=two, instance_type=t4)) == "InvalidParameter"
    assert code(lambda: create(client, container={"gpu": -1}, instance_type=t4)) == "InvalidParameter"
    assert groups(client) == []
    group = running(client, create(client, container=one, instance_type=t4))
    assert (group.containers[0].gpu, group.instance_type) == (1, t4)
    assert running(client, create(client, container={"gpu": 0})).containers[0].gpu == 0
    assert running(client, create(client, container=two, instance_type="ecs.gn6i-c24g1.12xlarge"))


def test_the_containers_of_a_group_share_its_gpus_and_those_that_run_first_do_not(eci: Emulator) -> None:
    client = sdk(eci)

    def make(main: int, other: int, first: int) -> str:
        containers = [
            models.CreateContainerGroupRequestContainer(name=name, image="busybox", gpu=gpus)
            for name, gpus in (("main", main), ("other", other))
        ]
        init = models.CreateContainerGroupRequestInitContainer(name="first", image="busybox", gpu=first)
        request = models.CreateContainerGroupRequest(
            region_id=REGION,
            container_group_name="group",
            container=containers,
            init_container=[init],
            instance_type="ecs.gn6i-c24g1.12xlarge",
        )
        return str(client.create_container_group(request).body.container_group_id)

    assert make(1, 1, 2)
    assert code(lambda: make(2, 1, 0)) == "InvalidParameter"
    assert code(lambda: make(1, 0, 3)) == "InvalidParameter"
