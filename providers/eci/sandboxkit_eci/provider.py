"""The provider: sandboxes are container groups of Alibaba Cloud ECI."""

from __future__ import annotations

import contextlib
import functools
import re
import ssl
from collections.abc import Collection, Mapping

import attrs

from sandboxkit.driver import run
from sandboxkit.errors import (
    DeadlineExceeded,
    InvalidSpec,
    ProviderError,
    ProviderUnavailable,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
)
from sandboxkit.model import STDOUT, Capability, Command, CreateRequest, Page, SandboxInfo, Status, TerminalSize
from sandboxkit.provider import ByteChannel, ByteTerminal, ProviderBase, TerminalChannel, World
from sandboxkit.retry import retrying
from sandboxkit.terminals import launch_terminal
from sandboxkit.worlds import BlockingWorld
from sandboxkit_eci import describe, memory, proxying, streams
from sandboxkit_eci import tags as marks
from sandboxkit_eci.api import Api, Body
from sandboxkit_eci.capabilities import CAPABILITIES
from sandboxkit_eci.channel import IDLE_TIMEOUT, PING_INTERVAL
from sandboxkit_eci.creation import Creation
from sandboxkit_eci.memory import Memory
from sandboxkit_eci.options import DEFAULT_CONTAINER, EciOptions, eci_options
from sandboxkit_eci.removing import remove
from sandboxkit_eci.restarting import restart
from sandboxkit_eci.settings import ConnectOptions
from sandboxkit_eci.waiting import Waiting

SETTLE = 5.0
"""Seconds that a cancelled create waits for its clean-up."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}\Z")


@attrs.frozen
class _Way:
    """How to reach a command that was just started."""

    uri: str = attrs.field(repr=False)
    proxy: str | None = attrs.field(repr=False)
    ca: ssl.SSLContext | None


class EciProvider(ProviderBase):
    """See :class:`sandboxkit.provider.SandboxProvider`. A sandbox's id is its container group's."""

    name = describe.PROVIDER
    channel_idle_timeout = IDLE_TIMEOUT
    ping_interval = PING_INTERVAL

    def __init__(self, world: World, options: ConnectOptions) -> None:
        super().__init__(world)
        self.options = options
        self.api = Api(world, options)
        self.waiting = Waiting(world, self.api)
        self.memory = Memory()
        self._trusted: ssl.SSLContext | None = None

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return CAPABILITIES

    # -- lifecycle ------------------------------------------------------------------------------------------------

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        creation = Creation(self, request, self._options(request), until)
        try:
            return await creation.run()
        except BaseException as exc:
            await self.world.protect(creation.clean(), until=self.world.now() + SETTLE)
            if isinstance(exc, ProviderError) and creation.leftover:
                exc.leftover = request.key
            raise

    def _options(self, request: CreateRequest) -> EciOptions:
        given = request.spec.options
        return self.options.options if given is None else _completed(eci_options(given), self.options.options)

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return describe.info_of_group(await self.group(sandbox_id, until=until))

    async def group(
        self,
        sandbox_id: str,
        *,
        events: bool = False,
        patient: bool = True,
        urgent: bool = False,
        until: float | None,
    ) -> Body:
        """Ask for a group of sandboxkit's; raises ``SandboxNotFound``.

        ``patient``: one that this client has just made is asked for again if it is missing, since new ones show late.
        """
        missing = SandboxNotFound(f"no sandbox {sandbox_id!r} in {self.options.region_id}")
        if not _ID.match(sandbox_id) or self.memory.is_deleted(sandbox_id):
            raise missing
        asking = functools.partial(self.api.group, sandbox_id, events=events, urgent=urgent, until=until)
        end = self.world.now() + memory.APPEARS
        found = await asking()
        while True:
            if found is not None and marks.is_ours(marks.of_group(found)):
                self.memory.met(found)
                return found
            # Whether the tags of a new one show at once is not known either.
            shown = found is not None and marks.of_group(found)
            late = patient and not shown and self.memory.is_fresh(sandbox_id) and self.world.now() < end
            if not late or (until is not None and self.world.now() + 0.5 > until):
                self.memory.gone(sandbox_id)
                raise missing
            await self.world.sleep(0.25)
            # A fault now would have the caller begin anew, with all that was waited.
            found = await retrying(self.world, asking, until=until)

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        marks.check_texts(labels)
        # The service takes a tag without a value to mean any value: those are compared here only.
        wanted = {**marks.OURS, **{name: value for name, value in labels.items() if value}}
        words = [word for word, status in describe.STATUSES.items() if status in statuses]
        groups, following = await self.api.groups(
            tags=dict(list(wanted.items())[: marks.MOST]),
            status=words[0] if len(words) == 1 else None,
            cursor=cursor,
            until=until,
        )
        found = []
        for group in groups:
            if not marks.is_ours(marks.of_group(group)) or self.memory.is_deleted(str(group.get("ContainerGroupId"))):
                continue
            info = describe.info_of_group(group)
            matches = all(info.labels.get(name) == value for name, value in labels.items())
            if matches and (not statuses or info.status in statuses):
                found.append(info)
        return Page(items=tuple(found), cursor=following)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        if self.memory.find(sandbox_id) is None:
            try:
                await self.group(sandbox_id, until=until)
            except SandboxNotFound:
                return False
        return await remove(self, sandbox_id, until=until)

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return await restart(self, sandbox_id, until=until)

    # -- commands -------------------------------------------------------------------------------------------------

    async def open_channel(
        self,
        sandbox_id: str,
        argv: tuple[str, ...],
        *,
        user: str | None,
        urgent: bool,
        until: float | None,
    ) -> ByteChannel:
        way = await self._way(sandbox_id, argv, tty=False, urgent=urgent, until=until)
        return await streams.connect(
            self.world,
            way.uri,
            proxy=way.proxy,
            ca=way.ca,
            until=until,
            urgent=urgent,
            ping_interval=self.ping_interval,
        )

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> TerminalChannel:
        async def opening(argv: tuple[str, ...]) -> ByteTerminal:
            way = await self._way(sandbox_id, argv, tty=True, urgent=False, until=until)
            return await streams.connect_terminal(
                self.world, way.uri, proxy=way.proxy, ca=way.ca, until=until, ping_interval=self.ping_interval
            )

        return await launch_terminal(self, opening, sandbox_id, command, size, until=until)

    async def output(self, sandbox_id: str, argv: tuple[str, ...], *, until: float | None) -> bytes:
        """Run a small program and give what it wrote on stdout until the service closed the channel."""
        channel = await self.open_channel(sandbox_id, argv, user=None, urgent=False, until=until)
        said = b""
        try:
            while True:
                turn = await channel.exchange(until=until)
                said += b"".join(chunk.data for chunk in turn.chunks if chunk.stream == STDOUT)
                if turn.closed:
                    return said
                if until is not None and self.world.now() >= until:
                    raise DeadlineExceeded("a program in the sandbox did not end within the operation's deadline")
        finally:
            await channel.close()

    async def _way(
        self, sandbox_id: str, argv: tuple[str, ...], *, tty: bool, urgent: bool, until: float | None
    ) -> _Way:
        return self._way_to(await self._exec(sandbox_id, argv, tty=tty, urgent=urgent, until=until))

    def _way_to(self, uri: str) -> _Way:
        return _Way(uri, proxying.proxy_of(uri, self.options), self._certificates(uri))

    def _discard(self, uri: str) -> None:
        """Let a command that was started after all, for nobody, see the end of its input; in a thread."""
        world = BlockingWorld()

        async def close() -> None:
            way = self._way_to(uri)
            until = world.now() + SETTLE
            await (await streams.connect(world, way.uri, proxy=way.proxy, ca=way.ca, until=until)).close()

        with contextlib.suppress(SandboxError):
            run(close())

    async def _exec(
        self, sandbox_id: str, argv: tuple[str, ...], *, tty: bool, urgent: bool, until: float | None
    ) -> str:
        known = self.memory.find(sandbox_id)
        if known is None:
            # Not this client's, nor asked for by it: it may be anyone's.
            await self.group(sandbox_id, until=until, urgent=urgent)
            known = self.memory.find(sandbox_id)
        container = known.container if known is not None else DEFAULT_CONTAINER
        try:
            uri = await self.api.exec(
                sandbox_id, container, argv, tty=tty, urgent=urgent, until=until, undo=self._discard
            )
        except SandboxError as exc:
            if not isinstance(exc, SandboxNotFound | SandboxNotRunning) and type(exc) is not ProviderError:
                raise  # it says all there is to say
            refused = exc
        else:
            if not uri:
                raise ProviderUnavailable("ECI accepted a command and gave no websocket for it")
            return uri
        raise await self._confirmed(sandbox_id, refused, urgent, until)

    async def _confirmed(
        self, sandbox_id: str, refused: SandboxError, urgent: bool, until: float | None
    ) -> SandboxError:
        """Ask what is with the sandbox whose command was refused."""
        try:
            # Two that say so are enough.
            patient = not isinstance(refused, SandboxNotFound)
            group = await self.group(sandbox_id, patient=patient, urgent=urgent, until=until)
        except (SandboxNotFound, ProviderError) as exc:
            return exc
        status = describe.info_of_group(group).status
        if status is not Status.RUNNING:
            return SandboxNotRunning(f"sandbox {sandbox_id} is {status}", status=status)
        if isinstance(refused, SandboxNotFound | SandboxNotRunning):
            # The two do not agree: it was between two states. That passes.
            return ProviderUnavailable(
                f"sandbox {sandbox_id} did not take a command although it runs",
                provider_code=refused.provider_code,
                request_id=refused.request_id,
            )
        return refused

    def _certificates(self, uri: str) -> ssl.SSLContext | None:
        if self.options.ca_file is None or not uri.startswith("wss:"):
            return None
        if self._trusted is None:
            try:
                self._trusted = ssl.create_default_context(cafile=self.options.ca_file)
            except (OSError, ssl.SSLError):
                raise InvalidSpec(f"ca_file: {self.options.ca_file!r} holds no certificates in PEM") from None
        return self._trusted

    async def close(self) -> None:
        self.api.close()


def _completed(options: EciOptions, defaults: EciOptions) -> EciOptions:
    """Take from the connect options what says where a sandbox is put, if its own do not."""
    return attrs.evolve(
        options,
        v_switch_ids=options.v_switch_ids or defaults.v_switch_ids,
        security_group_id=options.security_group_id or defaults.security_group_id,
    )
