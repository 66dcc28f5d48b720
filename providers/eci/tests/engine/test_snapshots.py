"""A sandbox becomes an image, and others are made from that: the provider and the program, over Docker."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from alibabacloud_eci20180808 import models
from sandboxkit_eci.account import account
from sandboxkit_eci.emulator.backends import SandboxBackend
from sandboxkit_eci.emulator.backends.docker import has_image, remove_image

import sandboxkit

from ..asking import REGION, no_proxy, sdk
from ..containers import BUSYBOX
from ..program import command

__all__ = ["no_proxy"]

pytestmark = [pytest.mark.usefixtures("no_proxy"), pytest.mark.parametrize("kind", ["docker"], indirect=True)]


@pytest.fixture
def repository() -> Iterator[str]:
    name = f"registry.example/me/sandboxkit-test-{secrets.token_hex(6)}"
    assert not there(f"{name}:one")
    yield name
    assert not there(f"{name}:one"), "the emulator left the image that it made"


def there(image: str) -> bool:
    """Whether the engine has an image."""

    async def body() -> bool:
        backend = SandboxBackend("docker")
        try:
            return await has_image(backend.client, image)
        finally:
            await backend.close()

    return asyncio.run(body())


def remove(image: str) -> None:
    """Take an image from the engine."""

    async def body() -> None:
        backend = SandboxBackend("docker")
        try:
            await remove_image(backend.client, image)
        finally:
            await backend.close()

    asyncio.run(body())


def test_a_sandbox_made_from_a_snapshot_has_its_files(kind: str, repository: str) -> None:
    with command("--backend", "docker") as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        with client.create() as box:
            box.files.write("/root/changed", b"kept\0\n", mode=0o640)
            box.exec("rm /bin/vi", check=True)
            made = account(client).snapshot(box.id, repository=repository, tag="one")
        assert (made, True) == (f"{repository}:one", there(made))
        with client.create(image=made) as other, client.create() as plain:
            assert other.files.read("/root/changed") == b"kept\0\n"
            assert other.exec("stat -c %a /root/changed; [ -e /bin/vi ] || echo gone").text == "640\ngone\n"
            assert not plain.files.exists("/root/changed")
            assert plain.files.exists("/bin/vi")


def test_asyncio_makes_snapshots_of_snapshots(kind: str, repository: str) -> None:
    async def body(options: dict[str, str]) -> None:
        async with sandboxkit.connect_async("eci", **options, image=BUSYBOX) as client:
            cloud = account(client)
            async with client.create() as box:
                await box.files.write("/first", b"1")
                first = await cloud.snapshot(box.id, repository=repository, tag="first")
            async with client.create(image=first) as box:
                await box.files.write("/second", b"2")
                second = await cloud.snapshot(box.id, repository=repository, tag="one")
            async with client.create(image=second) as box:
                assert (await box.exec("cat /first /second")).text == "12"

    with command("--backend", "docker") as it:
        asyncio.run(body(it.options))
    assert not there(f"{repository}:first")


def test_a_killed_emulator_knows_the_image_that_it_made(kind: str, repository: str, tmp_path: Path) -> None:
    options = ("--backend", "docker", "--state", str(tmp_path / "state.json"))
    with command(*options, killed=True) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        box = client.create()
        made = account(client).snapshot(box.id, repository=repository, tag="one")
    with command(*options) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        asked = models.DescribeCommitContainerTaskRequest(region_id=REGION)
        (task,) = sdk(cast("Any", it)).describe_commit_container_task(asked).body.commit_tasks
        assert (task.task_status, task.task_progress, there(made)) == ("Succeeded", "100%", True)
        with client.create(image=made) as other:
            assert other.exec("echo up").text == "up\n"
        client.delete(box.id)
    remove(made)
