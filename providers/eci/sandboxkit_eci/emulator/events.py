"""A group's events: the newest fifty, equal ones counted."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

KEPT = 50


@attrs.define(kw_only=True)
class Event:
    """Something that happened. ``type`` is ``Normal`` or ``Warning``; times are seconds since the epoch."""

    name: str
    reason: str
    message: str
    type: str
    first: float
    last: float
    count: int = 1


class Events:
    """Collects them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._events: list[Event] = []
        self._made = 0

    def __iter__(self) -> Iterator[Event]:
        return iter(self._events)

    def add(self, reason: str, message: str, *, now: float, warning: bool = False) -> None:
        """Note one, or count it if its like is among the newest."""
        for event in self._events:
            if (event.reason, event.message) == (reason, message):
                event.count += 1
                event.last = now
                return
        self._made += 1
        kind = "Warning" if warning else "Normal"
        name = f"{self._name}.{self._made:x}"
        self._events.append(Event(name=name, reason=reason, message=message, type=kind, first=now, last=now))
        del self._events[:-KEPT]
