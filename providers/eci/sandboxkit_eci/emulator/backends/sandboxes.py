"""Containers that are sandboxes of any sandboxkit provider: real processes, real files."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from typing import Any, cast

import attrs

import sandboxkit
from sandboxkit.client import AsyncClient
from sandboxkit.commands import make_command
from sandboxkit.errors import ImageNotFound, SandboxError
from sandboxkit.log import logger
from sandboxkit.model import SandboxSpec, Stdin, TerminalSize
from sandboxkit.provider import TerminalChannel, TerminalProvider
from sandboxkit.sandbox import AsyncSandbox
from sandboxkit_eci.emulator.backend import ContainerSpec, ImageError, NotRunning, Usage
from sandboxkit_eci.emulator.backends.streams import ProcessStream
from sandboxkit_eci.emulator.backends.usage import COUNT, read_usage

TTL = 86_400.0
"""Seconds after which a sandbox ends although nobody removed it: the emulator was killed."""

START_LIMIT = 60.0
"""Seconds that starting a process may take."""

LOG_LIMIT = 1 << 20
"""Bytes of a container's log that are kept."""

SIZE = TerminalSize(24, 80)
"""How large a terminal is until its client says."""

KILLED = 137
"""The exit code of what was ended from outside: SIGKILL."""

KEEP_ALIVE = ("/bin/sh", "-c", 'trap "exit 143" TERM;while :;do sleep 86400&wait $!;done')
"""The process of a container that names none, where there is no image to ask."""


@attrs.define(eq=False)
class _Log:
    """The newest bytes of what was written."""

    _kept: bytearray = attrs.field(factory=bytearray)

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * LOG_LIMIT:
            del self._kept[:-LOG_LIMIT]

    def read(self) -> bytes:
        return bytes(self._kept[-LOG_LIMIT:])


@attrs.define(eq=False)
class _Run:
    """One life of a container: from its start, or a restart, to the end of its own process."""

    box: AsyncSandbox
    log: _Log = attrs.field(factory=_Log)
    streams: set[ProcessStream] = attrs.field(factory=set)
    following: asyncio.Task[None] | None = None
    ended: bool = False


class SandboxBackend:
    """See :class:`~sandboxkit_eci.emulator.backend.Backend`. One sandbox stands behind each container.

    ``connect_options`` are the provider's own. ``images`` gives other names to images, and ``pull`` (docker) says
    when one is fetched. ``network`` is a sandbox's: the provider's default, on or off. A restart begins with fresh
    files unless ``reset_files`` is off. Processor and memory are not limited to what a container asks for: the host
    may have less.
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

    async def close(self) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        try:
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

        await docker.commit(self.client, sandbox_id, image, like=self.images.get(spec.image, spec.image))
        self._made.add(image)

    async def make(self, spec: ContainerSpec) -> AsyncSandbox:
        """Make a container's sandbox, without the container's own process."""
        try:
            box = await self.client.create(self._spec(spec), ttl=self.ttl)
        except ImageNotFound as exc:
            raise ImageError(str(exc)) from exc
        try:
            if not self.has("image"):
                # Of an image's own file system the daemon makes these directories itself.
                for path in (*spec.empty_dirs, *([spec.working_dir] if spec.working_dir else [])):
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


class SandboxMachine:
    """See :class:`~sandboxkit_eci.emulator.backend.Machine`."""

    def __init__(self, backend: SandboxBackend, spec: ContainerSpec) -> None:
        self.spec = spec
        self._backend = backend
        self._client = backend.client
        self._run: _Run | None = None
        self._end: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._removed = False
        self._usage = Usage()

    async def begin(self) -> None:
        """Make its sandbox and start its own process."""
        run = _Run(await self._backend.make(self.spec))
        if self._removed:
            await run.box.delete()
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} was removed")
        self._run = run
        await self._start_own(run)

    async def _start_own(self, run: _Run) -> None:
        argv = await self._backend.argv(self.spec)
        if not argv:
            raise ValueError("no command was given, and the image has none")
        stream = await self._spawn(run, argv, tty=False, stdin=Stdin())
        run.following = asyncio.create_task(self._follow(run, stream))

    async def _follow(self, run: _Run, stream: ProcessStream) -> None:
        async for _, data in stream:
            run.log.add(data)
        run.ended = True
        if self._run is run and not self._end.done():
            self._end.set_result(KILLED if stream.exit_code is None else stream.exit_code)
        # Whatever else runs in a container ends with its own process.
        try:
            if self._backend.reset_files:
                await self._client.delete(run.box.id)
            else:
                await asyncio.gather(*(other.kill() for other in list(run.streams)))
        except SandboxError as exc:
            logger.warning("what is left of a container of the emulator's could not be ended: %s", exc)

    async def wait(self) -> int:
        while True:
            end = self._end
            await asyncio.wait({end})
            if not end.cancelled():
                return end.result()

    async def exec(self, argv: tuple[str, ...], *, tty: bool) -> ProcessStream:
        run = self._run
        if run is None or run.ended or self._removed:
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} is not running")
        return await self._spawn(run, argv, tty=tty, stdin=Stdin(kind="raw"))

    async def _spawn(self, run: _Run, argv: tuple[str, ...], *, tty: bool, stdin: Stdin) -> ProcessStream:
        provider = self._client.provider
        until = provider.world.now() + START_LIMIT
        if tty:
            terminal = await self._backend.start_terminal(run.box.id, argv, self._directory, until=until)
            stream = ProcessStream(terminal, provider.world, run.streams.discard, terminal)
        else:
            command = make_command(argv, cwd=self._directory, stdin=stdin)
            channel = await provider.start_process(run.box.id, command, until=until)
            stream = ProcessStream(channel, provider.world, run.streams.discard)
        run.streams.add(stream)
        return stream

    @property
    def _directory(self) -> str | None:
        return None if self._backend.has("image") else self.spec.working_dir

    async def restart(self) -> None:
        if self._removed:
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} was removed")
        old, self._run = self._run, None
        if self._end.done():
            self._end = asyncio.get_running_loop().create_future()
        if old is None or self._backend.reset_files:
            if old is not None:
                await self._discard(old)
            await self.begin()
            return
        await self._let_go(old)
        await old.box.restart()
        self._run = _Run(old.box)
        await self._start_own(self._run)

    async def _discard(self, run: _Run) -> None:
        try:
            await self._client.delete(run.box.id)
        finally:
            await self._let_go(run)

    async def _let_go(self, run: _Run) -> None:
        run.ended = True
        if run.following is not None:
            run.following.cancel()
            await asyncio.gather(run.following, return_exceptions=True)
        for stream in list(run.streams):
            await stream.abandon()

    def log(self) -> bytes:
        return b"" if self._run is None else self._run.log.read()

    async def usage(self) -> Usage:
        run = self._run
        if run is None or run.ended:
            return self._usage
        try:
            found = await self._measure(run)
        except SandboxError:
            return self._usage
        # Processor time never goes back.
        spent = max(found.cpu_nanoseconds, self._usage.cpu_nanoseconds)
        self._usage = attrs.evolve(found, cpu_nanoseconds=spent)
        return self._usage

    async def _measure(self, run: _Run) -> Usage:
        if self._backend.provider == "docker":
            from sandboxkit_eci.emulator.backends import docker

            return await docker.usage(self._client, run.box.id) or self._usage
        stream = await self._spawn(run, COUNT, tty=False, stdin=Stdin())
        return read_usage(b"".join([data async for channel, data in stream if channel == 1]))

    async def commit(self, repository: str, tag: str) -> None:
        if self._run is None or self._run.ended:
            raise NotRunning(f"container {self.spec.name} of {self.spec.group_id} is not running")
        await self._backend.commit(self._run.box.id, self.spec, f"{repository}:{tag}")

    async def remove(self) -> None:
        self._removed = True
        if (run := self._run) is not None:
            # Before it is gone, so that its end is not taken for one of its own.
            self._run = None
            try:
                await self._discard(run)
            except BaseException:
                self._run = run
                raise
        if not self._end.done():
            self._end.set_result(KILLED)
        self._backend.forget(self)
