"""One attempt to create a sandbox: idempotent by ClientToken and tag, and nothing left behind when it fails."""

from __future__ import annotations

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from sandboxkit.errors import (
    DeadlineExceeded,
    IdempotencyConflict,
    InvalidSpec,
    NoCapacity,
    ProviderError,
    SandboxError,
    Throttled,
)
from sandboxkit.model import CreateRequest, SandboxInfo, Status
from sandboxkit_eci import describe, keepalive, starting
from sandboxkit_eci import tags as marks
from sandboxkit_eci.api import Body
from sandboxkit_eci.faults import never_arrived, redacted
from sandboxkit_eci.options import EciOptions
from sandboxkit_eci.request import create_request, secrets_of

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

log = logging.getLogger("sandboxkit")

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
class Post:
    """One call in a thread whose result is wanted also when its caller has gone."""

    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    group_id: str | None = attrs.field(default=None, init=False)
    refused: bool = attrs.field(default=False, init=False)
    _send: Callable[[], Body] | None = attrs.field(default=None, init=False)
    _late: Callable[[str], object] | None = attrs.field(default=None, init=False)
    _begun: bool = attrs.field(default=False, init=False)
    _given_up: bool = attrs.field(default=False, init=False)
    _lock: threading.Lock = attrs.field(factory=threading.Lock, init=False)

    def around(self, send: Callable[[], Body]) -> Callable[[], Body]:
        """Give what is to be called in the thread in place of ``send``."""
        self._send = send
        return self._run

    def _run(self) -> Body:
        assert self._send is not None
        with self._lock:
            self._begun = not self._given_up
        try:
            if not self._begun:
                self.refused = True
                raise DeadlineExceeded("the create was given up")
            body = self._send()
            self.group_id = str(body.get("ContainerGroupId") or "") or None
            return body
        except SandboxError as exc:
            self.refused = self.refused or never_arrived(exc)
            raise
        finally:
            self.done.set()
            with self._lock:
                late = self._late
            if late is not None and self.group_id is not None:
                late(self.group_id)

    def give_up(self) -> bool:
        """Have it not sent if it was not begun; say whether an outcome will come."""
        with self._lock:
            self._given_up = True
            return self._begun

    def when_late(self, late: Callable[[str], object]) -> bool:
        """Do this in its thread once the result is there; ``False`` if that is so already."""
        with self._lock:
            if self.done.is_set():
                return False
            self._late = late
            return True


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
    _post: Post | None = attrs.field(default=None, init=False)
    _unconfirmed: bool = attrs.field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._key = marks.digest(self.request.owner, self.request.key)
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
        if self.request.key_given:
            await self._confirm(group_id)
        self._group = group_id
        self.provider.memory.made(group_id, self._key, self.options.container_name)
        if not self.request.wait:
            return describe.info_of_request(self.request, group_id, status=Status.CREATING, created_at=made_at)
        status = await self._wait(group_id, mine=True)
        return describe.info_of_request(self.request, group_id, status=status, created_at=made_at)

    async def _send(self, wire: Mapping[str, Any]) -> str:
        """Send the create until it is answered, always the same, and give the group's id."""
        for left in reversed(range(SENDS)):
            before, self._unconfirmed = self._unconfirmed, True
            self._post = post = Post()
            hidden = secrets_of(self.request.spec, self.options)
            try:
                made = await self.provider.api.create(wire, around=post.around, until=self.until, secrets=hidden)
            except IdempotencyConflict:
                self._unconfirmed = False  # the token's group is another attempt's
                raise _Taken from None
            except SandboxError as exc:
                if never_arrived(exc) or isinstance(exc, Throttled):
                    self._unconfirmed = before
                    raise
                # Nobody knows. Sending it again is safe by its token; but see first whether it is there.
                found = await self._find_mine()
                if found is not None:
                    made = found
                elif left == 0 or not self._has_time():
                    raise
                else:
                    await self.provider.world.sleep(random.uniform(0.1, 0.5))
                    continue
            self._unconfirmed = False
            self._post = None
            if not made:
                raise ProviderError("ECI answered a create without an id")
            return made
        raise AssertionError("unreachable: the last sending returns or raises")

    def _has_time(self) -> bool:
        return self.until is None or self.provider.world.now() + 1.0 < self.until

    async def _confirm(self, group_id: str) -> None:
        """See that the group is this attempt's: the token may have given one that is another's, or gone."""
        end = self.provider.world.now() + VISIBLE
        while True:
            group = await self.provider.api.group(group_id, until=self.until)
            if group is not None:
                if marks.of_group(group).get(marks.ATTEMPT) == self._attempt:
                    return
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
        whole = await self.provider.api.group(group_id, events=True, until=self.until) or group
        if self.request.spec.command is not None and starting.exit_code(whole) not in (None, 126, 127):
            return Status.STOPPED  # a command that was quick
        error = starting.failure(whole) or starting.failure(group) or ProviderError("the sandbox cannot start")
        if starting.exit_code(whole) in (126, 127) and self.request.spec.command is not None:
            error = self._no_program(self.request.spec.command[0])
        error.message = redacted(error.message, secrets_of(self.request.spec, self.options))
        error.args = (error.message,)
        raise error

    async def _check_command(self, group_id: str, program: str) -> None:
        """Refuse a command that cannot be run: the keep-alive starts it, the service knows nothing of it."""
        said = await self.provider.output(group_id, (*keepalive.CHECK, program), until=self.until)
        if said.strip() == b"no":
            raise self._no_program(program)

    @staticmethod
    def _no_program(program: str) -> SandboxError:
        return InvalidSpec(f"the image has no program {program!r} that could be run as the sandbox's command")

    # -- finding what the key has already -------------------------------------------------------------------------

    async def _holder(self) -> Body | None:
        """Give the group that was made with this key, the oldest if a race made two."""
        found, _ = await self.provider.api.groups(tags={marks.KEY: self._key}, until=self.until)
        ours = [
            group
            for group in found
            if marks.of_group(group).get(marks.KEY) == self._key
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
            await self.provider.remove(found.id, until=self.until)
            raise _Vanished
        if marks.of_group(holder).get(marks.FINGERPRINT) != self.request.fingerprint:
            raise IdempotencyConflict(
                f"the idempotency key {self.request.key!r} is in use by sandbox {found.id} with another "
                "specification; delete that one or take another key"
            )
        self.provider.memory.met(holder)
        if found.status is Status.CREATING and self.request.wait:
            await self._wait(found.id, mine=False)
            again = await self.provider.api.group(found.id, until=self.until)
            if again is None:
                raise _Vanished
            return describe.info_of_group(again)
        return found

    # -- undoing --------------------------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Remove the group that this attempt made, and no other; note in ``leftover`` if that failed."""
        until = self.provider.world.now() + CLEANUP
        try:
            await self._settle(until)
            if self._group is None and self._unconfirmed:
                self._group = await self._find_mine(until)
            if self._group is not None:
                await self.provider.remove(self._group, until=until, urgent=True)
        except BaseException as exc:
            self.leftover = True
            log.warning("the group of a failed create may be left behind: %s", type(exc).__name__)
            if not isinstance(exc, SandboxError):
                raise

    async def _discard(self) -> None:
        """Remove the group of a plan that found no stock."""
        group, self._group = self._group, None
        if group is not None:
            await self.provider.remove(group, until=self.until)

    async def _settle(self, until: float) -> None:
        """Wait for a create that is under way in a thread."""
        post, world = self._post, self.provider.world
        if post is None:
            return
        if not post.give_up():
            self._unconfirmed = False
            return
        while not post.done.is_set() and world.now() < until - APPEARANCE:
            await world.sleep(0.02)
        if post.when_late(self.provider.api.delete_now):
            raise DeadlineExceeded("the create has not been answered yet")
        if post.group_id is not None or post.refused:
            self._unconfirmed = False
            self._group = self._group or post.group_id

    async def _find_mine(self, until: float | None = None) -> str | None:
        """Look for the group of this very attempt, for as long as it may take to show."""
        until = self.until if until is None else until
        world = self.provider.world
        appears = world.now() + APPEARANCE
        tags = {marks.KEY: self._key, marks.ATTEMPT: self._attempt}
        while True:
            found, _ = await self.provider.api.groups(tags=tags, until=until, urgent=True)
            for group in found:
                if marks.of_group(group).get(marks.ATTEMPT) == self._attempt:
                    return str(group["ContainerGroupId"])
            if world.now() >= appears or (until is not None and world.now() + 0.2 >= until):
                return None
            await world.sleep(0.1)


class _Taken(Exception):
    """The token belongs to another attempt's group."""
