"""The groups of one attempt to create a sandbox: telling them from others', finding and removing them."""

from __future__ import annotations

import contextlib
import functools
import secrets
from typing import TYPE_CHECKING

import attrs

from sandboxkit import bookkeeping as books
from sandboxkit.errors import DeadlineExceeded
from sandboxkit.retry import retrying
from sandboxkit_eci import tags as marks
from sandboxkit_eci.api import Body
from sandboxkit_eci.removing import begin_removal, see_gone

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

APPEARANCE = 1.5
"""Seconds in which a group must show whose creation was asked for and never confirmed."""


@attrs.define(eq=False)
class Attempt:
    """Known by its ``id``, which its groups are tagged with."""

    provider: EciProvider
    key: str
    """The digest of the create's key."""
    id: str = attrs.field(factory=lambda: secrets.token_hex(8), init=False)
    unsure: list[str] = attrs.field(factory=list, init=False)
    """Groups that the service named in answer and has not yet shown to be anybody's."""

    @staticmethod
    def maker(group: Body | None) -> str:
        """Give the attempt that made a group; nothing as long as it, or what it is tagged with, does not show."""
        return "" if group is None else marks.of_group(group).get(books.ATTEMPT, "")

    async def find(self, until: float | None) -> str | None:
        """Look for its group by the tags, for as long as it may take to show."""
        world = self.provider.world
        appears = world.now() + APPEARANCE
        tags = {books.KEY: self.key, books.ATTEMPT: self.id}
        while True:
            asking = functools.partial(self.provider.api.groups, tags=tags, until=until, urgent=True)
            found, _ = await retrying(world, asking, until=until)
            for group in found:
                if marks.of_group(group).get(books.ATTEMPT) == self.id:
                    return str(group["ContainerGroupId"])
            if world.now() >= appears or (until is not None and world.now() + 0.2 >= until):
                return None
            await world.sleep(0.1)

    async def remove(self, group_id: str, until: float) -> None:
        """Remove one of its groups, and see it gone if that is so in time."""
        provider = self.provider
        removing = functools.partial(begin_removal, provider, group_id, until=until, urgent=True)
        if await retrying(provider.world, removing, until=until):
            # The service has taken it on, and may take longer for it than a cancelled create waits.
            with contextlib.suppress(DeadlineExceeded):
                await see_gone(provider, group_id, until=until)
        provider.memory.deleted(group_id)
        if group_id in self.unsure:
            self.unsure.remove(group_id)

    async def remove_unsure(self, until: float, *, but: str = "") -> None:
        """See whose the groups are that the service named, and remove this attempt's."""
        world = self.provider.world
        while True:
            for group_id in tuple(self.unsure):
                asking = functools.partial(self.provider.api.group, group_id, urgent=True, until=until)
                maker = self.maker(await retrying(world, asking, until=until))
                if maker == self.id and group_id != but:
                    await self.remove(group_id, until)
                elif maker:
                    self.unsure.remove(group_id)
            if not self.unsure:
                return
            if world.now() + 0.3 > until:
                raise DeadlineExceeded(f"ECI named {', '.join(self.unsure)} as created and does not show it")
            await world.sleep(0.25)
