"""Parameters that one might think are only taken: each does what it says."""

from __future__ import annotations

from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.limits import Limits
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.testing import Emulator, emulator

from .asking import REGION, code, create, groups, no_proxy, running, sdk, until
from .scripted import ScriptedBackend

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def backend() -> ScriptedBackend:
    return ScriptedBackend()


def test_a_list_is_of_one_compute_category(eci: Emulator) -> None:
    client = sdk(eci)
    usual, economy = create(client), create(client, compute_category=["economy", "general"])
    found = {
        name: [g.container_group_id for g in groups(client, compute_category=name)] for name in ("general", "economy")
    }
    assert found == {"general": [usual], "economy": [economy]}


def test_statuses_can_be_asked_for_that_have_changed_lately(eci: Emulator) -> None:
    client = sdk(eci)
    old, new = create(client), create(client)
    running(client, old)
    running(client, new)
    group = next(each for each in eci.service.groups.all() if each.id == old)
    group.created -= 1000
    for container in group.containers:
        container.runs(now=group.created)
    for event in group.events:
        event.last -= 1000

    def seen(seconds: int | None) -> list[str]:
        request = models.DescribeContainerGroupStatusRequest(region_id=REGION, since_second=seconds)
        return [each.container_group_id for each in client.describe_container_group_status(request).body.data]

    assert (seen(None), seen(500), seen(5000)) == ([new, old], [new], [new, old])
    assert code(lambda: seen(-1)) == "InvalidParameter"


def test_a_variable_may_be_a_field_of_the_group(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    variables = [
        models.CreateContainerGroupRequestContainerEnvironmentVar(
            key=key, field_ref=models.CreateContainerGroupRequestContainerEnvironmentVarFieldRef(field_path=path)
        )
        for key, path in (("IP", "status.podIP"), ("NAME", "metadata.name"), ("NONE", "spec.nothing"))
    ]
    group = running(client, create(client, "name", container={"environment_var": variables}))
    assert backend.machines[0].spec.env == {"IP": group.intranet_ip, "NAME": "name", "NONE": ""}


def cache(client: Any, name: str, image: str, **given: Any) -> Any:
    """Make an image cache and wait for its end; give it."""
    request = models.CreateImageCacheRequest(region_id=REGION, image_cache_name=name, image=[image], **given)
    made = client.create_image_cache(request).body.image_cache_id
    return until(lambda: next((e for e in caches(client) if e.image_cache_id == made and e.status in ENDS), None))


ENDS = ("Ready", "Failed")


def caches(client: Any) -> list[Any]:
    return list(client.describe_image_caches(models.DescribeImageCachesRequest(region_id=REGION)).body.image_caches)


def reasons(client: Any, **given: Any) -> list[str]:
    """Make a group; give its events' reasons when it runs."""
    made = create(client, **given)
    running(client, made)
    return [event.reason for event in groups(client, made, with_event=True)[0].events]


def test_a_snapshot_has_its_own_images_and_no_others(eci: Emulator) -> None:
    client = sdk(eci)
    made = cache(client, "cache", "busybox")
    assert caches(client)[0].last_matched_time == ""
    assert "Pulling" not in reasons(client, image_snapshot_id=made.snapshot_id)
    other: dict[str, Any] = {"image": "other"}
    assert "Pulling" in reasons(client, container=other, image_snapshot_id=made.snapshot_id)
    assert caches(client)[0].last_matched_time.startswith("20")


def test_an_image_stays_cached_while_one_cache_has_it(eci: Emulator) -> None:
    client = sdk(eci)
    first, second = cache(client, "first", "busybox"), cache(client, "second", "busybox")
    for each, there in ((first, True), (second, False)):
        client.delete_image_cache(
            models.DeleteImageCacheRequest(region_id=REGION, image_cache_id=each.image_cache_id)
        )
        assert ("busybox" in eci.service.runtime.images) == there


def test_a_cache_goes_when_its_days_are_over(eci: Emulator) -> None:
    client = sdk(eci)
    made = cache(client, "cache", "busybox", retention_days=1)
    assert made.expire_date_time > made.creation_time
    eci.service.images.caches[made.image_cache_id].created -= 86_401
    assert caches(client) == []
    for days in (0, 10**14):
        assert code(lambda days=days: cache(client, "cache", "busybox", retention_days=days)) == "InvalidParameter"


def test_a_cache_of_an_image_that_cannot_be_pulled_fails(eci: Emulator) -> None:
    eci.inject("CreateImageCache:image-pull,nth=1")
    client = sdk(eci)
    made = cache(client, "cache", "busybox")
    assert made.status == "Failed"
    assert code(lambda: create(client, image_snapshot_id=made.snapshot_id)) == "ImageSnapshot.IncorrectStatus"
    assert cache(client, "cache", "busybox").status == "Ready"


def update(client: Any, group: str, **given: Any) -> None:
    client.update_container_group(
        models.UpdateContainerGroupRequest(region_id=REGION, container_group_id=group, **given)
    )


def test_an_update_also_replaces_what_runs_first(eci: Emulator, backend: ScriptedBackend) -> None:
    client = sdk(eci)
    made = create(client)
    running(client, made)
    first = models.UpdateContainerGroupRequestInitContainer(name="first", image="busybox")
    update(client, made, init_container=[first])
    machine = until(lambda: next((m for m in backend.machines if m.spec.name == "first"), None))

    async def end() -> None:
        machine.end(0)

    eci.run(end())
    assert [each.name for each in running(client, made).init_containers] == ["first"]


def test_an_update_keeps_to_the_quota(backend: ScriptedBackend) -> None:
    with emulator(backend, quirks={"quota-cpu": 4}) as eci:
        client = sdk(eci)
        made = create(client, cpu=2.0, memory=4.0)
        running(client, made)
        assert code(lambda: update(client, made, cpu=8.0, memory=16.0)) == "QuotaExceeded"
        update(client, made, cpu=4.0, memory=8.0)


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        ({"container": {"port": [models.CreateContainerGroupRequestContainerPort(port=10250)]}}, "InvalidParameter"),
        ({"container": {"port": [models.CreateContainerGroupRequestContainerPort(port=65536)]}}, "InvalidParameter"),
        (
            {"container": {"port": [models.CreateContainerGroupRequestContainerPort(port=80, protocol="X")]}},
            "InvalidParameter",
        ),
        (
            {
                "container": {
                    "volume_mount": [
                        models.CreateContainerGroupRequestContainerVolumeMount(name="none", mount_path="/a")
                    ]
                }
            },
            "InvalidParameter",
        ),
        (
            {
                "image_registry_credential": [
                    models.CreateContainerGroupRequestImageRegistryCredential(server=f"r{n}.io") for n in range(12)
                ]
            },
            "InvalidParameter.ValueExceeded",
        ),
        ({"termination_grace_period_seconds": -1}, "InvalidParameter"),
    ],
)
def test_a_create_that_cannot_be_granted(eci: Emulator, given: dict[str, Any], refused: str) -> None:
    client = sdk(eci)
    assert code(lambda: create(client, **given)) == refused
    assert groups(client) == []


def test_commits_are_counted_by_the_second() -> None:
    limits = Limits(Quirks())
    for _ in range(100):
        limits.count("account", "region", "CommitContainer", now=1.0)
    with pytest.raises(ApiError, match="flow control"):
        limits.count("account", "region", "CommitContainer", now=1.9)
    limits.count("account", "region", "CommitContainer", now=2.1)
