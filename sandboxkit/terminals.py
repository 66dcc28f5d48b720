"""A command on a terminal, run by the launcher over a byte channel that is one.

The channel's process is the launcher, the leader of the terminal's session; the command is its child in the
foreground. The terminal is ``raw`` while the script comes, so that nothing is echoed or edited, and as it was
before when the command runs. Records stand among its output, which is one stream.

Such a channel has no end of input: nothing in the sandbox sees that its client has gone. So a plain channel to a
watcher stands beside it, whose input ends then, and the watcher hangs up.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any

import attrs

from sandboxkit.errors import DeadlineExceeded, ProviderError, SandboxError
from sandboxkit.launched import ABANDON_LIMIT, LaunchedProcess
from sandboxkit.launcher import (
    BOOTSTRAP,
    NO_SCRIPT,
    READY,
    TERMINAL_BOOTSTRAP,
    Ticket,
    command_script,
    frame,
    hang_up_script,
    terminal_frame,
)
from sandboxkit.model import STDOUT, Command, TerminalSize
from sandboxkit.provider import ByteChannel, ByteTerminal, ProviderBase
from sandboxkit.retry import retrying

FILL_LIMIT = 0.5
"""Seconds in which the process of a start that was interrupted is told that no script comes."""

KEEPING = 1 / 3
"""Of the time after which a backend closes a silent channel, how much passes between turns that keep it."""

Opening = Callable[[tuple[str, ...]], Awaitable[ByteTerminal]]
"""What opens a channel to an argv on a new terminal."""


@attrs.define(eq=False)
class LaunchedTerminal(LaunchedProcess):
    """See :class:`~sandboxkit.provider.TerminalChannel`."""

    terminal: ByteTerminal = attrs.field(kw_only=True)
    size: TerminalSize = attrs.field(kw_only=True)
    watcher: ByteChannel = attrs.field(kw_only=True)
    _let_go: bool = attrs.field(default=False, init=False)
    _call_off: Callable[[], object] | None = attrs.field(default=None, init=False, repr=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._set_up(terminal_frame(command_script(self.command, self.ticket, self.size)), (STDOUT,))
        self._come_back()

    async def send_script(self, *, until: float | None) -> None:
        """Send the whole script, and see the command start: what is sent before that would be typed too early."""
        await super().send_script(until=until)
        while self.started is None and not await self._turn_early(until):
            pass

    async def abandon(self) -> None:
        """End what was started of it, and let go."""
        # Filled up with nothing a script that was cut short is a syntax error, and the wait for the rest is over.
        rest = memoryview(b"\n" * self._script_left)
        until = self.provider.world.now() + FILL_LIMIT
        with suppress(SandboxError):
            while rest and self.provider.world.now() < until:
                rest = rest[(await self.terminal.exchange(rest, receive=False, until=until)).sent :]
        await super().abandon()

    async def resize(self, size: TerminalSize, *, until: float | None = None) -> None:
        if self.report is None:
            await self.terminal.resize(size, until=until)

    async def close(self) -> None:
        with self._lock:
            self._let_go = True
            if self._call_off is not None:
                self._call_off()
        try:
            await super().close()
        finally:
            await self.watcher.close()

    async def keep(self) -> None:
        """Give both channels a turn, in which they say what keeps them, and come back."""
        for channel in (self.watcher, self.terminal):
            # Whoever follows the command is told what is wrong with a channel.
            with suppress(SandboxError):
                await channel.exchange(receive=False, until=self.provider.world.now())
        self._come_back()

    def _come_back(self) -> None:
        limit = self.provider.channel_idle_timeout
        with self._lock:
            if limit is not None and not self._let_go:
                self._call_off = self.provider.world.later(limit * KEEPING, _again(weakref.ref(self)))


def _again(process: weakref.ref[LaunchedTerminal]) -> Callable[[], Coroutine[Any, Any, None]]:
    # One that was dropped without being closed is not kept, and its sockets' warnings are not lost.
    async def keep() -> None:
        alive = process()
        if alive is not None:
            await alive.keep()

    return keep


async def launch_terminal(
    provider: ProviderBase,
    opening: Opening,
    sandbox_id: str,
    command: Command,
    size: TerminalSize,
    *,
    until: float | None,
) -> LaunchedTerminal:
    """Open a terminal with ``opening`` and start a command on it; see ``TerminalProvider.start_terminal``."""
    world = provider.world
    ticket = Ticket()
    opened: list[ByteChannel] = []
    try:
        # The watcher first: then there is no moment in which a dead client is not noticed.
        watcher = await retrying(
            world,
            lambda: provider.open_channel(sandbox_id, BOOTSTRAP, user=command.user, urgent=False, until=until),
            until=until,
        )
        opened.append(watcher)
        await _send(provider, watcher, frame(hang_up_script(ticket)), until)
        terminal = await retrying(world, lambda: opening(TERMINAL_BOOTSTRAP), until=until)
        opened.append(terminal)
        await _ready(provider, terminal, sandbox_id, until)
        process = LaunchedTerminal(
            provider, sandbox_id, command, terminal, ticket, terminal=terminal, size=size, watcher=watcher
        )
    except BaseException:
        await world.protect(_give_up(provider, opened), until=world.now() + ABANDON_LIMIT)
        raise
    try:
        await process.send_script(until=until)
    except BaseException:
        await world.protect(process.abandon(), until=world.now() + ABANDON_LIMIT)
        raise
    return process


async def _send(provider: ProviderBase, channel: ByteChannel, data: bytes, until: float | None) -> None:
    rest = memoryview(data)
    while rest:
        turn = await channel.exchange(rest, until=until)
        rest = rest[turn.sent :]
        if rest:  # what has all of it may close its output at once
            _check_time(provider, turn.closed, until)


async def _ready(provider: ProviderBase, terminal: ByteTerminal, sandbox_id: str, until: float | None) -> None:
    """Wait until the terminal is raw: whatever came sooner would be echoed and edited."""
    said = b""
    while True:
        turn = await terminal.exchange(until=until)
        said += b"".join(chunk.data for chunk in turn.chunks)
        if READY in said:
            return
        if turn.closed:
            words = said.decode("utf-8", "replace").strip()
            raise ProviderError(
                f"sandbox {sandbox_id} could not set up a terminal; does its image have stty? It said: {words!r}"
            )
        _check_time(provider, False, until)


def _check_time(provider: ProviderBase, closed: bool, until: float | None) -> None:
    if closed:
        raise ProviderError("the sandbox closed a channel before anything was started")
    if until is not None and provider.world.now() >= until:
        raise DeadlineExceeded("the terminal was not there within the operation's deadline")


async def _give_up(provider: ProviderBase, channels: list[ByteChannel]) -> None:
    for channel in reversed(channels):
        with suppress(SandboxError):
            await channel.exchange(NO_SCRIPT, receive=False, until=provider.world.now())
        with suppress(SandboxError):
            await channel.close()
