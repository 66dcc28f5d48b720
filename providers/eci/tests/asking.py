"""The real SDK as the emulator's client."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from alibabacloud_eci20180808 import models
from alibabacloud_eci20180808.client import Client
from alibabacloud_tea_openapi.models import Config
from sandboxkit_eci.emulator.testing import Emulator
from Tea.exceptions import TeaException

PATIENCE = 60.0
"""Seconds that a test waits for something that happens at once on a quiet machine."""

REGION = "cn-hangzhou"


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the proxies out of the environment: the SDK would use them even for 127.0.0.1."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def sdk(eci: Emulator, **config: Any) -> Client:
    """Give the SDK's client."""
    given = {"access_key_id": eci.access_key_id, "access_key_secret": eci.access_key_secret, **config}
    return Client(Config(endpoint=eci.endpoint.partition("://")[2], protocol="HTTP", region_id=REGION, **given))


def create(client: Client, name: str = "group", *, container: dict[str, Any] | None = None, **given: Any) -> str:
    """Make a group of one container; give its id."""
    tags = [models.CreateContainerGroupRequestTag(key=k, value=v) for k, v in given.pop("tags", {}).items()]
    one = models.CreateContainerGroupRequestContainer(**{"name": "main", "image": "busybox", **(container or {})})
    request = models.CreateContainerGroupRequest(
        region_id=REGION, container_group_name=name, container=[one], tag=tags, **given
    )
    return client.create_container_group(request).body.container_group_id


def groups(client: Client, *ids: str, **given: Any) -> list[Any]:
    """List groups, those with these ids if there are any."""
    return listing(client, *ids, **given).container_groups


def listing(client: Client, *ids: str, **given: Any) -> Any:
    """Give a list's whole body."""
    wanted = "[" + ",".join(f'"{each}"' for each in ids) + "]" if ids else None
    tags = [models.DescribeContainerGroupsRequestTag(key=k, value=v) for k, v in given.pop("tags", {}).items()]
    given = {"region_id": REGION, **given}
    request = models.DescribeContainerGroupsRequest(container_group_ids=wanted, tag=tags, **given)
    return client.describe_container_groups(request).body


def delete(client: Client, group_id: str) -> None:
    """Delete a group."""
    client.delete_container_group(models.DeleteContainerGroupRequest(region_id=REGION, container_group_id=group_id))


def execute(client: Client, group_id: str, command: str, **given: Any) -> Any:
    """Ask for an exec; give the answer's body."""
    request = models.ExecContainerCommandRequest(
        **{"region_id": REGION, "container_group_id": group_id, "container_name": "main", "command": command, **given}
    )
    return client.exec_container_command(request).body


def until(condition: Callable[[], Any]) -> Any:
    """Wait until something is so; give what it gave."""
    limit = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < limit, "it never came to that"
        time.sleep(0.005)
    return found


def running(client: Client, group_id: str) -> Any:
    """Wait until a group runs; give it."""
    return until(lambda: next((g for g in groups(client, group_id) if g.status == "Running"), None))


def code(call: Callable[[], Any]) -> str:
    """Give the code with which a call is refused."""
    with pytest.raises(TeaException) as caught:
        call()
    return str(caught.value.code)
