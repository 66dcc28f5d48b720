"""Restarting a group: the service's own restart, and telling when it has happened."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Mapping
from typing import TYPE_CHECKING, Any

from sandboxkit.errors import SandboxNotFound, SandboxNotRunning
from sandboxkit.model import SandboxInfo, Status
from sandboxkit.retry import retrying
from sandboxkit_eci import describe
from sandboxkit_eci.describe import ENDED, started

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

STEADY = 3.0
"""Seconds after which a group that was told to restart and seems not to has done so: times are whole seconds."""


async def restart(provider: EciProvider, sandbox_id: str, *, until: float | None) -> SandboxInfo:
    """End everything in a sandbox and start it again, with the deadline it has."""
    token = secrets.token_hex(16)
    world = provider.world

    def look() -> Awaitable[Mapping[str, Any]]:
        return retrying(world, lambda: provider.group(sandbox_id, until=until), until=until)

    while True:
        before = await look()
        _check(before)
        try:
            # With the same token it restarts once, however often it is asked for.
            await retrying(world, lambda: provider.api.restart(sandbox_id, token=token, until=until), until=until)
        except SandboxNotRunning:
            # It is being restarted already, which ends what there was just as well; or it has ended meanwhile.
            now = await look()
            _check(now)
            if describe.status_of(str(now.get("Status"))) is Status.RUNNING:
                await provider.world.sleep(0.2)
                continue
        return await _again(provider, sandbox_id, before, until)


async def _again(
    provider: EciProvider, sandbox_id: str, before: Mapping[str, Any], until: float | None
) -> SandboxInfo:
    """Wait until it runs once more."""
    asked = provider.world.now()
    left = False

    def settled(group: Mapping[str, Any] | None) -> bool:
        nonlocal left
        if group is None or str(group.get("Status")) in ("Terminating", *ENDED):
            return True
        if str(group.get("Status")) != "Running":
            left = True
            return False
        return left or started(group) != started(before) or provider.world.now() - asked >= STEADY

    group = await provider.waiting.becomes(sandbox_id, settled, until=until, whole=True)
    if group is None:
        raise SandboxNotFound(f"no sandbox {sandbox_id!r} in {provider.options.region_id}")
    _check(group)
    return describe.info_of_group(group)


def _check(group: Mapping[str, Any]) -> None:
    info = describe.info_of_group(group)
    if info.status in (Status.STOPPED, Status.FAILED, Status.DELETING):
        raise SandboxNotRunning(f"sandbox {info.id} is {info.status}: it cannot restart", status=info.status)
    if info.expires_at is not None and info.expires_at <= time.time():
        raise SandboxNotRunning(
            f"sandbox {info.id} has reached its deadline and cannot restart; make another", status=info.status
        )
