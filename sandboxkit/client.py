"""A provider's sandboxes: create, get, list, delete, and the removal of what was left behind."""

from __future__ import annotations

import os
import re
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

import attrs

from sandboxkit import capabilities
from sandboxkit.bookkeeping import refuse_own
from sandboxkit.commands import check_env
from sandboxkit.errors import InvalidCommand, InvalidRequest, InvalidSpec, SandboxNotFound
from sandboxkit.kinds import words
from sandboxkit.model import Capability, CreateRequest, SandboxInfo, SandboxSpec, Status
from sandboxkit.opening import Opening
from sandboxkit.provider import KeepsWarm, SandboxProvider
from sandboxkit.retry import retrying
from sandboxkit.sandbox import CLEANUP_LIMIT, INFO_LIMIT, AsyncSandbox, check_ttl

CREATE_LIMIT = 600.0
"""Seconds that a create may take, an image's pull included."""

HALF_MADE = 120.0
"""Seconds after which ``gc`` takes a sandbox that is still being created for one whose creator died."""

REMEMBERED = 10_000
"""Deleted sandboxes that a client keeps out of its listings, the latest: no backend's list is behind by so many."""

_KEY = re.compile(r"[!-~]{1,128}\Z")


@attrs.define(eq=False)
class AsyncClient:
    """The sandboxes of one provider. Leaving its block lets go of connections and deletes no sandbox."""

    provider: SandboxProvider
    owner: str
    image: str | None = None
    # An OrderedDict drops its oldest in one step, so that threads share it without a lock.
    _deleted: OrderedDict[str, None] = attrs.field(factory=OrderedDict, init=False, repr=False)

    @property
    def capabilities(self) -> Mapping[str, Capability]:
        """What the provider can do here and now, by name, each with a value and a reason."""
        return self.provider.capabilities

    def require(self, capability: str) -> None:
        """Raise ``Unsupported``, with the provider's reason, unless the capability is declared."""
        capabilities.require(self.provider.name, self.provider.capabilities, capability)

    def create(
        self,
        spec: SandboxSpec | None = None,
        /,
        *,
        image: str | None = None,
        command: Iterable[str] | None = None,
        cpu: float | None = None,
        memory_gib: float | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        ttl: float | None = None,
        cwd: str | None = None,
        user: str | None = None,
        ports: Iterable[int] | None = None,
        network: bool | None = None,
        options: Any = None,
        idempotency_key: str | None = None,
        wait: bool = True,
    ) -> Opening[AsyncSandbox]:
        """Make a sandbox: await it, or enter it to have it deleted on the way out.

        Keywords overrule ``spec``; what each means, and its unit, stands at
        :class:`~sandboxkit.model.SandboxSpec`. It can run a command when this returns (``wait=False``: may return
        earlier). The same ``idempotency_key`` with the same specification gives the same sandbox. Raises
        ``InvalidSpec``, ``Unsupported`` or ``IdempotencyConflict`` with nothing made, or a ``ProviderError`` that
        says why (``ImageNotFound``, ``NoCapacity``, ``QuotaExceeded``, ``AuthenticationFailed``, ``Throttled``,
        ``ProviderUnavailable``), with nothing left behind unless its ``leftover`` is set (L1, L2).
        """
        given = {
            "image": image, "command": command, "cpu": cpu, "memory_gib": memory_gib, "env": env,
            "labels": labels, "ttl": ttl, "cwd": cwd, "user": user, "ports": ports, "network": network,
            "options": options,
        }  # fmt: skip
        if spec is not None and not isinstance(spec, SandboxSpec):
            raise InvalidSpec(
                f"create takes a SandboxSpec or keywords, as in create(image='...'), not {type(spec).__name__}"
            )
        made = attrs.evolve(spec or SandboxSpec(), **{k: v for k, v in given.items() if v is not None})
        if made.image is None and self.image is not None:
            made = attrs.evolve(made, image=self.image)
        self._check(made)
        key = _check_key(idempotency_key)
        return Opening(self._create(made, key, key_given=idempotency_key is not None, wait=wait))

    async def _create(self, spec: SandboxSpec, key: str, *, key_given: bool, wait: bool) -> AsyncSandbox:
        request = CreateRequest(
            spec=spec,
            owner=self.owner,
            key=key,
            key_given=key_given,
            fingerprint=fingerprint(spec),
            expires_at=time.time() + spec.ttl,
            wait=wait,
        )
        world = self.provider.world
        until = world.now() + CREATE_LIMIT
        # Repeating is safe: the key makes a second attempt find what the first one made.
        info = await retrying(world, lambda: self.provider.create(request, until=until), until=until)
        from sandboxkit.log import logger

        logger.info("created sandbox %s with provider %s", info.id, self.provider.name)
        return AsyncSandbox(self, info.id, owned=True)

    def _check(self, spec: SandboxSpec) -> None:
        check_ttl(spec.ttl)
        for name, text in (("image", spec.image), ("cwd", spec.cwd), ("user", spec.user)):
            if text is not None and (not isinstance(text, str) or not text or "\0" in text):
                raise InvalidSpec(f"{name} is text and not empty, not {text!r}")
        for name, value in spec.env.items():
            if not isinstance(value, str):  # a command's own may be bytes; no backend takes such for a sandbox
                raise InvalidSpec(f"the value of environment variable {name} must be str, not {type(value).__name__}")
        try:
            check_env(spec.env)
        except InvalidCommand as exc:
            raise InvalidSpec(str(exc)) from None
        for name, number in (("cpu", spec.cpu), ("memory_gib", spec.memory_gib)):
            # A whole number may be larger than any float.
            if number is not None and not (isinstance(number, int | float) and 0 < number <= sys.float_info.max):
                raise InvalidSpec(f"{name} must be a positive number, at most {sys.float_info.max:g}, not {number!r}")
        for port in spec.ports:
            if not isinstance(port, int) or not 0 < port < 65536:
                raise InvalidSpec(f"ports are numbers from 1 to 65535, not {port!r}")
        if spec.network is not None and not isinstance(spec.network, bool):
            raise InvalidSpec(f"network is True, False or None (the provider's own way), not {spec.network!r}")
        refuse_own(_check_labels(spec.labels))
        wanted = {
            "image": spec.image is not None,
            "command": spec.command is not None,
            "cpu": spec.cpu is not None,
            "memory": spec.memory_gib is not None,
            "user": spec.user is not None,
            "ports": bool(spec.ports),
            "network_on": spec.network is True,
            "network_off": spec.network is False,
        }
        for name, needed in wanted.items():
            if needed:
                self.require(name)

    async def get(self, sandbox_id: str) -> AsyncSandbox:
        """Find a sandbox by its id, from any process that reaches the backend; ``SandboxNotFound`` (L3)."""
        return AsyncSandbox(self, (await self.info(sandbox_id)).id, owned=False)

    async def info(self, sandbox_id: str) -> SandboxInfo:
        """Ask the backend about one sandbox; ``SandboxNotFound``."""
        if not _is_possible(sandbox_id):
            raise SandboxNotFound(f"no sandbox {sandbox_id!r}")
        world = self.provider.world
        until = world.now() + INFO_LIMIT
        return await retrying(world, lambda: self.provider.get(sandbox_id, until=until), until=until)

    def list(
        self,
        *,
        labels: Mapping[str, str] | None = None,
        status: Status | str | Collection[Status | str] | None = None,
    ) -> AsyncListing:
        """Iterate over every owner's sandboxes, page by page: all ``labels`` must match, any ``status`` may (L4)."""
        statuses = words(status)
        if not isinstance(statuses, tuple):
            statuses = (statuses,)  # refused by what it is
        return AsyncListing(self, dict(_check_labels(labels or {})), frozenset(map(_status, statuses)))

    async def delete(self, sandbox_id: str) -> bool:
        """Delete a sandbox and wait until it is gone; ``False`` if there was nothing to delete (L5)."""
        if not _is_possible(sandbox_id):
            return False
        world = self.provider.world
        until = world.now() + CLEANUP_LIMIT
        await self.cool(sandbox_id)
        removed = await retrying(world, lambda: self.provider.delete(sandbox_id, until=until), until=until)
        self._deleted[sandbox_id] = None
        if len(self._deleted) > REMEMBERED:
            self._deleted.popitem(last=False)
        from sandboxkit.log import logger

        logger.info("deleted sandbox %s with provider %s: %s", sandbox_id, self.provider.name, removed)
        return removed

    async def gc(self, *, dry_run: bool = False) -> tuple[SandboxInfo, ...]:
        """Remove this owner's expired, failed and half-made sandboxes; give what was (or would be) removed (L8)."""
        now = time.time()
        found = [info async for info in self.list() if info.owner == self.owner and _forsaken(info, now)]
        if dry_run:
            return tuple(found)
        return tuple([info for info in found if await self.delete(info.id)])

    async def cool(self, sandbox_id: str | None = None) -> None:
        """Close the channels that are kept to a sandbox between commands, or to all; the next command opens one."""
        if isinstance(self.provider, KeepsWarm):
            await self.provider.cool(sandbox_id)

    async def close(self) -> None:
        """Let go of connections and threads; safe to repeat."""
        await self.cool()
        await self.provider.close()
        close = getattr(self.provider.world, "close", None)
        if close is not None:
            await close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


@attrs.define(eq=False)
class AsyncListing:
    """Sandboxes as the backend lists them; a page is asked for when the one before it is used up."""

    _client: AsyncClient = attrs.field(repr=False)
    _labels: Mapping[str, str]
    _statuses: frozenset[Status]
    _items: deque[SandboxInfo] = attrs.field(factory=deque, init=False, repr=False)
    _cursor: str | None = attrs.field(default=None, init=False, repr=False)
    _last: bool = attrs.field(default=False, init=False, repr=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SandboxInfo:
        while True:
            while self._items:
                info = self._items.popleft()
                if info.id not in self._client._deleted:
                    return info
            if self._last:
                raise StopAsyncIteration
            await self._next_page()

    async def _next_page(self) -> None:
        provider = self._client.provider
        until = provider.world.now() + INFO_LIMIT
        page = await retrying(
            provider.world,
            lambda: provider.list(labels=self._labels, statuses=self._statuses, cursor=self._cursor, until=until),
            until=until,
        )
        self._items.extend(page.items)
        self._cursor = page.cursor
        self._last = page.cursor is None


def _is_possible(sandbox_id: str) -> bool:
    """Tell whether a text may be a sandbox's id; what is no text is not even one that is gone."""
    if not isinstance(sandbox_id, str):
        raise SandboxNotFound(f"no sandbox {sandbox_id!r}: an id is text, such as a sandbox's id attribute")
    return bool(sandbox_id) and "\0" not in sandbox_id


def _forsaken(info: SandboxInfo, now: float) -> bool:
    if info.expires_at is not None and info.expires_at <= now:
        return True
    if info.status is Status.FAILED:
        return True
    return info.status is Status.CREATING and (info.created_at or now) < now - HALF_MADE


def _check_key(key: str | None) -> str:
    if key is None:
        return os.urandom(16).hex()
    if not isinstance(key, str) or not _KEY.match(key):
        raise InvalidSpec(f"an idempotency key is 1 to 128 printable ASCII characters without spaces, not {key!r}")
    return key


def fingerprint(spec: SandboxSpec) -> str:
    """Digest a specification, so that the same key with another one is noticed; environment values included."""
    import hashlib
    import json

    plain = attrs.asdict(spec, recurse=True)
    plain["options"] = [type(spec.options).__name__, plain["options"]]
    return hashlib.sha256(json.dumps(plain, sort_keys=True, default=repr).encode()).hexdigest()


def _check_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    if not isinstance(labels, Mapping):
        raise InvalidSpec(f"labels are a mapping, such as {{'NAME': 'value'}}, not {type(labels).__name__}")
    for key, value in labels.items():
        if not isinstance(key, str) or not isinstance(value, str) or not key:
            raise InvalidSpec(f"labels are text by text; {key!r} is not")
    return labels


def _status(value: Status | str) -> Status:
    try:
        return Status(value)
    except ValueError:
        raise InvalidRequest(f"status is one of {', '.join(Status)}, not {value!r}") from None
