"""The ``local`` provider: the lifecycle of sandboxes on this host."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection, Mapping

import attrs

from sandboxkit.errors import (
    DeadlineExceeded,
    IdempotencyConflict,
    InvalidSpec,
    ProviderError,
    ProviderUnavailable,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
    Unsupported,
)
from sandboxkit.model import (
    Capability,
    Command,
    CreateRequest,
    Page,
    SandboxInfo,
    SandboxSpec,
    Status,
    Stdin,
    TerminalSize,
)
from sandboxkit.provider import ProviderBase, World
from sandboxkit_local import creation, declared, ending, process
from sandboxkit_local.connection import connect
from sandboxkit_local.inside.plan import Plan
from sandboxkit_local.options import LocalConnect, LocalOptions
from sandboxkit_local.process import LocalProcess
from sandboxkit_local.state import State, find_state, make_meta, make_state
from sandboxkit_local.terminal import LocalTerminal
from sandboxkit_local.wire import frame

PAGE = 200
RESTART_LIMIT = 60.0
"""Seconds that a restart without a deadline may take."""

_CLAIM_PAUSE = 0.01
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class LocalProvider(ProviderBase):
    """Sandboxes on this host: namespaces, an own root, and a PID 1 that starts commands and keeps the deadline."""

    name = "local"

    def __init__(self, world: World, options: LocalConnect) -> None:
        super().__init__(world)
        if not sys.platform.startswith("linux"):
            raise Unsupported(
                f"provider 'local' needs Linux, this is {sys.platform}; use provider 'docker'",
                capability="isolation",
                reason="needs Linux",
            )
        self.isolated = options.isolation == "namespaces"
        self.state: State = find_state(options.state_dir)
        self._capabilities = declared.capabilities(isolated=self.isolated)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        return self._capabilities

    # -- create ---------------------------------------------------------------------------------------------------

    async def create(self, request: CreateRequest, *, until: float | None) -> SandboxInfo:
        options = self._check(request.spec)
        await self.world.call(make_state, self.state, until=until)
        claim = self.state.claim(request.owner, request.key)
        while True:
            other = self.state.claimed_by(claim)
            if other is not None:
                found = await self._same(other, request, until)
                if found is not None:
                    return found
            plan = self._plan(request, options, claim)
            made = await self._build(plan, request.key, until)
            if made is not None:
                return made

    def _check(self, spec: SandboxSpec) -> LocalOptions:
        """Refuse what cannot be honoured, before anything is made."""
        asked = {
            "image": spec.image is not None,
            "cpu": spec.cpu is not None,
            "memory": spec.memory_gib is not None,
            "user": spec.user is not None,
            "ports": bool(spec.ports),
            "network_off": spec.network is False,
            "network_on": spec.network is True,
        }
        for name, wanted in asked.items():
            if wanted and not self._capabilities[name]:
                reason = self._capabilities[name].reason
                raise Unsupported(
                    f"provider 'local' does not support {name!r}: {reason}", capability=name, reason=reason
                )
        options = LocalOptions() if spec.options is None else spec.options
        if not isinstance(options, LocalOptions):
            raise InvalidSpec(f"options for provider 'local' are LocalOptions, not {type(options).__name__}")
        options.check(os.path.realpath(self.state.path))
        if not self.isolated and options != LocalOptions():
            raise Unsupported(
                "isolation='none' has no limits and no view of its own: leave LocalOptions out",
                capability="pids",
                reason=self._capabilities["pids"].reason,
            )
        if spec.cwd is not None and (not spec.cwd.startswith("/") or "\0" in spec.cwd):
            raise InvalidSpec(f"cwd must be an absolute path, not {spec.cwd!r}")
        return options

    def _plan(self, request: CreateRequest, options: LocalOptions, claim: str) -> Plan:
        spec = request.spec
        sandbox_id = self.state.new_id()
        home, tmp, cwd = "/root", "", "/workspace"
        if not self.isolated:
            home, tmp, cwd = (f"{self.state.of(sandbox_id)}/{name}" for name in ("home", "tmp", "workspace"))
        env = {"PATH": _PATH, "HOME": home, "LANG": "C.UTF-8", "USER": "root", "LOGNAME": "root"}
        if not self.isolated:
            env["TMPDIR"] = tmp
            env["USER"] = env["LOGNAME"] = _user_name()
        env.update(spec.env)
        return Plan(
            id=sandbox_id.encode(),
            state=os.fsencode(self.state.path),
            claim=claim.encode(),
            meta=make_meta(sandbox_id, request, claim, "namespaces" if self.isolated else "none"),
            cwd=os.fsencode(spec.cwd or cwd),
            expires_at=request.expires_at,
            pids=options.pids,
            network=bool(spec.network) or not self.isolated,
            isolated=self.isolated,
            shown=[os.fsencode(path) for path in options.read_only],
            env=[part.encode("utf-8", "surrogateescape") for pair in env.items() for part in pair],
            command=[word.encode("utf-8", "surrogateescape") for word in spec.command or ()],
        )

    async def _build(self, plan: Plan, key: str, until: float | None) -> SandboxInfo | None:
        """Have the sandbox built; ``None`` when another one has claimed the key meanwhile."""
        builder: creation.Builder | None = None

        async def start() -> None:
            nonlocal builder
            builder = await self.world.call(
                creation.start_builder, plan, until=until, undo=lambda late: late.abandon()
            )

        try:
            # To its end: a caller who goes away meanwhile must be able to wait until it is undone.
            await self.world.protect(start(), until=self.world.now() + creation.UNDO_LIMIT)
            if builder is None:
                raise DeadlineExceeded("the process that builds the sandbox could not be started in time")
            words = await creation.hear(self.world, builder, until=until)
            if words[0] == b"failed":
                raise creation.failure(words)
            info = None
            if words[0] == b"ready":
                info = await self.world.call(self.state.info, os.fsdecode(plan.id), until=until)
        except BaseException as exc:
            undone = await self._leave(builder) if builder is not None else True
            try:
                # Nothing is there, unless the building process was killed itself.
                await self.world.call(self.state.remove_unfinished, os.fsdecode(plan.id))
                await self.delete(os.fsdecode(plan.id), until=self.world.now() + creation.UNDO_LIMIT)
            except (SandboxError, OSError):
                undone = False
            if not undone and isinstance(exc, ProviderError):
                exc.leftover = key
            raise
        if info is None:
            await self._leave(builder)
            return None
        builder.take()
        try:
            await self._leave(builder)
        except BaseException:
            # Interrupted when it was ours already, and before anyone could know of it.
            await self.world.protect(self.delete(info.id, until=None), until=self.world.now() + creation.UNDO_LIMIT)
            raise
        return attrs.evolve(info, status=Status.RUNNING)

    async def _leave(self, builder: creation.Builder) -> bool | None:
        return await self.world.protect(
            creation.leave(self.world, builder), until=self.world.now() + creation.UNDO_LIMIT + 1
        )

    async def _same(self, other: str, request: CreateRequest, until: float | None) -> SandboxInfo | None:
        """Give the sandbox that has this key once it is ready; ``None`` if it, or its creator, is no more."""
        while True:
            try:
                meta = await self.world.call(self.state.meta, other, until=until)
                info = await self.world.call(self.state.info, other, until=until)
            except SandboxNotFound:
                return None
            if meta.get("fingerprint") != request.fingerprint and info.status in (Status.CREATING, Status.RUNNING):
                raise IdempotencyConflict(
                    f"the idempotency key of sandbox {other} was used again with another specification"
                )
            if info.status is not Status.CREATING:
                return info if info.status is Status.RUNNING else None
            if until is not None and self.world.now() >= until:
                raise DeadlineExceeded(f"sandbox {other}, which has this idempotency key, is still being made")
            await self.world.sleep(_CLAIM_PAUSE)

    # -- get, list, delete, extend --------------------------------------------------------------------------------

    async def get(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        return await self.world.call(self.state.info, sandbox_id, until=until)

    async def list(
        self,
        *,
        labels: Mapping[str, str],
        statuses: Collection[Status],
        cursor: str | None,
        until: float | None,
    ) -> Page:
        return await self.world.call(self._page, dict(labels), frozenset(statuses), cursor, until=until)

    def _page(self, labels: dict[str, str], statuses: frozenset[Status], cursor: str | None) -> Page:
        if cursor is None:
            self.state.sweep()
        ids = [name for name in self.state.ids() if cursor is None or name > cursor]
        items = []
        for name in ids[:PAGE]:
            with contextlib.suppress(SandboxNotFound):  # deleted meanwhile
                items.append(self.state.info(name))
        kept = [
            info
            for info in items
            if (not statuses or info.status in statuses) and labels.items() <= info.labels.items()
        ]
        return Page(items=tuple(kept), cursor=ids[PAGE - 1] if len(ids) > PAGE else None)

    async def delete(self, sandbox_id: str, *, until: float | None) -> bool:
        try:
            isolation = (await self.world.call(self.state.meta, sandbox_id, until=until)).get("isolation")
        except SandboxNotFound:
            return False
        try:
            while True:
                await ending.end(self.world, self.state, sandbox_id, until)
                if isolation == "none":
                    await self.world.call(ending.end_plain_processes, sandbox_id, until=until, urgent=True)
                removed = await self.world.call(self.state.remove, sandbox_id, until=until, urgent=True)
                if removed is not None:
                    return removed
                # Another client restarts it, or removes it.
                await ending.look_again(self.world, sandbox_id, until)
        except OSError as exc:
            raise ProviderError(
                f"sandbox {sandbox_id} is ended, but its files in {self.state.path} cannot be removed: {exc.strerror}"
            ) from exc

    async def restart(self, sandbox_id: str, *, until: float | None) -> SandboxInfo:
        """Replace PID 1 and everything that it ran, over the same files."""
        while True:
            info = await self.get(sandbox_id, until=until)
            if info.status is Status.FAILED:
                raise SandboxNotRunning(f"local sandbox {sandbox_id} was never whole", status=info.status)
            if info.expires_at is not None and info.expires_at <= time.time():
                raise SandboxNotRunning(
                    f"local sandbox {sandbox_id} has reached its deadline and cannot restart; make another",
                    status=info.status,
                )
            plan = await self.world.call(self.state.plan, sandbox_id, until=until)
            plan.again = True
            # To its end, or the sandbox would be left stopped.
            word = await self.world.protect(
                self._rebuild(plan, until), until=self.world.now() + RESTART_LIMIT if until is None else until + 1.0
            )
            if word == b"ready":
                return attrs.evolve(await self.get(sandbox_id, until=until), status=Status.RUNNING)
            # Another client restarts or removes it.
            await ending.look_again(self.world, sandbox_id, until)

    async def _rebuild(self, plan: Plan, until: float | None) -> bytes:
        builder = await self.world.call(creation.start_builder, plan, until=until, undo=creation.Builder.abandon)
        try:
            words = await creation.hear(self.world, builder, until=until)
        finally:
            await creation.leave(self.world, builder)
        if words[0] == b"failed":
            raise creation.failure(words)
        return words[0]

    async def extend(self, sandbox_id: str, *, expires_at: float, until: float | None) -> SandboxInfo:
        """Move the deadline (seconds since the epoch); PID 1 keeps and notes it, so no one sees another."""
        connection = await connect(self.world, self.state, sandbox_id, until=until)
        try:
            sent = await connection.send(frame(b"extend", b"%.6f" % expires_at), until=until)
            answer = await connection.answer(until=until) if sent else None
        finally:
            connection.close()
        if answer is None:
            if until is not None and self.world.now() >= until:
                raise DeadlineExceeded(f"sandbox {sandbox_id} did not confirm its new deadline in time")
            raise ProviderUnavailable(f"sandbox {sandbox_id} did not confirm its new deadline")
        return await self.get(sandbox_id, until=until)

    # -- commands -------------------------------------------------------------------------------------------------

    async def start_process(self, sandbox_id: str, command: Command, *, until: float | None) -> LocalProcess:
        """Start a command without a launcher: PID 1 spawns it, and its pipes come straight to this process."""
        self._check_user(command.user)
        return await process.start(LocalProcess, self.world, self.state, sandbox_id, command, until=until)

    async def start_terminal(
        self, sandbox_id: str, command: Command, size: TerminalSize, *, until: float | None
    ) -> LocalTerminal:
        """Start a command on a terminal that PID 1 opens in the sandbox and hands over."""
        self._check_user(command.user)
        return await process.start(LocalTerminal, self.world, self.state, sandbox_id, command, size, until=until)

    async def open_channel(
        self,
        sandbox_id: str,
        argv: tuple[str, ...],
        *,
        user: str | None,
        urgent: bool,
        until: float | None,
    ) -> LocalProcess:
        """Give the plain channel to ``argv``; closing it ends its input."""
        self._check_user(user)
        words = tuple(word.encode("utf-8", "surrogateescape") for word in argv)
        started = await self.start_process(sandbox_id, Command(argv=words, stdin=Stdin(kind="stream")), until=until)
        if started.started is None:
            await started.close()
            raise DeadlineExceeded(f"sandbox {sandbox_id} did not start a process within the operation's deadline")
        return started

    def _check_user(self, user: str | None) -> None:
        if user is not None:
            reason = self._capabilities["exec_user"].reason
            raise Unsupported(
                f"provider 'local' does not support 'exec_user': {reason}", capability="exec_user", reason=reason
            )


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
