"""One sandbox, as its user sees it (asyncio; the blocking face is derived in :mod:`sandboxkit.sync`)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self, cast

import attrs

from sandboxkit.commands import DEFAULT_SHELL, DEFAULT_TERM, CommandLike, Word, check_data, check_size, make_command
from sandboxkit.errors import CommandFailed, DeadlineExceeded, InvalidCommand, InvalidSpec
from sandboxkit.execution import execute, start
from sandboxkit.files import AsyncFiles
from sandboxkit.model import DEFAULT_MAX_OUTPUT, Command, Result, SandboxInfo, Stdin, TerminalSize
from sandboxkit.opening import Opening
from sandboxkit.process import AsyncProcess
from sandboxkit.provider import Extendable, Restartable
from sandboxkit.retry import retrying
from sandboxkit.tmux import AsyncTmux

if TYPE_CHECKING:
    from sandboxkit.client import AsyncClient

INFO_LIMIT = 30.0
"""Seconds that asking about a sandbox may take."""

RESTART_LIMIT = 120.0
"""Seconds that a restart may take."""

LONGEST_TTL = 1e9
"""Seconds, some 30 years: later dates are not known everywhere."""

CLEANUP_LIMIT = 30.0
"""Seconds that a ``with`` block's way out may take to delete its sandbox."""


@attrs.define(eq=False)
class AsyncSandbox:
    """A sandbox. From ``create`` its ``async with`` block deletes it on the way out; from ``get`` it does not."""

    _client: AsyncClient = attrs.field(repr=False)
    id: str
    owned: bool
    """Whether leaving this object's block deletes the sandbox."""

    @property
    def files(self) -> AsyncFiles:
        """Its files; see :class:`~sandboxkit.files.AsyncFiles`."""
        provider = self._client.provider
        return AsyncFiles(provider.files(self.id), provider, self.id)

    @property
    def tmux(self) -> AsyncTmux:
        """Its tmux sessions; see :class:`~sandboxkit.tmux.AsyncTmux`."""
        return AsyncTmux(self._client, self.id)

    def _command(
        self,
        command: CommandLike,
        stdin: Stdin,
        cwd: Word | None,
        env: Mapping[str, str] | None,
        user: str | None,
        shell: Sequence[Word],
        timeout: float | None,
    ) -> Command:
        if user is not None:
            self._client.require("exec_user")
        return make_command(command, cwd=cwd, env=env, user=user, shell=shell, timeout=timeout, stdin=stdin)

    async def exec(
        self,
        command: CommandLike,
        *,
        input: bytes | str | None = None,
        cwd: Word | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        shell: Sequence[Word] = DEFAULT_SHELL,
        timeout: float | None = None,
        max_output: int | None = DEFAULT_MAX_OUTPUT,
        check: bool = False,
    ) -> Result:
        """Run a command to its end and give its exit code and output (X1-X12).

        A list runs without a shell, a string of any length in ``shell``. ``input`` (text as UTF-8) becomes its
        stdin, which is closed at once otherwise. ``env`` adds to the sandbox's environment, ``cwd`` and ``user``
        (capability ``exec_user``) replace its own. ``timeout`` is in seconds: then the whole tree is ended.
        ``max_output`` bytes are kept of each stream (head and tail), ``None`` keeps all.

        Raises ``InvalidCommand`` or ``ArgumentsTooLong`` before anything is sent, ``CommandTimeout``,
        ``WorkingDirectoryError``, ``CommandLost`` (no exit code will ever be known), ``SandboxNotFound``,
        ``SandboxNotRunning``, ``ProviderError``; and ``CommandFailed`` for a non-zero exit only with ``check=True``.
        """
        data = b"" if input is None else check_data(input, "input")
        stdin = Stdin(kind="known", length=len(data), data=data) if data else Stdin()
        checked = self._command(command, stdin, cwd, env, user, shell, timeout)
        budget = check_budget(max_output)
        result = await execute(self._client.provider, self.id, checked, data, max_output=budget)
        if check and result.exit_code != 0:
            raise CommandFailed(
                f"the command in sandbox {self.id} ended with exit code {result.exit_code}", result=result
            )
        return result

    def spawn(
        self,
        command: CommandLike,
        *,
        cwd: Word | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        shell: Sequence[Word] = DEFAULT_SHELL,
        timeout: float | None = None,
        stdin: bool = False,
        terminal: TerminalSize | tuple[int, int] | None = None,
        max_output: int | None = DEFAULT_MAX_OUTPUT,
    ) -> Opening[AsyncProcess]:
        """Start a command and follow it (X9): await it or enter it; leaving the block ends it.

        Its stdin is open only with ``stdin=True``, else closed at once. ``max_output`` bounds the output that is
        set aside while nobody iterates. Everything else, and the errors, are those of :meth:`exec`.

        ``terminal``, a size as ``(rows, columns)``, puts it in the foreground of a terminal of its own (X13,
        capability ``pty``): what is written is typed, all output is stdout, and ``TERM`` is ``xterm-256color``
        unless ``env`` has another.
        """
        size = None
        kind = Stdin(kind="stream") if stdin else Stdin()
        if terminal is not None:
            self._client.require("pty")
            size = check_size(terminal)
            kind = Stdin(kind="raw")
        checked = self._command(command, kind, cwd, env, user, shell, timeout)
        if size is not None:
            checked = attrs.evolve(checked, env={"TERM": DEFAULT_TERM.encode(), **checked.env})
        budget = check_budget(max_output)
        return Opening(start(self._client.provider, self.id, checked, max_output=budget, size=size))

    async def info(self) -> SandboxInfo:
        """Ask the backend what the sandbox is and does."""
        return await self._client.info(self.id)

    async def extend(self, ttl: float) -> SandboxInfo:
        """Move the deadline to ``ttl`` seconds from now (capability ``extend``)."""
        self._client.require("extend")
        provider = cast("Extendable", self._client.provider)
        expires_at = time.time() + check_ttl(ttl)
        world = self._client.provider.world
        until = world.now() + INFO_LIMIT
        return await retrying(
            world, lambda: provider.extend(self.id, expires_at=expires_at, until=until), until=until
        )

    async def restart(self) -> SandboxInfo:
        """End every process and session, and start the sandbox again under its id (capability ``restart``; L6).

        The deadline stays. Files survive where ``restart_keeps_files`` is declared. Commands that run meanwhile end
        with ``CommandLost`` or ``SandboxNotRunning``, new ones may be refused with the latter until this returns.
        A sandbox that has stopped before its deadline is started; after it, ``SandboxNotRunning``.
        """
        self._client.require("restart")
        provider = cast("Restartable", self._client.provider)
        world = self._client.provider.world
        await self._client.cool(self.id)
        # Not repeated: what was started after a restart whose reply was lost would be ended by another.
        info = await provider.restart(self.id, until=world.now() + RESTART_LIMIT)
        from sandboxkit.log import logger

        logger.info("restarted sandbox %s", self.id)
        return info

    async def delete(self) -> bool:
        """Delete it and wait until it is gone; ``False`` if it was gone already (L5)."""
        return await self._client.delete(self.id)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.owned:
            return
        world = self._client.provider.world
        done = await world.protect(self.delete(), until=world.now() + CLEANUP_LIMIT)
        if done is None:
            raise DeadlineExceeded(
                f"sandbox {self.id} was not gone {CLEANUP_LIMIT:g} s after its block ended; "
                f"its deadline and gc take it"
            )


def check_ttl(ttl: float) -> float:
    """Check a time to live: seconds, more than none and at most :data:`LONGEST_TTL`."""
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl <= LONGEST_TTL:
        raise InvalidSpec(f"ttl must be a positive number of seconds, at most {LONGEST_TTL:g}, not {ttl!r}")
    return float(ttl)


def check_budget(max_output: int | None) -> int | None:
    """Check an output budget: bytes, or ``None`` for no limit."""
    if max_output is not None and (isinstance(max_output, bool) or not isinstance(max_output, int) or max_output < 0):
        raise InvalidCommand(f"max_output must be a number of bytes or None, not {max_output!r}")
    return max_output
