"""Removing a group: asking until it is taken on, and seeing it gone."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from sandboxkit.errors import (
    DeadlineExceeded,
    ProviderUnavailable,
    SandboxError,
    SandboxNotFound,
    SandboxNotRunning,
    Throttled,
)
from sandboxkit.retry import retrying
from sandboxkit_eci import memory
from sandboxkit_eci.faults import never_arrived

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

LONGEST_PAUSE = 2.0
"""Seconds at most between two deletes of a group that cannot be deleted yet."""


async def remove(provider: EciProvider, sandbox_id: str, *, until: float | None) -> bool:
    """Delete a group that is known to be ours, and wait until it is gone."""
    removed = await begin_removal(provider, sandbox_id, until=until)
    if removed:
        await see_gone(provider, sandbox_id, until=until)
    provider.memory.deleted(sandbox_id)
    return removed


async def begin_removal(provider: EciProvider, sandbox_id: str, *, until: float | None, urgent: bool = False) -> bool:
    """Have the service begin to remove a group; ``False`` if it was not there.

    One that cannot be deleted yet (it restarts, or is being scheduled) is asked to again until ``until``.
    """
    asking = functools.partial(provider.api.group, sandbox_id, until=until, urgent=urgent)
    appears, pause = provider.world.now() + memory.APPEARS, 0.2
    reason: SandboxError | None = None
    again = False
    while True:
        try:
            await provider.api.delete(sandbox_id, until=until, urgent=urgent)
            return True
        except SandboxError as exc:
            refused = exc
        if reason is None or not isinstance(refused, DeadlineExceeded):
            reason = refused  # what the service said tells more than that there was no time to ask it again
        if not never_arrived(refused):
            provider.memory.unanswered(sandbox_id)
        # Another's delete may be under way, which this one may join; only its absence is a success.
        try:
            # Where some has been waited already, a fault would have the caller begin anew with all of it.
            group = await (retrying(provider.world, asking, until=until) if again else asking())
        except DeadlineExceeded:
            raise _undeleted(sandbox_id, reason, there=False) from None
        if group is not None and str(group.get("Status")) == "Terminating":
            return True
        if group is None and not provider.memory.is_fresh(sandbox_id):
            return provider.memory.is_unanswered(sandbox_id)
        over = until is not None and provider.world.now() + pause + 0.3 > until
        # A new one may be missing from what the service tells, so its absence alone proves nothing.
        if group is None and isinstance(refused, SandboxNotFound):
            removed = provider.memory.is_unanswered(sandbox_id)
            if removed or over or provider.world.now() >= appears:
                return removed
        if over or not _may_pass(refused, there=group is not None):
            raise _undeleted(sandbox_id, reason, there=group is not None)
        await provider.world.sleep(pause)
        pause, again = min(LONGEST_PAUSE, pause * 1.5), True


async def see_gone(provider: EciProvider, sandbox_id: str, *, until: float | None) -> None:
    """Wait until a group that is being removed is not there any more."""
    await provider.waiting.becomes(sandbox_id, lambda group: group is None, until=until, whole=True)


def _may_pass(refused: SandboxError, *, there: bool) -> bool:
    """Whether a delete that was refused may be taken a moment later."""
    # A passing fault is for the caller to be patient with, unless the group is missing: then it may be ending.
    if isinstance(refused, ProviderUnavailable | Throttled):
        return not there
    return isinstance(refused, SandboxNotRunning | SandboxNotFound)


def _undeleted(sandbox_id: str, refused: SandboxError, *, there: bool) -> SandboxError:
    """Give the error for a sandbox that is still there, or may be."""
    if not isinstance(refused, SandboxNotFound):
        return refused
    said = "lists it and does not find it" if there else "does not find it, which is not certain to be so"
    return ProviderUnavailable(
        f"sandbox {sandbox_id} could not be deleted: the service {said}",
        provider_code=refused.provider_code,
        request_id=refused.request_id,
    )
