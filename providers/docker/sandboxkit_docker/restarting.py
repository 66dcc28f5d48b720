"""Restarting a container: the daemon's own restart, and what that forgets."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from sandboxkit.errors import ProviderError, SandboxNotFound, SandboxNotRunning
from sandboxkit.model import SandboxInfo, Status
from sandboxkit_docker import describe
from sandboxkit_docker import spec as mapping
from sandboxkit_docker.containers import POLL, inspect, set_modes
from sandboxkit_docker.daemon import Daemon
from sandboxkit_docker.faults import failure

SETTLING = 2.0
"""Seconds for which a sandbox that was restarted may be seen stopped: by another restart, which starts it again."""


def restart(daemon: Daemon, info: SandboxInfo, *, until: float | None) -> SandboxInfo:
    """End everything in a sandbox at once and start it again; its PID 1 keeps the same absolute deadline."""
    if info.status not in (Status.RUNNING, Status.STOPPED, Status.PAUSED):
        raise SandboxNotRunning(f"sandbox {info.id[:12]} is {info.status}: it cannot restart", status=info.status)
    if info.expires_at is not None and info.expires_at <= time.time():
        raise SandboxNotRunning(
            f"sandbox {info.id[:12]} has reached its deadline and cannot restart; make another", status=info.status
        )
    _end_and_start(daemon, info.id, until)
    settled = time.monotonic() + SETTLING
    while True:
        found = _look(daemon, info.id, until)
        now = describe.info_of_inspect(found)
        if now.status is Status.RUNNING:
            try:
                for owner, modes in mapping.modes_of(found["HostConfig"].get("Tmpfs") or {}).items():
                    set_modes(daemon, info.id, owner, modes, until=until)
                return now
            except ProviderError:
                if _look(daemon, info.id, until)["State"] == found["State"]:
                    raise
        elif time.monotonic() >= settled:
            return now
        time.sleep(POLL)


def _end_and_start(daemon: Daemon, container: str, until: float | None) -> None:
    settled = time.monotonic() + SETTLING
    while True:
        # At once, without a grace: a PID 1 that ignores SIGTERM does not slow it.
        answer = daemon.request("POST", f"/containers/{container}/restart", until=until, query={"t": 0})
        if answer.status == 204:
            return
        if answer.status == 404:
            raise SandboxNotFound(f"no sandbox {container!r} at {daemon.address}")
        # The daemon stops it and then starts it: another restart may end it between the daemon's look and its kill.
        if "is not running" not in answer.message or time.monotonic() >= settled:
            raise failure(answer.status, answer.message, "restarting the sandbox")
        time.sleep(POLL)


def _look(daemon: Daemon, container: str, until: float | None) -> Mapping[str, Any]:
    found = inspect(daemon, container, until=until)
    if found is None:
        raise SandboxNotFound(f"no sandbox {container!r} at {daemon.address}")
    return found
