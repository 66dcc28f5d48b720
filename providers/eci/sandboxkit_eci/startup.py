"""Waiting for a new group until it runs, or telling why it never will."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from sandboxkit.commandcheck import answer, no_program, question
from sandboxkit.errors import DeadlineExceeded, ProviderError, SandboxError, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import Status
from sandboxkit.retry import retrying
from sandboxkit_eci import verdict
from sandboxkit_eci.faults import redacted

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

T = TypeVar("T")

MISSING = 10.0
"""Seconds for which a group that has shown may be missing: not all of the service knows it at the same time."""


@attrs.define
class Vanished(Exception):
    """The group is there no more, or is being removed; ``error`` says so to who made it."""

    error: SandboxError


@attrs.frozen
class Startup:
    """What is waited with; what the service says of a failure is told without the ``secrets``."""

    provider: EciProvider
    command: tuple[str, ...] | None
    secrets: tuple[str, ...]
    until: float | None

    async def wait(self, group_id: str, *, mine: bool, shown: bool) -> Status:
        """Wait until the group runs; raises what its events say otherwise, or ``Vanished``.

        The command of one that is ``mine`` is checked, too. One that has not ``shown`` yet may take any time for it.
        """
        group = await self.provider.waiting.becomes(group_id, self._settled(shown), until=self.until)
        if group is None:
            raise self._vanished(group_id)
        if str(group.get("Status")) == "Terminating":
            raise Vanished(ProviderError("the sandbox was removed while it was being created"))
        if str(group.get("Status")) == "Running":
            if not mine or self.command is None or await self._checks_command(group_id, self.command[0]):
                return Status.RUNNING
            ended = await self._ended(group_id)
            if ended is None:
                return Status.RUNNING
            group = ended
        whole = await self._asking(lambda: self.provider.api.group(group_id, events=True, until=self.until)) or group
        if self.command is not None and verdict.exit_code(whole) not in (None, 126, 127):
            return Status.STOPPED  # a command that was quick
        error = verdict.failure(whole) or verdict.failure(group) or ProviderError("the sandbox cannot start")
        if verdict.exit_code(whole) in (126, 127) and self.command is not None:
            error = no_program(self.command[0])
        error.message = redacted(error.message, self.secrets)
        error.args = (error.message,)
        raise error

    def _settled(self, shown: bool) -> Callable[[Mapping[str, Any] | None], bool]:
        """Make the check that waiting is over: also for a group that was seen and does not show any more."""
        world = self.provider.world
        end: float | None = None

        def settled(group: Mapping[str, Any] | None) -> bool:
            nonlocal shown, end
            if group is not None:
                shown, end = True, None
                return verdict.is_settled(group)
            if end is None:
                end = world.now() + MISSING
            return shown and world.now() >= end

        return settled

    async def _ended(self, group_id: str) -> Mapping[str, Any] | None:
        """Give a group that seems to have ended, once the service tells so; ``None`` if it goes on saying it runs."""
        end = self.provider.world.now() + MISSING
        shown = True

        def settled(group: Mapping[str, Any] | None) -> bool:
            nonlocal shown
            shown = group is not None
            return group is not None and str(group.get("Status")) != "Running"

        with contextlib.suppress(DeadlineExceeded):
            return await self.provider.waiting.becomes(
                group_id, settled, until=end if self.until is None else min(end, self.until)
            )
        if not shown:
            raise self._vanished(group_id)
        return None

    def _vanished(self, group_id: str) -> Vanished:
        self.provider.memory.gone(group_id)  # it is no new one any more, which may be there and not show yet
        return Vanished(verdict.vanished())

    async def _checks_command(self, group_id: str, program: str) -> bool:
        """Refuse a command that cannot be run: the keep-alive starts it, the service knows nothing of it.

        ``False`` if the container had ended before that could be told.
        """
        asking = functools.partial(self.provider.output, group_id, question(program), until=self.until)
        try:
            found = answer(await self._asking(asking))
        except (SandboxNotRunning, SandboxNotFound):
            return False
        if found is False:
            raise no_program(program)
        return found is True

    # A fault that passes is no reason to undo what was made.
    async def _asking(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(self.provider.world, call, until=self.until)
