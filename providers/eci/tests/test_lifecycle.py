"""How often the service is asked, who may ask it, and what is not touched."""

from __future__ import annotations

import asyncio
import time

import pytest
from sandboxkit_eci.api import Api
from sandboxkit_eci.emulator.testing import Emulator, emulator

import sandboxkit
from sandboxkit import Status
from sandboxkit.driver import run

from .accounts import CREATE, DELETE, EXEC, GROUPS, STATUS, asked, connect
from .gated import gate, most_looks

# -- no needless call ----------------------------------------------------------------------------------------------


def test_a_create_is_one_call_and_a_few_looks(eci: Emulator) -> None:
    with connect(eci) as client:
        client.create()
        assert asked(eci, CREATE, DELETE, EXEC) == [1, 0, 0]
        assert sum(asked(eci, GROUPS, STATUS)) <= 4


def test_forty_one_are_listed_in_three_calls(eci: Emulator) -> None:
    with connect(eci) as client:
        made = {client.create(wait=False).id for _ in range(41)}
        before = asked(eci, GROUPS)[0]
        assert {info.id for info in client.list()} == made
        assert asked(eci, GROUPS)[0] - before == 3
        before = asked(eci, GROUPS)[0]
        assert list(client.list(labels={"no": "such"})) == []
        assert asked(eci, GROUPS)[0] - before == 1


def test_labels_that_cannot_be_sent_are_refused_before_anything_is_asked(eci: Emulator) -> None:
    with connect(eci) as client:
        before = dict(eci.requests)
        for odd in ({"a": "\udcff"}, {"\udcff": ""}):
            with pytest.raises(sandboxkit.InvalidSpec, match="UTF-8"):
                list(client.list(labels=odd))
        assert dict(eci.requests) == before


def test_what_waits_at_once_shares_its_looks(eci: Emulator) -> None:
    async def many() -> None:
        async with sandboxkit.connect_async("eci", **eci.options, image="busybox:1") as client:
            groups = eci.service.groups
            lookout = client.provider.waiting._briefly  # type: ignore[attr-defined]
            gate(lookout, 60, lambda: {group.status for group in groups.all()} == {"Running"})
            await asyncio.gather(*[client.create() for _ in range(60)])

    asyncio.run(many())
    assert asked(eci, CREATE, GROUPS) == [60, 0]
    assert asked(eci, STATUS)[0] <= most_looks(60)


def test_a_second_delete_asks_nothing(eci: Emulator) -> None:
    with connect(eci) as client:
        box = client.create()
        assert box.delete()
        before = dict(eci.requests)
        assert not box.delete()
        assert dict(eci.requests) == before


# -- wrong credentials, other people's groups ----------------------------------------------------------------------


def test_wrong_keys_are_refused(eci: Emulator) -> None:
    for wrong in ({"access_key_id": "LTAIwrong"}, {"access_key_secret": "hunter2-hunter2"}):
        with connect(eci, **wrong) as client, pytest.raises(sandboxkit.AuthenticationFailed) as caught:
            client.create()
        assert "hunter2" not in str(caught.value)
        assert caught.value.provider_code
        assert caught.value.request_id


def test_what_sandboxkit_did_not_make_is_not_touched(eci: Emulator) -> None:
    from alibabacloud_eci20180808.models import CreateContainerGroupRequest

    with connect(eci) as client:
        api: Api = client._async.provider.api  # type: ignore[attr-defined]
        wire = {"ContainerGroupName": "theirs", "Container": [{"Name": "c", "Image": "busybox:1"}]}
        assert CreateContainerGroupRequest().from_map(wire).container_group_name == "theirs"
        theirs = run(api.create(wire, around=lambda send: send, until=None, secrets=()))
        assert list(client.list()) == []
        with pytest.raises(sandboxkit.SandboxNotFound):
            client.get(theirs)
        assert not client.delete(theirs)
        assert run(api.group(theirs, until=None)) is not None


# -- commands that are refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code", ["InvalidParameter.NotFound", "InvalidContainerGroupId.NotFound", "ContainerGroup.NotFound"]
)
def test_a_command_in_a_sandbox_that_is_gone_is_not_found(code: str) -> None:
    with emulator("none", quirks={"not_found_code": code}) as eci, connect(eci) as client:
        box = client.create()
        with connect(eci) as other:
            assert other.delete(box.id)
        began = time.monotonic()
        with pytest.raises(sandboxkit.SandboxNotFound):
            box.exec("true")
        assert time.monotonic() - began < 20


def test_one_that_has_ended_is_not_running(eci: Emulator) -> None:
    with connect(eci) as client:
        # Not waited for: where that takes long the deadline comes first, and the create fails of it.
        box = client.create(ttl=1.0, wait=False)
        limit = time.monotonic() + 30
        while box.info().status in (Status.CREATING, Status.RUNNING):
            assert time.monotonic() < limit
            time.sleep(0.05)
        with pytest.raises(sandboxkit.SandboxNotRunning):
            box.exec("true")
        with pytest.raises(sandboxkit.SandboxNotRunning):
            box.restart()
        assert [info.id for info in client.gc()] == [box.id]
