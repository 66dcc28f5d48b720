"""What only Docker has for containers: images, their commands, and terminals without a launcher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from sandboxkit_docker.daemon import Answer
from sandboxkit_docker.faults import failure
from sandboxkit_docker.options import DockerOptions
from sandboxkit_docker.provider import DockerProvider

from sandboxkit.client import AsyncClient
from sandboxkit.model import TerminalSize
from sandboxkit.provider import TerminalChannel
from sandboxkit_eci.emulator.backend import ContainerSpec, Interface, Usage
from sandboxkit_eci.emulator.backends.dockerterminal import open_terminal

API_LIMIT = 60.0
"""Seconds that one call of the daemon's API may take."""


def options(spec: ContainerSpec, pull: str) -> DockerOptions:
    """Give the part of a specification that only Docker has; everyone may write in a volume's directory."""
    return DockerOptions(
        read_only=spec.read_only_root,
        tmpfs=dict.fromkeys(spec.directories, "exec,mode=0777"),
        pull=cast("Any", pull),
    )


def provider_of(client: AsyncClient) -> DockerProvider:
    """Give the client's provider, which is Docker's."""
    assert isinstance(client.provider, DockerProvider)
    return client.provider


async def _ask(client: AsyncClient, method: str, path: str, **more: Any) -> Answer:
    daemon, world = provider_of(client).daemon, client.provider.world
    until = world.now() + API_LIMIT
    return await world.call(lambda: daemon.request(method, path, until=until, **more), until=until)


async def image_command(client: AsyncClient, image: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Give an image's own entry point and arguments; the image must be there."""
    answer = await _ask(client, "GET", f"/images/{image}/json")
    config = answer.body.get("Config") or {} if answer.status == 200 else {}
    return tuple(config.get("Entrypoint") or ()), tuple(config.get("Cmd") or ())


async def has_image(client: AsyncClient, image: str) -> bool:
    """Whether the engine has an image."""
    return (await _ask(client, "GET", f"/images/{image}/json")).status == 200


async def commit(client: AsyncClient, sandbox_id: str, image: str, *, like: str) -> None:
    """Make an image of a container's files, with the command of the image that the container was made from."""
    entrypoint, arguments = await image_command(client, like)
    repository, _, tag = image.rpartition(":")
    answer = await _ask(
        client,
        "POST",
        "/commit",
        # Without a pause: the daemon cannot wake a container that it froze while an exec was starting in it.
        query={"container": sandbox_id, "repo": repository, "tag": tag, "pause": 0},
        body={"Entrypoint": list(entrypoint), "Cmd": list(arguments)},
    )
    if answer.status != 201:
        raise failure(answer.status, answer.message, "making an image")


async def remove_image(client: AsyncClient, image: str) -> None:
    """Remove an image; one that is not there is no error."""
    answer = await _ask(client, "DELETE", f"/images/{image}", query={"force": 1})
    if answer.status not in (200, 404):
        raise failure(answer.status, answer.message, "removing an image")


async def usage(client: AsyncClient, sandbox_id: str) -> Usage | None:
    """Give what a container has used; ``None`` if the daemon does not say."""
    answer = await _ask(client, "GET", f"/containers/{sandbox_id}/stats", query={"stream": 0, "one-shot": 1})
    if answer.status != 200:
        return None
    # Of a container that is ending there are only parts.
    processor = answer.body.get("cpu_stats") or {}
    memory = answer.body.get("memory_stats") or {}
    counted = memory.get("stats") or {}
    transferred = (answer.body.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    sized = await _ask(client, "GET", f"/containers/{sandbox_id}/json", query={"size": 1})
    return Usage(
        cpu_nanoseconds=(processor.get("cpu_usage") or {}).get("total_usage") or 0,
        memory_bytes=memory.get("usage") or 0,
        # The second is the name under version 1 of cgroups.
        cache_bytes=counted.get("file") or counted.get("cache") or 0,
        interfaces=tuple(_interface(name, told) for name, told in (answer.body.get("networks") or {}).items()),
        read_bytes=_transferred(transferred, "read"),
        written_bytes=_transferred(transferred, "write"),
        # Without the image, which is there once for all.
        files_bytes=sized.body.get("SizeRw", 0) if sized.status == 200 else None,
    )


def _transferred(told: Sequence[Mapping[str, Any]], operation: str) -> int | None:
    """Add up what passed all devices; ``None`` where the engine's host counts nothing."""
    # Version 1 of cgroups writes the operation with a capital letter.
    return sum(each["value"] for each in told if each["op"].lower() == operation) if told else None


def _interface(name: str, told: Mapping[str, int]) -> Interface:
    return Interface(
        name=name,
        received=told.get("rx_bytes", 0),
        received_packets=told.get("rx_packets", 0),
        received_errors=told.get("rx_errors", 0),
        received_drops=told.get("rx_dropped", 0),
        sent=told.get("tx_bytes", 0),
        sent_packets=told.get("tx_packets", 0),
        sent_errors=told.get("tx_errors", 0),
        sent_drops=told.get("tx_dropped", 0),
    )


async def start_terminal(
    client: AsyncClient, sandbox_id: str, argv: tuple[str, ...], size: TerminalSize, *, until: float
) -> TerminalChannel:
    """Start a process on a new terminal, as the leader of its session."""
    return await open_terminal(provider_of(client), sandbox_id, argv, size, until=until)
