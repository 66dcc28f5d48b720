"""Stock: who asks first is told what a create would meet."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.faults import Faults
from sandboxkit_eci.emulator.instancetypes import is_family, named, usual
from sandboxkit_eci.emulator.testing import Emulator

from .asking import REGION, code, create, groups, no_proxy, running, sdk, until

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")

CREATE = "CreateContainerGroup"
A, B, C = (f"{REGION}-{letter}" for letter in "abc")


def available(
    eci: Emulator, zone: str | None = None, spot: dict[str, Any] | None = None, **asked: Any
) -> dict[tuple[str, str], str]:
    """Give the stock of each zone and name."""
    request = models.DescribeAvailableResourceRequest(
        region_id=REGION,
        zone_id=zone,
        destination_resource=models.DescribeAvailableResourceRequestDestinationResource(**asked),
        spot_resource=None if spot is None else models.DescribeAvailableResourceRequestSpotResource(**spot),
    )
    found = {}
    for place in sdk(eci).describe_available_resource(request).body.available_zones.available_zone:
        (resource,) = place.available_resources.available_resource
        assert resource.type == asked["category"]
        for each in resource.supported_resources.supported_resource:
            found[place.zone_id, each.value] = each.status_category
    return found


def of_type(eci: Emulator, name: str = "ecs.c6.large", **more: Any) -> dict[tuple[str, str], str]:
    return available(eci, category="InstanceType", value=name, **more)


def test_everything_is_in_stock_where_nothing_is_said(eci: Emulator) -> None:
    assert of_type(eci) == {(zone, "ecs.c6.large"): "WithStock" for zone in (A, B, C)}
    assert of_type(eci, zone=B) == {(B, "ecs.c6.large"): "WithStock"}
    assert of_type(eci, zone="cn-hangzhou-z") == {}
    assert of_type(eci, "ecs.none.large") == {}


@pytest.mark.parametrize("gone", ["", "=cn-hangzhou-b", "=ecs.c6.large", "=ecs.c6", "=ecs.g6.large"])
@pytest.mark.parametrize("zone", [A, B])
def test_who_asks_is_told_what_a_create_then_meets(eci: Emulator, gone: str, zone: str) -> None:
    eci.inject(f"{CREATE}:no-stock{gone}")
    said = of_type(eci, zone=zone)[zone, "ecs.c6.large"]
    client = sdk(eci)

    def made() -> str:
        return create(client, zone_id=zone, instance_type="ecs.c6.large")

    expected = "WithoutStock" if gone in ("", f"={zone}", "=ecs.c6.large", "=ecs.c6") else "WithStock"
    assert said == expected
    if expected == "WithStock":
        assert running(client, made()).zone_id == zone
    else:
        assert code(made) == "OperationDenied.NoStock"


def test_the_first_type_and_zone_with_stock_are_taken(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:no-stock=ecs.c6.large", f"{CREATE}:no-stock={A}")
    client = sdk(eci)
    group = running(client, create(client, instance_type="ecs.c6.large,ecs.g6.large"))
    assert (group.instance_type, group.memory, group.zone_id) == ("ecs.g6.large", 8, B)
    assert [group.container_group_id] == [each.container_group_id for each in groups(client, zone_id=B)]
    assert groups(client, zone_id=A) == []
    assert code(lambda: create(client, instance_type="ecs.c6.large")) == "OperationDenied.NoStock"
    assert code(lambda: create(client, zone_id=A)) == "OperationDenied.NoStock"


def test_a_group_that_would_not_be_scheduled_is_told_of_too(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:schedule-failed,times=1")
    assert set(of_type(eci).values()) == {"WithoutStock"}
    client = sdk(eci)
    made = create(client, instance_type="ecs.c6.large")
    until(lambda: groups(client, made)[0].status == "ScheduleFailed")
    assert set(of_type(eci).values()) == {"WithStock"}


def test_asking_counts_as_no_create(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:no-stock,nth=2")
    assert set(of_type(eci).values()) == {"WithStock"}
    create(sdk(eci))
    assert [set(of_type(eci).values()) for _ in range(3)] == [{"WithoutStock"}] * 3
    assert code(lambda: create(sdk(eci))) == "OperationDenied.NoStock"
    assert set(of_type(eci).values()) == {"WithStock"}


def test_chance_is_foreseen() -> None:
    faults = Faults([f"{CREATE}:no-stock,p=0.5"], seed=3)
    seen = [(len(faults.foresee(CREATE)), len(faults.draw(CREATE))) for _ in range(40)]
    assert all(told == met for told, met in seen)
    assert {met for _, met in seen} == {0, 1}


def test_types_can_be_asked_for_by_size(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:no-stock=ecs.c7")
    found = available(eci, zone=A, category="InstanceType", cores=2, memory=4.0)
    assert found[A, "ecs.c6.large"] == "WithStock"
    assert found[A, "ecs.c7.large"] == "WithoutStock"
    assert (A, "ecs.g6.large") not in found
    assert available(eci, category="InstanceType", value="ecs.c6.large", cores=4, memory=8.0) == {}
    assert {(each.cpu, each.memory) for each in usual()} >= {(4, 15), (52, 384)}


def test_families_can_be_asked_for(eci: Emulator) -> None:
    eci.inject(f"{CREATE}:no-stock=ecs.c6.large")
    asked = {"category": "InstanceTypeFamily", "zone": A}
    assert available(eci, value="ecs.c6", **asked) == {(A, "ecs.c6"): "WithStock"}
    assert available(eci, value="ecs.gn6i", **asked) == {(A, "ecs.gn6i"): "WithStock"}
    assert available(eci, value="ecs.none", **asked) == {}
    eci.inject(f"{CREATE}:no-stock=ecs.c6")
    assert available(eci, value="ecs.c6", **asked) == {(A, "ecs.c6"): "WithoutStock"}


def test_every_type_is_of_a_family() -> None:
    for name in ("ecs.c6.large", "ecs.t6-c1m2.large", "ecs.gn6i-c4g1.xlarge", "ecs.u1-c1m2.large"):
        kind = named(name)
        assert kind is not None
        assert is_family(kind.family)
    assert not is_family("c6")
    assert not is_family("ecs.c6.large")


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        ({"category": None, "value": "ecs.c6.large"}, "MissingDestinationResource.Category"),
        ({"category": "Zone", "value": "a"}, "InvalidParameter"),
        ({"category": "InstanceTypeFamily"}, "MissingDestinationResource.Value"),
        ({"category": "InstanceType"}, "MissingDestinationResource.Value"),
        ({"category": "InstanceType", "cores": 2}, "MissingDestinationResource.Value"),
        ({"category": "InstanceType", "value": "a", "spot": {"spot_strategy": "Spot"}}, "InvalidParameter"),
        (
            {"category": "InstanceType", "value": "a", "spot": {"spot_strategy": "SpotWithPriceLimit"}},
            "MissingSpotResource.SpotPriceLimit",
        ),
        (
            {"category": "InstanceTypeFamily", "value": "ecs.c6", "spot": {"spot_strategy": "SpotAsPriceGo"}},
            "InvalidParameter",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(eci: Emulator, asked: dict[str, Any], refusal: str) -> None:
    assert code(lambda: available(eci, **{"value": None, **asked})) == refusal


def test_a_question_without_a_resource_is_refused(eci: Emulator) -> None:
    request = models.DescribeAvailableResourceRequest(region_id=REGION)
    assert code(lambda: sdk(eci).describe_available_resource(request)) == "MissingDestinationResource"


def test_a_type_too_small_for_spot_is_not_offered_as_spot(eci: Emulator) -> None:
    spot = {"spot_strategy": "SpotAsPriceGo"}
    assert of_type(eci, "ecs.t5-lc1m1.small", zone=A) == {(A, "ecs.t5-lc1m1.small"): "WithStock"}
    assert of_type(eci, "ecs.t5-lc1m1.small", zone=A, spot=spot) == {}
    assert of_type(eci, zone=A, spot=spot) == {(A, "ecs.c6.large"): "WithStock"}
