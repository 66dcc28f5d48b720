"""What groups live on: where containers are made, the time, and how the service behaves."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from sandboxkit_eci.emulator.backend import Backend
from sandboxkit_eci.emulator.clock import Clock
from sandboxkit_eci.emulator.delays import Delays
from sandboxkit_eci.emulator.groups import Group
from sandboxkit_eci.emulator.quirks import Quirks

USUAL = frozenset(
    {"Pulling", "Pulled", "Created", "Started", "BackOff", "SuccessfulHitImageCache", "MissingImageCache"}
)
"""Reasons of events that Kubernetes has; Alibaba's documents name none of them."""


@attrs.define(kw_only=True, eq=False)
class Runtime:
    """One for all groups of an emulator."""

    backend: Backend
    clock: Clock = attrs.field(factory=Clock)
    quirks: Quirks = attrs.field(factory=Quirks)
    delays: Delays = attrs.field(factory=Delays)
    images: set[str] = attrs.field(factory=set)
    """Images that are in a cache."""
    changed: Callable[[], None] = lambda: None
    """Called when something has changed that is to outlive the emulator."""

    def note(self, group: Group, reason: str, message: str, *, warning: bool = False) -> None:
        """Note an event of a group's, now."""
        self.changed()
        if reason in USUAL and not self.quirks.usual_events:
            return
        group.events.add(reason, message, now=self.clock.now(), warning=warning)
