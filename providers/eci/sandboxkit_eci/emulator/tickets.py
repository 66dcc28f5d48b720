"""The addresses of execs: who has a WebSocketUri may open its session, for a while, once."""

from __future__ import annotations

import asyncio
import logging
import secrets

import attrs

from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.clock import Clock
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.session import SessionQuirks

logger = logging.getLogger("sandboxkit.eci.emulator")

MOST = 100_000
"""Tickets that are kept at most, so that an emulator that runs for weeks does not grow."""


@attrs.define(eq=False, kw_only=True)
class Ticket:
    """One exec that was asked for. ``stream`` is there if it has started already."""

    container: Container
    argv: tuple[str, ...] = attrs.field(repr=False)
    tty: bool
    stdin: bool = True
    made: float
    quirks: SessionQuirks
    stream: Stream | None = None
    used: bool = False

    def take(self) -> Stream | None:
        """Give what has started to whom it is for from now on."""
        stream, self.stream = self.stream, None
        return stream


class Tickets:
    """Keeps them by the opaque key of the address."""

    def __init__(self, quirks: Quirks, clock: Clock) -> None:
        self._quirks = quirks
        self._clock = clock
        self._tickets: dict[str, Ticket] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def add(self, ticket: Ticket) -> str:
        """Keep one; give its key."""
        self._sweep(ticket.made)
        key = secrets.token_urlsafe(24)
        self._tickets[key] = ticket
        if ticket.stream is not None:
            # What runs for nobody is let go at its time, whether or not others come.
            self._clock.later(self._quirks.uri_seconds, lambda: self._drop(key))
        return key

    def redeem(self, key: str, *, now: float) -> Ticket | None:
        """Give the ticket if it is good still."""
        ticket = self._tickets.get(key)
        if ticket is None or now - ticket.made > self._quirks.uri_seconds:
            return None
        if self._quirks.uri_single_use:
            del self._tickets[key]
        ticket.used = True
        return ticket

    async def close(self) -> None:
        """Forget all of them."""
        for key in list(self._tickets):
            self._drop(key)
        await asyncio.gather(*self._closing)

    def _sweep(self, now: float) -> None:
        """Forget the oldest that nobody can redeem any more."""
        for key in list(self._tickets):
            if now - self._tickets[key].made <= self._quirks.uri_seconds and len(self._tickets) < MOST:
                return
            self._drop(key)

    def _drop(self, key: str) -> None:
        """Forget one, and let go of what it has started."""
        ticket = self._tickets.pop(key, None)
        stream = None if ticket is None else ticket.take()
        if stream is not None:
            task = asyncio.get_running_loop().create_task(_close(stream))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)


async def _close(stream: Stream) -> None:
    try:
        await stream.close()
    except Exception:
        logger.exception("a command that nobody came for could not be let go")
