"""All groups of an emulator, and those that an account sees."""

from __future__ import annotations

import asyncio
import random
import string
from collections import deque
from collections.abc import Iterator
from typing import Any

import attrs

from sandboxkit_eci.emulator.errors import ApiError
from sandboxkit_eci.emulator.groups import ENDED, Group
from sandboxkit_eci.emulator.lifecycle import Life
from sandboxkit_eci.emulator.runtime import Runtime

PREFIXES = {"cn-hangzhou": "bp1", "cn-shanghai": "uf6", "cn-beijing": "2ze"}
"""How ids begin in some regions."""

SWEEP = 1.0
"""Seconds between two looks at what may be forgotten."""

_LETTERS = string.ascii_lowercase + string.digits


@attrs.frozen(kw_only=True)
class Past:
    """A group that is gone, as it was last; what a stale list still shows."""

    group: Group
    gone: float


class Groups:
    """Keeps the groups by id."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._lives: dict[str, Life] = {}
        self._serial = 0
        self._swept = 0.0
        self._past: deque[Past] = deque(maxlen=1000)

    def __len__(self) -> int:
        return len(self._lives)

    def new_serial(self) -> int:
        """Give the next group's place among all."""
        self._serial += 1
        return self._serial

    def begin(self, group: Group) -> None:
        """Take in a new group and let it run."""
        self._serial = max(self._serial, group.serial)
        life = self._lives[group.id] = Life(group, self._runtime, self._gone)
        life.begin()
        self._runtime.changed()

    def find(self, account: str, region: str, group_id: str) -> Life:
        """Give a group's life; raises what the service answers for one that this account does not see there."""
        self._sweep()
        life = self._lives.get(group_id)
        if life is None or (life.group.account, life.group.region) != (account, region):
            raise self.unknown(group_id)
        return life

    def unknown(self, group_id: str) -> ApiError:
        """Give the refusal for a group that does not exist."""
        quirks = self._runtime.quirks
        words = f"The specified ContainerGroup {group_id} does not exist."
        return ApiError(quirks.not_found_status, quirks.not_found_code, words)

    def seen(self, account: str, region: str) -> list[Group]:
        """Give an account's groups in a region, the newest first."""
        self._sweep()
        found = [life.group for life in reversed(self._lives.values())]
        return [group for group in found if (group.account, group.region) == (account, region)]

    def seen_before(self, account: str, region: str, seconds: float) -> list[Group]:
        """Give the groups that a list showed so many seconds ago; their statuses are those of today."""
        then = self._runtime.clock.now() - seconds
        gone = [past.group for past in self._past if past.gone > then]
        found = [*self.seen(account, region), *(g for g in gone if (g.account, g.region) == (account, region))]
        return sorted((g for g in found if g.created <= then), key=lambda group: -group.serial)

    def all(self) -> Iterator[Group]:
        """Give every account's groups, the oldest first."""
        return (life.group for life in self._lives.values())

    def used_cpu(self, account: str, region: str) -> float:
        """Give the vCPUs that an account uses."""
        return sum(group.size[0] for group in self.seen(account, region) if group.status not in ENDED)

    async def close(self, *, keep: bool = False) -> None:
        """Let go of everything; with ``keep``, of the containers of groups that have not ended there is no end."""
        await asyncio.gather(*(life.close(keep=keep) for life in self._lives.values()))
        self._lives.clear()

    def _gone(self, group: Group) -> None:
        if self._lives.pop(group.id, None) is not None:
            self._past.append(Past(group=group, gone=self._runtime.clock.now()))
            self._runtime.changed()

    def _sweep(self) -> None:
        """Forget groups that ended long ago: all are kept for a while, and the newest of the older ones."""
        quirks, now = self._runtime.quirks, self._runtime.clock.now()
        if len(self._lives) <= quirks.terminal_kept_most or now < self._swept + SWEEP:
            return
        self._swept = now
        old = [
            life.group
            for life in self._lives.values()
            if life.group.ended is not None and now - life.group.ended > quirks.terminal_kept_seconds
        ]
        for group in old[: max(0, len(old) - quirks.terminal_kept_most)]:
            del self._lives[group.id]


def new_id(region: str, kind: str = "eci") -> str:
    """Make an id as the service does, such as ``eci-bp1`` and 17 letters and digits."""
    return f"{kind}-{PREFIXES.get(region, '0xi')}{''.join(random.choices(_LETTERS, k=17))}"


def request_id() -> str:
    """Make a request's id: an upper-case UUID."""
    digits = f"{random.getrandbits(128):032X}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def tags_of(given: dict[str, Any]) -> dict[str, str]:
    """Give the tags of a request."""
    return {each["Key"]: each.get("Value", "") for each in given.get("Tag", ()) if each.get("Key")}
