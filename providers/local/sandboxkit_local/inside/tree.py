"""Ending all processes of a sandbox that has no pid namespace to do so."""

from __future__ import annotations

import os
import resource
import time

from sandboxkit_local.inside.killer import EMPTY_SCANS, RLIMIT_LOCKS, is_dead, last_pid
from sandboxkit_local.marks import belongs


def end_marked(sandbox_id: str, seconds: float) -> bool:
    """End every process that carries one of the sandbox's marks; ``False`` if some are left after that time."""
    until = time.monotonic() + seconds
    empty = 0
    while empty < EMPTY_SCANS:
        if time.monotonic() > until:
            return False
        newest = last_pid()
        found = [_end(int(name), sandbox_id) for name in os.listdir("/proc") if name.isdigit()]
        found += [_end(pid, sandbox_id) for pid in range(newest + 1, min(last_pid(), newest + 500) + 1)]
        empty = 0 if any(found) else empty + 1
        if not empty:
            time.sleep(0.001)
    return True


def _end(pid: int, sandbox_id: str) -> bool:
    try:
        mark = resource.prlimit(pid, RLIMIT_LOCKS)[0]
        if not belongs(mark, sandbox_id) or is_dead(pid):
            return False
        os.kill(pid, 9)
    except ProcessLookupError:
        return False
    except OSError:
        return False  # another user's: not this sandbox's
    return True
