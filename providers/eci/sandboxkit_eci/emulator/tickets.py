"""The addresses of execs: who has a WebSocketUri may open its session, for a while, once."""

from __future__ import annotations

import secrets

import attrs

from sandboxkit_eci.emulator.backend import Stream
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.quirks import Quirks
from sandboxkit_eci.emulator.session import SessionQuirks

MOST = 100_000
"""Tickets that are kept at most, so that an emulator that runs for weeks does not grow."""


@attrs.define(eq=False, kw_only=True)
class Ticket:
    """One exec that was asked for. ``stream`` is there if it has started already."""

    container: Container
    argv: tuple[str, ...] = attrs.field(repr=False)
    tty: bool
    made: float
    quirks: SessionQuirks
    stream: Stream | None = None
    used: bool = False


class Tickets:
    """Keeps them by the opaque key of the address."""

    def __init__(self, quirks: Quirks) -> None:
        self._quirks = quirks
        self._tickets: dict[str, Ticket] = {}

    def add(self, ticket: Ticket) -> str:
        """Keep one; give its key."""
        self._sweep(ticket.made)
        key = secrets.token_urlsafe(24)
        self._tickets[key] = ticket
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

    def _sweep(self, now: float) -> None:
        """Forget the oldest that nobody can redeem any more."""
        for key in list(self._tickets):
            if now - self._tickets[key].made <= self._quirks.uri_seconds and len(self._tickets) < MOST:
                return
            del self._tickets[key]
