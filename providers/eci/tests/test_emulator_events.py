"""A group's events."""

from __future__ import annotations

from sandboxkit_eci.emulator.events import Events


def test_only_the_newest_fifty_events_are_kept_and_equal_ones_counted() -> None:
    events = Events("g")
    for number in range(60):
        events.add(f"R{number}", "m", now=float(number))
    events.add("R59", "m", now=60.0)
    assert [f"R{number}" for number in range(10, 60)] == [event.reason for event in events]
    assert [(e.count, e.first, e.last) for e in events][-1] == (2, 59.0, 60.0)
