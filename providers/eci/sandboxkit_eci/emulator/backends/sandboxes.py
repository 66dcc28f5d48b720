"""Containers that are sandboxes of any sandboxkit provider: real processes, real files."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from typing import Any, cast

import attrs

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.commands import make_command
from sandboxkit.errors import ImageNotFound, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import SandboxSpec, Stdin, TerminalSize
from sandboxkit.provider import TerminalChannel, TerminalProvider
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit_eci.emulator.backend import ContainerSpec, ImageError
from sandboxkit_eci.emulator.backends.machines import SandboxMachine

TTL = 86_400.0
"""Seconds after which a sandbox ends although nobody removed it: the emulator was killed."""

SIZE = TerminalSize(24, 80)
"""How large a terminal is until its client says."""

KEEP_ALIVE = ("/bin/sh", "-c", 'trap "exit 143" TERM;while :;do sleep 86400&wait $!;done')
"""The process of a container that names none, where there is no image to ask."""


class SandboxBackend:
    """See :class:`~sandboxkit_eci.emulator.backend.Backend`. One sandbox stands behind each container.

    ``connect_options`` are the provider's own. ``images`` gives other names to images, and ``pull`` (docker) says
    when one is fetched. ``network`` is a sandbox's: the provider's default, on or off. A restart begins with fresh
    files unless ``reset_files`` is off. A provider without images has every image, except those of a registry under
    ``.invalid``. Memory is limited to the container's where the provider can; processors too,
    as far as there are as many.
    """

    def __init__(
        self,
        provider: str = "local",
        *,
        owner: str | None = None,
        ttl: float = TTL,
        reset_files: bool = True,
        network: bool | None = None,
        images: Mapping[str, str] | None = None,
        pull: str = "missing",
        **connect_options: Any,
    ) -> None:
        self.owner = owner or f"eci-emulator-{secrets.token_hex(6)}"
        self.ttl = ttl
        self.reset_files = reset_files
        self.network = network
        self.images = dict(images or {})
        self.pull = pull
        self.provider = provider
        self._connect_options = connect_options
        self._client: AsyncClient | None = None
        self._machines: set[SandboxMachine] = set()
        self._made: set[str] = set()

    @property
    def client(self) -> AsyncClient:
        """The client that makes the sandboxes; it belongs to the loop of the first one."""
        if self._client is None:
            self._client = sandboxkit.connect_async(self.provider, owner=self.owner, **self._connect_options)
        return self._client

    async def start(self, spec: ContainerSpec) -> SandboxMachine:
        machine = SandboxMachine(self, spec)
        self._machines.add(machine)
        try:
            await machine.begin()
        except BaseException:
            await machine.remove()
            raise
        return machine

    def forget(self, machine: SandboxMachine) -> None:
        """Take note that nothing of a container is left."""
        self._machines.discard(machine)

    async def resume(self, spec: ContainerSpec, key: str) -> SandboxMachine | None:
        machine = SandboxMachine(self, spec)
        self._machines.add(machine)
        try:
            await machine.resume(key)
        except (SandboxNotFound, SandboxNotRunning):
            await machine.remove()
            return None
        except BaseException:
            await machine.remove()
            raise
        return machine

    def dump(self) -> dict[str, Any]:
        return {"owner": self.owner, "images": sorted(self._made)}

    def load(self, dumped: Mapping[str, Any]) -> None:
        self.owner = dumped["owner"]
        self._made = set(dumped["images"])

    async def close(self, *, keep: bool = False) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        try:
            if keep:
                await asyncio.gather(*(machine.leave() for machine in list(self._machines)))
                return
            await asyncio.gather(*(machine.remove() for machine in list(self._machines)))
            # A create that was cancelled half-way may have left something after all.
            left = [info.id async for info in client.list() if info.owner == self.owner]
            await asyncio.gather(*(client.delete(name) for name in left))
            for image in self._made:
                from sandboxkit_eci.emulator.backends import docker

                await docker.remove_image(client, image)
        finally:
            await client.close()

    async def commit(self, sandbox_id: str, spec: ContainerSpec, image: str) -> None:
        """Make an image of a container's files, which :meth:`close` removes."""
        if self.provider != "docker":
            raise NotImplementedError(f"the emulator's backend {self.provider!r} makes no images")
        from sandboxkit_eci.emulator.backends import docker

        self._made.add(image)  # before it is there: who is killed meanwhile still knows of it
        await docker.commit(self.client, sandbox_id, image, like=self.images.get(spec.image, spec.image))

    async def make(self, spec: ContainerSpec) -> AsyncSandbox:
        """Make a container's sandbox, without the container's own process."""
        if not self.has("image"):
            _check_registry(self.images.get(spec.image, spec.image))
        try:
            box = await self.client.create(self._spec(spec), ttl=self.ttl)
        except ImageNotFound as exc:
            raise ImageError(str(exc)) from exc
        try:
            if not self.has("image"):
                # Of an image's own file system the daemon makes these directories itself.
                for path in (*spec.directories, *([spec.working_dir] if spec.working_dir else [])):
                    await box.files.mkdir(path, parents=True, exist_ok=True)
        except BaseException:
            await box.delete()
            raise
        return box

    def has(self, capability: str) -> bool:
        """Whether the provider can do that."""
        return bool(self.client.capabilities.get(capability))

    def _spec(self, spec: ContainerSpec) -> SandboxSpec:
        user = spec.run_as_user
        common = SandboxSpec(env=spec.env, network=self.network)
        if not self.has("image"):
            if spec.read_only_root or user:
                what = "read-only root" if spec.read_only_root else "other user"
                raise ValueError(f"the emulator's backend {self.provider!r} has no {what} for containers")
            return common
        return attrs.evolve(
            common,
            image=self.images.get(spec.image, spec.image),
            cwd=spec.working_dir,
            user=None if user is None else str(user),
            cpu=min(spec.cpu, os.cpu_count() or 1) if self.has("cpu") else None,
            memory_gib=spec.memory if self.has("memory") else None,
            options=self._options(spec),
        )

    def _options(self, spec: ContainerSpec) -> Any:
        if self.provider != "docker":
            return None
        from sandboxkit_eci.emulator.backends import docker

        return docker.options(spec, self.pull)

    async def start_terminal(
        self, sandbox_id: str, argv: tuple[str, ...], cwd: str | None, *, until: float
    ) -> TerminalChannel:
        """Start a process on a new terminal, as the leader of its session."""
        if self.provider == "docker":
            from sandboxkit_eci.emulator.backends import docker

            return await docker.start_terminal(self.client, sandbox_id, argv, SIZE, until=until)
        command = make_command(argv, cwd=cwd, env={"TERM": "xterm"}, stdin=Stdin(kind="raw"))
        terminals = cast("TerminalProvider", self.client.provider)
        return await terminals.start_terminal(sandbox_id, command, SIZE, until=until)

    async def argv(self, spec: ContainerSpec) -> tuple[str, ...]:
        """Give the command line of a container's own process, from its image where it names none."""
        if self.provider == "docker" and not spec.command:
            from sandboxkit_eci.emulator.backends import docker

            entrypoint, arguments = await docker.image_command(self.client, self.images.get(spec.image, spec.image))
            return (*entrypoint, *(spec.args or arguments))
        return (*spec.command, *spec.args) or KEEP_ALIVE


def _check_registry(image: str) -> None:
    """Refuse an image that nobody can have, so that a missing one can be seen where none is ever looked up."""
    host, slash, _ = image.partition("/")
    name, port, _ = host.partition(":")
    # RFC 6761 sees to it that it never resolves. Without a dot or a port it is no host but a user of the hub.
    if slash and ("." in name or port) and name.lower().rstrip(".").split(".")[-1] == "invalid":
        raise ImageError(f'failed to resolve reference "{image}": lookup {name}: no such host')
