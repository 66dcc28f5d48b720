"""What only ECI has: logs, events, stats, quotas, prices, labels, images; through an emulator."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from sandboxkit_eci.account import Account, account
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit


@pytest.fixture(scope="module")
def eci() -> Iterator[Emulator]:
    with emulator("none") as running:
        yield running


@pytest.fixture
def client(eci: Emulator) -> Iterator[sandboxkit.Client]:
    with sandboxkit.connect("eci", **eci.options, image="busybox:1") as client:
        yield client


@pytest.fixture
def cloud(client: sandboxkit.Client) -> Account:
    return account(client)


def test_events_say_what_happened(client: sandboxkit.Client, cloud: Account) -> None:
    with client.create() as box:
        told = cloud.events(box.id)
        assert "Started" in [event.reason for event in told]
        assert not any(event.warning for event in told)
        assert [event.last for event in told] == sorted(event.last or 0.0 for event in told)


def test_logs_and_stats_are_read(client: sandboxkit.Client, cloud: Account) -> None:
    with client.create() as box:
        assert isinstance(cloud.logs(box.id, tail=10, since=60.0), str)
        found = cloud.stats(box.id)
        assert found is not None
        assert found.memory_limit_bytes == 4 << 30
    with pytest.raises(sandboxkit.InvalidRequest):
        cloud.logs("eci-1", tail=5000)
    for ask in (cloud.logs, cloud.events, cloud.stats):
        with pytest.raises(sandboxkit.SandboxNotFound):
            ask("eci-nosuchgroup")


def test_quotas_and_prices_are_asked_for(cloud: Account) -> None:
    assert cloud.usage()["MaxCpu"] == 1000
    small, large = cloud.price(cpu=1, memory_gib=2), cloud.price(cpu=8, memory_gib=16)
    assert small.currency
    assert 0 < small.trade < large.trade
    assert cloud.price(cpu=2, memory_gib=4, spot="SpotAsPriceGo").spot


def test_labels_change_and_sandboxkits_own_stay(client: sandboxkit.Client, cloud: Account) -> None:
    with client.create(labels={"a": "1", "b": "2"}) as box:
        info = cloud.relabel(box.id, add={"a": "9", "c": "3"}, remove=["b"])
        assert dict(info.labels) == {"a": "9", "c": "3"}
        assert [found.id for found in client.list(labels={"c": "3"})] == [box.id]
        assert info.owner
        for wrong in ({"add": {"sandboxkit.owner": "x"}}, {"remove": ["sandboxkit.key"]}, {"add": {"acs:x": "y"}}):
            with pytest.raises(sandboxkit.InvalidSpec):
                cloud.relabel(box.id, **wrong)
        with pytest.raises(sandboxkit.InvalidSpec):
            cloud.relabel(box.id, add={str(n): "x" for n in range(20)})


def test_a_commit_whose_answer_is_lost_is_not_made_again(
    eci: Emulator, client: sandboxkit.Client, cloud: Account
) -> None:
    with client.create() as box:
        eci.inject("CommitContainer:lost,nth=1")
        before = eci.requests.get("CommitContainer", 0)
        with pytest.raises(sandboxkit.ProviderError, match="not repeated"):
            cloud.snapshot(box.id, repository="registry.example/me/box", tag="1")
        eci.clear_faults()
        assert eci.requests["CommitContainer"] == before + 1


def test_image_caches_come_and_go(cloud: Account) -> None:
    made = cloud.make_image_cache("mine", ["busybox:1"])
    assert (made.status, made.images) == ("Ready", ("busybox:1",))
    assert made.snapshot_id
    assert made in cloud.image_caches()
    cloud.remove_image_cache(made.id)
    assert cloud.image_caches() == ()
    with pytest.raises(sandboxkit.InvalidSpec):
        cloud.make_image_cache("none", [])


def test_asyncio_has_the_same(eci: Emulator) -> None:
    async def body() -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:
            cloud = account(client)
            async with client.create() as box:
                assert await cloud.events(box.id)
            assert (await cloud.usage())["MaxCpu"] == 1000

    asyncio.run(body())


def test_another_providers_client_has_no_account() -> None:
    with sandboxkit.connect("local") as client, pytest.raises(sandboxkit.InvalidRequest):
        account(client)
