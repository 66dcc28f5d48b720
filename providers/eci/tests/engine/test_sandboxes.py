"""What one provider has for containers and another has not: images, users, read-only roots."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import pytest
from sandboxkit_eci.emulator.backend import ContainerSpec, ImageError
from sandboxkit_eci.emulator.backends import SandboxBackend

from ..containers import BUSYBOX, becomes, container, said


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_docker_runs_the_image_and_its_own_command(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        with pytest.raises(ImageError):
            await backend.start(container(image="sandboxkit-test:none"))
        machine = await backend.start(ContainerSpec(group_id="eci-1", name="main", image="named"))
        # busybox: a shell without input ends at once
        assert await machine.wait() == 0
        user = await backend.start(container("id -u", run_as_user=1234))
        assert (await user.wait(), user.log().data) == (0, b"1234\n")
        full = await backend.start(container(read_only_root=True, directories=("/data",), run_as_user=1234))
        assert await said(full, "(echo x >/f) 2>/dev/null || echo x >/data/f; cat /data/f") == "x\n"

    run(doing, images={"named": BUSYBOX})


@pytest.mark.parametrize("kind", ["docker"], indirect=True)
def test_docker_makes_an_image_of_a_container(run: Callable[..., None]) -> None:
    name = f"sandboxkit-test-{secrets.token_hex(6)}"

    async def doing(backend: SandboxBackend) -> None:
        machine = await backend.start(container("echo kept >/kept; while :; do sleep 1; done"))
        await becomes(machine, "[ -s /kept ] && echo yes")
        await machine.commit(name, "one")
        other = await backend.start(container("cat /kept", image=f"{name}:one"))
        assert (await other.wait(), other.log().data) == (0, b"kept\n")
        plain = await backend.start(ContainerSpec(group_id="eci-1", name="main", image=f"{name}:one"))
        assert await plain.wait() == 0

    run(doing)

    async def gone(backend: SandboxBackend) -> None:
        with pytest.raises(ImageError):
            await backend.start(container(image=f"{name}:one"))

    run(gone)


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_local_refuses_what_it_has_not(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        for more in ({"read_only_root": True}, {"run_as_user": 1000}):
            with pytest.raises(ValueError, match="backend 'local' has no"):
                await backend.start(container(**more))
        machine = await backend.start(ContainerSpec(group_id="eci-1", name="main", image="any", run_as_user=0))
        assert await said(machine, "echo up") == "up\n"
        with pytest.raises(NotImplementedError):
            await machine.commit("a", "b")

    run(doing)


@pytest.mark.parametrize("kind", ["local"], indirect=True)
def test_local_has_every_image_but_those_of_registries_that_cannot_be(run: Callable[..., None]) -> None:
    async def doing(backend: SandboxBackend) -> None:
        for image in ("no.invalid/a", "NO.Invalid:5000/a/b:1", "no.invalid./a@sha256:00", "invalid:5000/a", "other"):
            with pytest.raises(ImageError, match="no such host"):
                await backend.start(container(image=image))
        for image in ("registry.example/no.invalid/a", "invalid/a", "no.invalid:1", "notinvalid:5000/a"):
            machine = await backend.start(container(image=image))
            assert await said(machine, "echo up") == "up\n"

    run(doing, images={"other": "no.invalid/a"})
