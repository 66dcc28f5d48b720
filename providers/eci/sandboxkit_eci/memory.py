"""What one client remembers of groups, so that it need not ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import attrs

from sandboxkit import bookkeeping as books
from sandboxkit_eci import describe
from sandboxkit_eci import tags as marks

KNOWN = 4096
"""Groups that are remembered."""

FRESH = 60.0
"""Seconds for which the service may not yet tell of a group that it has made."""

APPEARS = 5.0
"""Seconds in which one call waits for such a group to show."""


@attrs.frozen
class Known:
    """A group that is sandboxkit's: its key's digest, its container's name, and when this client made it."""

    key: str
    container: str
    made: float | None = None


@attrs.define(eq=False)
class Memory:
    """Used by any number of threads."""

    _known: dict[str, Known] = attrs.field(factory=dict, init=False)
    _deleted: dict[str, None] = attrs.field(factory=dict, init=False)
    _unanswered: dict[str, None] = attrs.field(factory=dict, init=False)
    _generations: dict[str, int] = attrs.field(factory=dict, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def made(self, group_id: str, key: str, container: str) -> None:
        """Note a group that this client made."""
        self._put(group_id, Known(key, container, time.monotonic()))

    def met(self, group: Mapping[str, Any]) -> None:
        """Note a group of ours that the API described."""
        group_id = str(group.get("ContainerGroupId"))
        before = self._known.get(group_id)
        key = marks.of_group(group).get(books.KEY, "")
        self._put(group_id, Known(key, describe.container_name(group), before.made if before else None))

    def _put(self, group_id: str, known: Known) -> None:
        with self._lock:
            self._known.pop(group_id, None)
            while len(self._known) >= KNOWN:
                del self._known[next(iter(self._known))]
            self._known[group_id] = known

    def find(self, group_id: str) -> Known | None:
        """Give what is remembered of a group that was there when it was last heard of."""
        return self._known.get(group_id)

    def is_fresh(self, group_id: str) -> bool:
        """Whether this client made the group so lately that it may be there although the service does not say."""
        known = self._known.get(group_id)
        return known is not None and known.made is not None and time.monotonic() - known.made < FRESH

    def gone(self, group_id: str) -> None:
        """Forget a group that was not there."""
        with self._lock:
            self._known.pop(group_id, None)

    def deleted(self, group_id: str) -> None:
        """Note that this client's delete was confirmed; its key's next group needs another token."""
        with self._lock:
            known = self._known.pop(group_id, None)
            self._unanswered.pop(group_id, None)
            while len(self._deleted) >= KNOWN:
                del self._deleted[next(iter(self._deleted))]
            self._deleted[group_id] = None
            if known is not None and known.key:
                while len(self._generations) >= KNOWN:
                    del self._generations[next(iter(self._generations))]
                self._generations[known.key] = self._generations.get(known.key, 0) + 1

    def unanswered(self, group_id: str) -> None:
        """Note that this client asked to delete the group and got no answer: if it is gone, that was us."""
        with self._lock:
            while len(self._unanswered) >= KNOWN:
                del self._unanswered[next(iter(self._unanswered))]
            self._unanswered[group_id] = None

    def is_unanswered(self, group_id: str) -> bool:
        """Whether a delete of this client's may have taken effect without an answer."""
        return group_id in self._unanswered

    def is_deleted(self, group_id: str) -> bool:
        """Whether this client's delete of the group was confirmed; ids are not used again."""
        return group_id in self._deleted

    def generation(self, key: str) -> int:
        """Give the number of groups of this key that this client has deleted."""
        return self._generations.get(key, 0)
