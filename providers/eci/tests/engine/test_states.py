"""The program is stopped, or killed, and started again: what its users had is there."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sandboxkit_eci.emulator.backends import SandboxBackend

import sandboxkit
from sandboxkit.errors import SandboxError

from ..asking import groups, no_proxy, running, sdk, until
from ..containers import BUSYBOX
from ..program import command

__all__ = ["no_proxy"]

pytestmark = pytest.mark.usefixtures("no_proxy")


@pytest.fixture
def mark(kind: str) -> Iterator[str]:
    """The name of a file by which a test knows its sandboxes from those of other emulators; none is left."""
    name = f"/tmp/mark-{secrets.token_hex(8)}"
    try:
        yield name
        assert left(kind, name) == []
    finally:
        left(kind, name, delete=True)


def left(kind: str, mark: str, *, delete: bool = False) -> list[str]:
    """Give the sandboxes of the provider behind the emulator that have a file."""

    async def body() -> list[str]:
        backend = SandboxBackend(kind)
        client, found = backend.client, []
        try:
            async for each in client.list(status="running"):
                try:
                    if await (await client.get(each.id)).files.exists(mark):
                        found.append(each.id)
                except SandboxError:
                    continue  # another test's, which is going
            for name in found if delete else ():
                await client.delete(name)
            return found
        finally:
            await backend.close()

    return asyncio.run(body())


@pytest.mark.parametrize("killed", [False, True])
def test_groups_come_back_with_their_tags_tokens_and_files(
    kind: str, tmp_path: Path, mark: str, killed: bool
) -> None:
    options = ("--backend", kind, "--state", str(tmp_path / "state"))
    with command(*options, killed=killed) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        box = client.create(labels={"a": "1"}, idempotency_key="key", env={"WORD": "said"})
        box.files.write(mark, b"kept")
        client.create().delete()
    (sandbox,) = left(kind, mark)
    with command(*options) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        assert [each.id for each in client.list(labels={"a": "1"})] == [box.id]
        again = client.create(labels={"a": "1"}, idempotency_key="key", env={"WORD": "said"})
        assert again.id == box.id
        assert again.exec(f"cat {mark}; echo $WORD").text == "keptsaid\n"
        assert left(kind, mark) == [sandbox]
        assert again.delete()
        until(lambda: not groups(sdk(it)))


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
def test_without_a_state_nothing_is_left(kind: str, mark: str, number: str) -> None:
    with command("--backend", kind, end=number) as it:
        with sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
            client.create().files.write(mark, b"")
        assert len(left(kind, mark)) == 1


def test_a_container_that_went_meanwhile_is_made_anew(kind: str, tmp_path: Path, mark: str) -> None:
    options = ("--backend", kind, "--state", str(tmp_path / "state"))
    with command(*options) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        box = client.create()
        box.files.write(mark, b"")
    assert len(left(kind, mark, delete=True)) == 1
    with command(*options) as it, sandboxkit.connect("eci", **it.options, image=BUSYBOX) as client:
        running(sdk(it), box.id)
        again = client.get(box.id)
        assert again.exec("echo up").text == "up\n"
        assert not again.files.exists(mark)
        again.delete()
        until(lambda: not groups(sdk(it)))
