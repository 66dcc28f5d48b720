"""A channel that is kept, and the command that is on it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import attrs

from sandboxkit.launched import GONE, LaunchedProcess
from sandboxkit.model import STDERR, STDOUT
from sandboxkit.provider import ByteChannel, Exchange
from sandboxkit.records import Readiness, RecordScanner, Verdict, ready
from sandboxkit.runner import SETUP, is_embedded, is_fed, request

if TYPE_CHECKING:
    from sandboxkit.pool import Pool

_KEPT = 256
"""Bytes behind the record of the end that are looked at: there should be none, or another record."""


@attrs.define(eq=False)
class WarmChannel:
    """A channel with a runner behind it, or soon."""

    channel: ByteChannel
    ahead: bytes | memoryview = SETUP
    """What is to be sent before the next request."""
    scripts: dict[bytes, bytes] = attrs.field(factory=dict, init=False, repr=False)
    """What its runner knows; see :func:`~sandboxkit.runner.request`."""
    used: float = 0.0
    """When it was last given back; 0 for one that is new."""

    async def hear(self, readiness: Readiness, *, now: Callable[[], float], until: float) -> Verdict:
        """Hear what the runner says behind a command's end; ``spent`` if that does not come."""
        while (verdict := readiness.verdict) is None or (verdict == "ready" and self.ahead):
            turn = await self.channel.exchange(self.ahead, until=until)
            self.ahead = memoryview(self.ahead)[turn.sent :]
            for chunk in turn.chunks:
                readiness.feed(chunk.stream, chunk.data)
            if turn.closed or now() >= until:
                return readiness.verdict or "spent"
        return verdict

    async def is_there(self, *, now: float) -> bool:
        """Tell, as far as that shows here, whether the runner still waits for a command.

        A channel that asks its peer whether it is there may have a method ``is_silent()``, which tells whether the
        answers have stopped coming.
        """
        turn = await self.channel.exchange(until=now)
        if turn.closed or turn.chunks:
            return False
        # Asked only here, where nothing runs: a peer whose command does not read its input may take no pings either.
        is_silent: Callable[[], bool] | None = getattr(self.channel, "is_silent", None)
        return is_silent is None or not is_silent()


@attrs.define(eq=False)
class WarmProcess(LaunchedProcess):
    """A command on a kept channel; it is given back at its end."""

    pool: Pool = attrs.field(kw_only=True, repr=False)
    warm: WarmChannel = attrs.field(kw_only=True, repr=False)
    _given: int = attrs.field(default=0, init=False)
    _killers: set[object] = attrs.field(factory=set, init=False, repr=False)
    """One for each kill script that may be at it: it would take the next command on the channel for this one."""
    _users: set[object] = attrs.field(factory=set, init=False, repr=False)
    """One for each thread or task that is at the channel."""
    _closing: threading.Lock = attrs.field(factory=threading.Lock, init=False, repr=False)
    """Held for ever by whoever closes it, so that the channel is given back once.

    It is taken before the killers and users are looked at, and looked at after one has joined them: another thread
    that comes late either sees that it is closed or is seen.
    """

    def __attrs_post_init__(self) -> None:
        script = bytes(self.warm.ahead) + request(self.command, self.ticket, self.warm.scripts)
        self.warm.ahead = b""
        self._set_up(script, ())
        self._scanners = {stream: RecordScanner(self.ticket.token, _KEPT) for stream in (STDOUT, STDERR)}

    async def exchange(
        self, outgoing: bytes | memoryview = b"", *, receive: bool = True, until: float | None = None
    ) -> Exchange:
        user = object()
        self._users.add(user)
        try:
            if self._closing.locked():
                return Exchange(closed=True)  # the channel may be another's by now
            if outgoing and is_embedded(self.command):
                return Exchange(sent=len(outgoing))  # it went with the request
            return await super().exchange(outgoing, receive=receive, until=until)
        finally:
            self._users.discard(user)

    def _account(self, sent: int) -> int:
        given = super()._account(sent)
        self._given += given
        if given and is_fed(self.command) and self._given == self.command.stdin.length:
            self._ahead = memoryview(self.ticket.token + b"\n")
        return given

    async def _kill_once(self, until: float) -> int | None:
        # Before it begins: meanwhile the command may end by itself, and be heard out by another task or thread.
        killer = object()
        self._killers.add(killer)
        if self._closing.locked():
            return GONE if self._report is not None else None
        code = await super()._kill_once(until)
        if code == GONE:
            self._killers.discard(killer)
        return code

    async def close(self) -> None:
        if not self._closing.acquire(blocking=False):
            return
        verdict = self._verdict()
        if verdict is None:
            # It is heard out at once: what was left behind could else write until the channel is full, and then stop.
            self.warm.ahead = self._ahead
            readiness = Readiness(self.ticket.token)
            for stream, scanner in self._scanners.items():
                readiness.feed(stream, scanner.rest)
            verdict = await self.pool.hear(self.warm, readiness)
        await self.pool.give_back(self.warm, verdict)

    def _verdict(self) -> Verdict | None:
        """Say what is to become of the channel; ``None`` if its runner is still to say it."""
        if self._report is None or self._end is None or self._interrupted or self._killers or self._users:
            return "spent"
        if is_fed(self.command):
            return None if self._given == self.command.stdin.length else "spent"
        if any(scanner.rest for scanner in self._scanners.values()):
            return "spent"
        return ready(self._end[2]) if len(self._end) == 3 else "spent"
