"""What only Docker has for containers: images and their commands."""

from __future__ import annotations

from typing import Any, cast

from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.options import DockerOptions
from sandboxkit_docker.provider import DockerProvider

from sandboxkit.client import AsyncClient
from sandboxkit_eci.emulator.backend import ContainerSpec

API_LIMIT = 60.0
"""Seconds that one call of the daemon's API may take."""


def options(spec: ContainerSpec, pull: str) -> DockerOptions:
    """Give the part of a specification that only Docker has; everyone may write in an emptyDir."""
    return DockerOptions(
        read_only=spec.read_only_root,
        tmpfs=dict.fromkeys(spec.empty_dirs, "exec,mode=0777"),
        pull=cast("Any", pull),
    )


def daemon_of(client: AsyncClient) -> Daemon:
    """Give the daemon that the client's sandboxes live in."""
    provider = client.provider
    if not isinstance(provider, DockerProvider):
        raise NotImplementedError(f"provider {provider.name!r} is not docker")
    return provider.daemon


async def image_command(client: AsyncClient, image: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give an image's own entry point and arguments; the image must be there."""
    daemon, world = daemon_of(client), client.provider.world
    until = world.now() + API_LIMIT
    answer = await world.call(lambda: daemon.request("GET", f"/images/{image}/json", until=until), until=until)
    config = answer.body.get("Config") or {} if answer.status == 200 else {}
    return tuple(config.get("Entrypoint") or ()), tuple(config.get("Cmd") or ())
