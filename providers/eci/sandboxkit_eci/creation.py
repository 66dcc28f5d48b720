"""One attempt to create a sandbox: idempotent by ClientToken and tag, and nothing left behind when it fails."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from sandboxkit import bookkeeping as books
from sandboxkit.errors import (
    DeadlineExceeded,
    IdempotencyConflict,
    NoCapacity,
    ProviderError,
    SandboxError,
    Throttled,
)
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit.retry import retrying
from sandboxkit_eci import describe, verdict
from sandboxkit_eci import tags as marks
from sandboxkit_eci.api import Body
from sandboxkit_eci.attempt import APPEARANCE, Attempt
from sandboxkit_eci.faults import never_arrived
from sandboxkit_eci.options import EciOptions
from sandboxkit_eci.posting import Post
from sandboxkit_eci.removing import remove, see_gone
from sandboxkit_eci.request import create_request, secrets_of
from sandboxkit_eci.startup import Startup, Vanished

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

log = logging.getLogger("sandboxkit")

T = TypeVar("T")

CLEANUP = 4.5
"""Seconds that the removal of a failed attempt's group may take; a cancelled create waits for it."""

VISIBLE = 10.0
"""Seconds in which a group must show that was confirmed, or has the token: else that one is gone."""

MOST_UNSEEN = 3
"""Groups that one create may be told of and not see, before it stops: an account may not be allowed to see any."""

SENDS = 3
"""Times that a create without an answer is sent, with the same token."""


@attrs.define(eq=False)
class Creation:
    """Made for one ``create``; :meth:`clean` undoes what :meth:`run` did."""

    provider: EciProvider
    request: CreateRequest
    options: EciOptions
    until: float | None
    leftover: bool = attrs.field(default=False, init=False)
    _attempt: Attempt = attrs.field(init=False)
    _startup: Startup = attrs.field(init=False)
    _key: str = attrs.field(init=False)
    _generation: int = attrs.field(init=False)
    _group: str | None = attrs.field(default=None, init=False)
    _posts: list[Post] = attrs.field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self._key = books.digest(self.request.owner, self.request.key)
        self._attempt = Attempt(self.provider, self._key)
        self._generation = self.provider.memory.generation(self._key)
        hidden = secrets_of(self.request.spec, self.options)
        self._startup = Startup(self.provider, self.request.spec.command, hidden, self.until)

    # -- making ---------------------------------------------------------------------------------------------------

    async def run(self) -> SandboxInfo:
        """Create, or find what was created with this key, and wait until it can run a command."""
        info = await self._run()
        if self._attempt.unsure:
            await self._remove_late(info.id)
        return info

    async def _run(self) -> SandboxInfo:
        self._wire({})  # refuses a bad specification before anything is asked
        plans = self._plans()
        holder = await self._holder() if self.request.key_given else None
        while True:
            try:
                if holder is not None:
                    return await self._adopt(holder)
                return await self._make(plans[0])
            except Vanished:  # what held the key is gone
                holder = None
            except NoCapacity:
                if len(plans) == 1:
                    raise
                del plans[0]
                await self._discard()
                self._generation += 1
            except _Taken as taken:
                holder = await self._seek_holder(taken.patience)
                if holder is None:
                    # The token was that of a group which is gone: the service remembers it for longer.
                    self._generation += 1

    def _plans(self) -> list[dict[str, str]]:
        """Give the fields to try one after the other while there is no stock."""
        plans: list[dict[str, str]] = [{}]
        plans += [{"InstanceType": one} for one in self.options.fallback_instance_types]
        return plans + [{"ZoneId": one} for one in self.options.fallback_zones]

    def _wire(self, plan: Mapping[str, str]) -> dict[str, Any]:
        return create_request(
            self.request,
            self.options,
            attempt=self._attempt.id,
            token=marks.token(self.request.owner, self.request.key, self._generation),
            now=time.time(),
            fallback=plan,
        )

    async def _make(self, plan: Mapping[str, str]) -> SandboxInfo:
        made_at = time.time()
        wire = self._wire(plan)
        group_id = await self._send(wire)
        if self.request.key_given:
            self._attempt.unsure.append(group_id)
            await self._confirm(group_id)
            self._attempt.unsure.remove(group_id)
        self._group = group_id
        self.provider.memory.made(group_id, self._key, self.options.container_name)
        if not self.request.wait:
            return describe.info_of_request(self.request, wire, group_id, status=Status.CREATING, created_at=made_at)
        try:
            status = await self._startup.wait(group_id, mine=True, shown=self.request.key_given)
        except Vanished as gone:
            raise gone.error from None
        return describe.info_of_request(self.request, wire, group_id, status=status, created_at=made_at)

    async def _send(self, wire: Mapping[str, Any]) -> str:
        """Send the create until it is answered, always the same, and give the group's id."""
        for left in reversed(range(SENDS)):
            post = Post()
            self._posts.append(post)
            try:
                made: str | None = await self.provider.api.create(
                    wire, around=post.around, until=self.until, secrets=self._startup.secrets
                )
            except IdempotencyConflict:
                self._posts.clear()  # the token's group is another attempt's
                raise _Taken(VISIBLE) from None
            except SandboxError as exc:
                if never_arrived(exc) or isinstance(exc, Throttled):
                    raise
                # Nobody knows. Sending it again is safe by its token; but see first whether it is there.
                made = await self._attempt.find(self.until)
                if made is None and (left == 0 or not self._has_time()):
                    raise
            if made is not None:
                self._posts.clear()
                if not made:
                    raise ProviderError("ECI answered a create without an id")
                return made
            await self.provider.world.sleep(random.uniform(0.1, 0.5))
        raise AssertionError("unreachable: the last sending returns or raises")

    def _has_time(self) -> bool:
        return self.until is None or self.provider.world.now() + 1.0 < self.until

    async def _confirm(self, group_id: str) -> None:
        """See that the group is this attempt's: the token may have given one that is another's, or gone."""
        end = self.provider.world.now() + VISIBLE
        while True:
            maker = self._attempt.maker(await self._ask_for(group_id))
            if maker == self._attempt.id:
                return
            if maker or self.provider.memory.is_deleted(group_id):
                self._attempt.unsure.remove(group_id)
                raise _Taken(VISIBLE if maker else 0.0)
            if self.provider.world.now() >= end:
                break
            await self.provider.world.sleep(0.25)
        if len(self._attempt.unsure) < MOST_UNSEEN:
            raise _Taken(0.0)
        raise ProviderError(
            f"ECI named group {group_id} as created and does not show it; creating by key needs an account that may "
            "call DescribeContainerGroups"
        )

    # -- asking: a fault that passes is no reason to undo what was made ----------------------------------------------

    async def _asking(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retrying(self.provider.world, call, until=self.until)

    async def _ask_for(self, group_id: str, *, events: bool = False) -> Body | None:
        return await self._asking(lambda: self.provider.api.group(group_id, events=events, until=self.until))

    # -- finding what the key has already -------------------------------------------------------------------------

    async def _holder(self) -> Body | None:
        """Give the group that was made with this key, the oldest if a race made two."""
        api, tags = self.provider.api, {books.KEY: self._key}
        found, _ = await self._asking(lambda: api.groups(tags=tags, until=self.until))
        ours = [
            group
            for group in found
            if marks.of_group(group).get(books.KEY) == self._key
            and marks.is_ours(marks.of_group(group))
            and not self.provider.memory.is_deleted(str(group.get("ContainerGroupId")))
        ]
        return min(
            ours, key=lambda one: (str(one.get("CreationTime")), str(one.get("ContainerGroupId"))), default=None
        )

    async def _seek_holder(self, patience: float) -> Body | None:
        """Look for who has the token, for so many seconds: new groups show late."""
        world = self.provider.world
        end, pause = world.now() + patience, 0.1
        while True:
            holder = await self._holder()
            if holder is not None or world.now() + pause > end:
                return holder
            await world.sleep(pause)
            pause = min(1.0, pause * 1.5)

    async def _adopt(self, holder: Body) -> SandboxInfo:
        """Give the sandbox that an earlier or a concurrent create with this key made."""
        found = describe.info_of_group(holder)
        over = (found.expires_at or 0.0) <= time.time()
        if found.status is Status.DELETING:
            await see_gone(self.provider, found.id, until=self.until)
            raise Vanished(verdict.vanished())
        if found.status is Status.FAILED or (found.status is Status.STOPPED and over):
            # It can run nothing any more, and its key may be used again.
            await self._asking(lambda: remove(self.provider, found.id, until=self.until))
            raise Vanished(verdict.vanished())
        if marks.of_group(holder).get(books.FINGERPRINT) != self.request.fingerprint:
            raise IdempotencyConflict(
                f"the idempotency key {self.request.key!r} is in use by sandbox {found.id} with another "
                "specification; delete that one or take another key"
            )
        self.provider.memory.met(holder)
        if found.status is Status.CREATING and self.request.wait:
            await self._startup.wait(found.id, mine=False, shown=True)
            again = await self._ask_for(found.id)
            if again is None:
                raise Vanished(verdict.vanished())
            return describe.info_of_group(again)
        return found

    # -- undoing --------------------------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Remove the group that this attempt made, and no other; note in ``leftover`` if that failed."""
        until = self.provider.world.now() + CLEANUP
        try:
            if self._group is None and await self._doubtful(until):
                self._group = await self._attempt.find(until)
            if self._group is not None:
                await self._attempt.remove(self._group, until)
            await self._attempt.remove_unsure(until)
        except BaseException as exc:
            self.leftover = True
            log.warning("the group of a failed create may be left behind: %s", type(exc).__name__)
            if not isinstance(exc, SandboxError):
                raise

    async def _remove_late(self, given: str) -> None:
        """Remove what an earlier token made, if it shows by now, beside the sandbox that is given."""
        try:
            await self._attempt.remove_unsure(self.provider.world.now() + APPEARANCE, but=given)
        except SandboxError as exc:
            log.warning("a group that did not show may be left until its deadline: %s", exc)

    async def _discard(self) -> None:
        """Remove the group of a plan that found no stock."""
        group, self._group = self._group, None
        if group is not None:
            await self._asking(lambda: remove(self.provider, group, until=self.until))

    async def _doubtful(self, until: float) -> bool:
        """Wait for creates that are under way in threads; say whether one may have made a group that is not known."""
        world, doubt = self.provider.world, False
        for post in self._posts:
            if not post.give_up():
                continue
            while not post.done.is_set() and world.now() < until - APPEARANCE:
                await world.sleep(0.02)
            # With a key of the user's, an answer may name a group that is another attempt's: its tag tells.
            surely = not self.request.key_given
            if post.when_late(self.provider.api.delete_now if surely else lambda _: None):
                raise DeadlineExceeded("the create has not been answered yet")
            if post.group_id and not surely:
                self._attempt.unsure.append(post.group_id)
            self._group = self._group or (post.group_id if surely else None)
            doubt = doubt or not post.refused
        return doubt and self._group is None and not self._attempt.unsure


@attrs.define
class _Taken(Exception):
    """The token belongs to another attempt's group, which shows within so many seconds or is gone."""

    patience: float
