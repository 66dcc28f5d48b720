"""Which ids of the host a sandbox gets: never those of its root."""

from __future__ import annotations

import os

from sandboxkit_local.inside.plan import StepFailed

FIRST_ID = 0x70000000
IDS = 65536
RANGES = 4095
"""Root's sandboxes get ids that nothing else on a host uses (systemd's "Users, Groups, UIDs and GIDs")."""


def choose_ids(name: str) -> tuple[int, int]:
    """Give the first host id and the number of ids of a sandbox: never the host's root.

    For root a range that follows from the sandbox's name; where root itself has a map without those ids (root of a
    container), the upper end of the map. An ordinary user has only himself.
    """
    if os.geteuid() != 0:
        return os.geteuid(), 1
    first = FIRST_ID + int(name.rsplit("-", 1)[-1], 16) % RANGES * IDS
    extents = []
    with open("/proc/self/uid_map") as lines:
        for line in lines:
            inside, outside, count = map(int, line.split())
            if inside <= first and first + IDS <= inside + count:
                return first, IDS
            extents.append((inside, count, outside))
    inside, count, outside = max(extents, key=lambda extent: extent[1])
    if count == 1 and inside == 0 and outside != 0:
        return 0, 1  # an ordinary user, who is called root in here
    last = inside + count
    first = max(last - IDS, inside + (inside == 0))
    if first >= last:
        raise StepFailed("choosing ids", 0, "root is the only id here, and a sandbox never gets that")
    return first, last - first
