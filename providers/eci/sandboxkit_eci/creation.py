"""One attempt to create a sandbox: idempotent by ClientToken and tag, and nothing left behind when it fails."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from sandboxkit import bookkeeping as books
from sandboxkit.commandcheck import answer, no_program, question
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
from sandboxkit_eci import describe, starting
from sandboxkit_eci import tags as marks
from sandboxkit_eci.api import Body
from sandboxkit_eci.faults import never_arrived, redacted
from sandboxkit_eci.options import EciOptions
from sandboxkit_eci.posting import Post
from sandboxkit_eci.request import create_request, secrets_of

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

log = logging.getLogger("sandboxkit")

T = TypeVar("T")

CLEANUP = 4.5
"""Seconds that the removal of a failed attempt's group may take; a cancelled create waits for it."""

APPEARANCE = 1.5
"""Seconds in which a group must show whose creation was asked for and never confirmed."""

VISIBLE = 10.0
"""Seconds in which a group must show whose creation was confirmed: else the confirmation was of one that is gone."""

SENDS = 3
"""Times that a create without an answer is sent, with the same token."""


class _Vanished(Exception):
    """What held the key is gone: the create can be tried again."""


@attrs.define(eq=False)
class Creation:
    """Made for one ``create``; :meth:`clean` undoes what :meth:`run` did."""

    provider: EciProvider
    request: CreateRequest
    options: EciOptions
    until: float | None
    leftover: bool = attrs.field(default=False, init=False)
    _attempt: str = attrs.field(factory=lambda: secrets.token_hex(8), init=False)
    _key: str = attrs.field(init=False)
    _generation: int = attrs.field(init=False)
    _group: str | None = attrs.field(default=None, init=False)
    _posts: list[Post] = attrs.field(factory=list, init=False)
    _unseen: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._key = books.digest(self.request.owner, self.request.key)
        self._generation = self.provider.memory.generation(self._key)

    # -- making ---------------------------------------------------------------------------------------------------

    async def run(self) -> SandboxInfo:
        """Create, or find what was created with this key, and wait until it can run a command."""
        self._wire({})  # refuses a bad specification before anything is asked
        plans = self._plans()
        holder = await self._holder() if self.request.key_given else None
        while True:
            try:
                if holder is not None:
                    return await self._adopt(holder)
                return await self._make(plans[0])
            except _Vanished:
                holder = None
            except NoCapacity:
                if len(plans) == 1:
                    raise
                del plans[0]
                await self._discard()
                self._generation += 1
            except _Taken:
                holder = await self._seek_holder()
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
            attempt=self._attempt,
            token=marks.token(self.request.owner, self.request.key, self._generation),
            now=time.time(),
            fallback=plan,
        )

    async def _make(self, plan: Mapping[str, str]) -> SandboxInfo:
        made_at = time.time()
        group_id = await self._send(self._wire(plan))
        self._unseen = self.request.key_given
        if self._unseen:
            await self._confirm(group_id)
        self._unseen, self._group = False, group_id
        self.provider.memory.made(group_id, self._key, self.options.container_name)
        if not self.request.wait:
            return describe.info_of_request(self.request, group_id, status=Status.CREATING, created_at=made_at)
        status = await self._wait(group_id, mine=True)
        return describe.info_of_request(self.request, group_id, status=status, created_at=made_at)

    async def _send(self, wire: Mapping[str, Any]) -> str:
        """Send the create until it is answered, always the same, and give the group's id."""
        hidden = secrets_of(self.request.spec, self.options)
        for left in reversed(range(SENDS)):
            post = Post()
            self._posts.append(post)
            try:
                made: str | None = await self.provider.api.create(
                    wire, around=post.around, until=self.until, secrets=hidden
                )
            except IdempotencyConflict:
                self._posts.clear()  # the token's group is another attempt's
                raise _Taken from None
            except SandboxError as exc:
                if never_arrived(exc) or isinstance(exc, Throttled):
                    raise
                # Nobody knows. Sending it again is safe by its token; but see first whether it is there.
                made = await self._find_mine()
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
            group = await self._ask_for(group_id)
            if group is not None:
                if marks.of_group(group).get(books.ATTEMPT) == self._attempt:
                    return
                self._unseen = False
                raise _Taken
            if self.provider.memory.is_deleted(group_id) or self.provider.world.now() >= end:
                raise _Taken
            await self.provider.world.sleep(0.25)

    async def _wait(self, group_id: str, *, mine: bool) -> Status:
        """Wait until it runs; raises what its events say otherwise."""
        group = await self.provider.waiting.becomes(group_id, starting.is_settled, until=self.until)
        assert group is not None  # a group that is not there does not settle anything
        if str(group.get("Status")) == "Terminating":
            if mine:
                raise ProviderError("the sandbox was removed while it was being created")
            raise _Vanished
        if str(group.get("Status")) == "Running":
            if mine and self.request.spec.command is not None:
                await self._check_command(group_id, self.request.spec.command[0])
            return Status.RUNNING
        whole = await self._ask_for(group_id, events=True) or group
        if self.request.spec.command is not None and starting.exit_code(whole) not in (None, 126, 127):
            return Status.STOPPED  # a command that was quick
        error = starting.failure(whole) or starting.failure(group) or ProviderError("the sandbox cannot start")
        if starting.exit_code(whole) in (126, 127) and self.request.spec.command is not None:
            error = no_program(self.request.spec.command[0])
        error.message = redacted(error.message, secrets_of(self.request.spec, self.options))
        error.args = (error.message,)
        raise error

    async def _check_command(self, group_id: str, program: str) -> None:
        """Refuse a command that cannot be run: the keep-alive starts it, the service knows nothing of it."""
        asking = functools.partial(self.provider.output, group_id, question(program), until=self.until)
        if answer(await self._asking(asking)) is False:
            raise no_program(program)

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

    async def _seek_holder(self) -> Body | None:
        """Look for who has the token, who may have got it a moment ago."""
        for pause in (0.0, 0.1, 0.3, 0.6, 1.0):
            await self.provider.world.sleep(pause)
            holder = await self._holder()
            if holder is not None:
                return holder
        return None

    async def _adopt(self, holder: Body) -> SandboxInfo:
        """Give the sandbox that an earlier or a concurrent create with this key made."""
        found = describe.info_of_group(holder)
        over = (found.expires_at or 0.0) <= time.time()
        if found.status is Status.DELETING:
            await self.provider.waiting.becomes(found.id, lambda g: g is None, until=self.until, whole=True)
            raise _Vanished
        if found.status is Status.FAILED or (found.status is Status.STOPPED and over):
            # It can run nothing any more, and its key may be used again.
            await self._asking(lambda: self.provider.remove(found.id, until=self.until))
            raise _Vanished
        if marks.of_group(holder).get(books.FINGERPRINT) != self.request.fingerprint:
            raise IdempotencyConflict(
                f"the idempotency key {self.request.key!r} is in use by sandbox {found.id} with another "
                "specification; delete that one or take another key"
            )
        self.provider.memory.met(holder)
        if found.status is Status.CREATING and self.request.wait:
            await self._wait(found.id, mine=False)
            again = await self._ask_for(found.id)
            if again is None:
                raise _Vanished
            return describe.info_of_group(again)
        return found

    # -- undoing --------------------------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Remove the group that this attempt made, and no other; note in ``leftover`` if that failed."""
        until = self.provider.world.now() + CLEANUP
        try:
            if self._group is None and await self._doubtful(until):
                self._group = await self._find_mine(until)
            if self._group is not None:
                await self._remove(self._group, until)
        except BaseException as exc:
            self.leftover = True
            log.warning("the group of a failed create may be left behind: %s", type(exc).__name__)
            if not isinstance(exc, SandboxError):
                raise

    async def _remove(self, group_id: str, until: float) -> None:
        provider = self.provider
        removing = functools.partial(provider.begin_removal, group_id, until=until, urgent=True)
        if await retrying(provider.world, removing, until=until):
            # The service has taken it on, and may take longer for it than a cancelled create waits.
            with contextlib.suppress(DeadlineExceeded):
                await provider.see_gone(group_id, until=until)
        provider.memory.deleted(group_id)

    async def _discard(self) -> None:
        """Remove the group of a plan that found no stock."""
        group, self._group = self._group, None
        if group is not None:
            await self._asking(lambda: self.provider.remove(group, until=self.until))

    async def _doubtful(self, until: float) -> bool:
        """Wait for creates that are under way in threads; say whether one may have made a group that is not known."""
        world, doubt = self.provider.world, self._unseen
        for post in self._posts:
            if not post.give_up():
                continue
            while not post.done.is_set() and world.now() < until - APPEARANCE:
                await world.sleep(0.02)
            # With a key of the user's, an answer may name a group that is another attempt's: its tag tells.
            surely = not self.request.key_given
            if post.when_late(self.provider.api.delete_now if surely else lambda _: None):
                raise DeadlineExceeded("the create has not been answered yet")
            self._group = self._group or (post.group_id if surely else None)
            doubt = doubt or not post.refused
        return doubt and self._group is None

    async def _find_mine(self, until: float | None = None) -> str | None:
        """Look for the group of this very attempt, for as long as it may take to show."""
        until = self.until if until is None else until
        world = self.provider.world
        appears = world.now() + APPEARANCE
        tags = {books.KEY: self._key, books.ATTEMPT: self._attempt}
        while True:
            asking = functools.partial(self.provider.api.groups, tags=tags, until=until, urgent=True)
            found, _ = await retrying(world, asking, until=until)
            for group in found:
                if marks.of_group(group).get(books.ATTEMPT) == self._attempt:
                    return str(group["ContainerGroupId"])
            if world.now() >= appears or (until is not None and world.now() + 0.2 >= until):
                return None
            await world.sleep(0.1)


class _Taken(Exception):
    """The token belongs to another attempt's group."""
