"""What a sandbox wrote, what happened to it and what it uses: DescribeContainerLog, …Events and …Metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from sandboxkit.errors import InvalidRequest
from sandboxkit.retry import retrying
from sandboxkit_eci import describe

if TYPE_CHECKING:
    from sandboxkit_eci.provider import EciProvider

MOST_LINES = 2000
MOST_BYTES = 1 << 20
"""What the service gives of a log at most."""


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened; times are seconds since the epoch, ``count`` how often it did."""

    reason: str
    message: str
    warning: bool
    count: int = 1
    first: float | None = None
    last: float | None = None


@attrs.frozen(kw_only=True)
class Stats:
    """What a sandbox used at ``time``: CPU time since its start, cores just then, bytes of memory without caches."""

    time: float | None
    cpu_seconds: float
    cores: float
    memory_bytes: int
    memory_limit_bytes: int | None = None


async def logs(
    provider: EciProvider,
    sandbox_id: str,
    *,
    tail: int = 500,
    since: float | None = None,
    previous: bool = False,
    timestamps: bool = False,
    until: float | None,
) -> str:
    """Give the end of what the sandbox's own command wrote, of its streams together.

    ``tail`` lines at most (to 2,000, and 1 MiB), of the last ``since`` seconds. ``previous``: of the container before
    its restart.
    """
    if not 1 <= tail <= MOST_LINES:
        raise InvalidRequest(f"tail is 1 to {MOST_LINES} lines, not {tail!r}")
    container = await _container(provider, sandbox_id, until)
    wire: dict[str, Any] = {
        "ContainerGroupId": sandbox_id,
        "ContainerName": container,
        "Tail": tail,
        "LimitBytes": MOST_BYTES,
        "LastTime": previous,
        "Timestamps": timestamps,
    }
    if since is not None:
        wire["SinceSeconds"] = max(1, round(since))
    body = await _ask(provider, "DescribeContainerLog", "reading the log", wire, until)
    return str(body.get("Content") or "")


async def events(provider: EciProvider, sandbox_id: str, *, until: float | None) -> tuple[Event, ...]:
    """Give what happened to the sandbox, the newest 50, in their order."""
    await _container(provider, sandbox_id, until)
    wire = {"ContainerGroupIds": f'["{sandbox_id}"]'}
    body = await _ask(provider, "DescribeContainerGroupEvents", "reading the events", wire, until)
    told: list[Mapping[str, Any]] = [
        event
        for entry in body.get("Data") or ()
        if entry.get("ContainerGroupId") == sandbox_id
        for event in entry.get("Events") or ()
    ]
    return tuple(sorted((_event(one) for one in told), key=lambda one: one.last or 0.0))


async def stats(provider: EciProvider, sandbox_id: str, *, until: float | None) -> Stats | None:
    """Give the newest measurement; ``None`` as long as there is none, as in a sandbox's first minute."""
    await _container(provider, sandbox_id, until)
    wire = {"ContainerGroupId": sandbox_id}
    body = await _ask(provider, "DescribeContainerGroupMetric", "reading what is used", wire, until)
    records: Sequence[Mapping[str, Any]] = body.get("Records") or ()
    return _stats(records[-1]) if records else None


def _event(told: Mapping[str, Any]) -> Event:
    return Event(
        reason=str(told.get("Reason") or ""),
        message=str(told.get("Message") or ""),
        warning=told.get("Type") == "Warning",
        count=int(told.get("Count") or 1),
        first=describe.timestamp(told.get("FirstTimestamp")),
        last=describe.timestamp(told.get("LastTimestamp")),
    )


def _stats(record: Mapping[str, Any]) -> Stats:
    cpu: Mapping[str, Any] = record.get("CPU") or {}
    memory: Mapping[str, Any] = record.get("Memory") or {}
    used = int(memory.get("WorkingSet") or memory.get("UsageBytes") or 0)
    free = memory.get("AvailableBytes")
    return Stats(
        time=describe.timestamp(record.get("Timestamp")),
        cpu_seconds=int(cpu.get("UsageCoreNanoSeconds") or 0) / 1e9,
        cores=int(cpu.get("UsageNanoCores") or 0) / 1e9,
        memory_bytes=used,
        memory_limit_bytes=None if free is None else used + int(free),
    )


async def _container(provider: EciProvider, sandbox_id: str, until: float | None) -> str:
    """Give the container's name of a sandbox that is sandboxkit's."""
    known = provider.memory.find(sandbox_id)
    if known is not None:
        return known.container
    return describe.container_name(await provider.group(sandbox_id, until=until))


async def _ask(
    provider: EciProvider, action: str, doing: str, wire: Mapping[str, Any], until: float | None
) -> Mapping[str, Any]:
    return await retrying(provider.world, lambda: provider.api.ask(action, doing, wire, until=until), until=until)
