"""What a container wrote, and what it uses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sandboxkit_eci.emulator.actions.execution import named_container
from sandboxkit_eci.emulator.backend import Interface
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.clock import timestamp
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.errors import invalid
from sandboxkit_eci.emulator.groups import Group

MOST_LINES = 2000
MOST_BYTES = 1 << 20
FREE_GIB = 30
"""Storage that every group has, for images and files; ``EphemeralStorage`` comes on top."""


async def describe_container_log(call: Call) -> dict[str, Any]:
    """Give the end of a container's log; of what is asked for, each limit holds."""
    given = call.given
    container = named_container(call, call.life())
    tail, limit = given.get("Tail", 500), given.get("LimitBytes", MOST_BYTES)
    if not 1 <= tail <= MOST_LINES:
        raise invalid("Tail", f"must be from 1 to {MOST_LINES}")
    if not 1 <= limit <= MOST_BYTES:
        raise invalid("LimitBytes", f"must be from 1 to {MOST_BYTES}")
    since = _since(given, call.now)
    log = container.log(previous=given.get("LastTime", False))
    lines = [(moment, line) for moment, line in log.lines() if moment >= since][-tail:]
    stamped = given.get("Timestamps", False)
    content = b"".join(_stamp(moment) + line if stamped else line for moment, line in lines)[-limit:].decode(
        "utf-8", "replace"
    )
    return {"ContainerName": container.name, "Content": content}


def _since(given: Mapping[str, Any], now: float) -> float:
    """Give the moment before which nothing is asked for."""
    since = now - given["SinceSeconds"] if "SinceSeconds" in given else 0.0
    return max(since, _moment(given, "StartTime", 0.0))


def _moment(given: Mapping[str, Any], name: str, usual: float) -> float:
    """Read a time that was given, or give the usual one."""
    if not given.get(name):
        return usual
    try:
        return datetime.strptime(given[name], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise invalid(name, "a time in UTC, as 2018-08-02T15:00:00Z") from None


def _stamp(moment: float) -> bytes:
    """Write a moment to the nanosecond, as it stands before a line."""
    seconds, fraction = divmod(moment, 1)
    return timestamp(seconds).replace("Z", f".{int(fraction * 1e9):09d}Z ").encode()


async def describe_container_group_metric(call: Call) -> dict[str, Any]:
    """Give what a group uses now, as the one record there is; none if now is not in the time that is asked for."""
    group = call.life().group
    start, end = (_moment(call.given, name, usual) for name, usual in (("StartTime", 0.0), ("EndTime", math.inf)))
    if start > end:
        raise invalid("EndTime", "must not be before StartTime")
    parts = [(each, await _usage(each, call.now)) for each in group.containers]
    total = {name: sum(usage[name] for _, usage in parts) for name in ("nanoseconds", "nanocores", "bytes", "cache")}
    record = {
        "Timestamp": timestamp(call.now),
        "CPU": _cpu(total, group.size[0]),
        "Memory": _memory(total, group.size[1]),
        "Containers": [
            {"Name": each.name, "CPU": _cpu(usage, each.spec.cpu), "Memory": _memory(usage, each.spec.memory)}
            for each, usage in parts
        ],
        "Network": {"Interfaces": [_interface(each) for each in _interfaces(group)]},
        "Disk": _disks(group),
        "Filesystem": _filesystems(group),
    }
    return {"ContainerGroupId": group.id, "Records": [record] if _has_run(group) and start <= call.now <= end else []}


def _disks(group: Group) -> list[dict[str, Any]]:
    """Give the one disk, with what all containers have read and written; nothing where nobody can tell.

    ``ReadIO`` and ``WriteIO`` are left out: the documents say that they are not for the public.
    """
    counts = [(each.used.read_bytes, each.used.written_bytes) for each in group.containers]
    read, written = (_total(column) for column in zip(*counts, strict=True))
    return [] if None in (read, written) else [{"Device": "vda", "ReadBytes": read, "WriteBytes": written}]


def _filesystems(group: Group) -> list[dict[str, Any]]:
    """Give the one partition: as large as the service promises, with what all containers' own files take of it."""
    used = _total([each.used.files_bytes for each in group.containers])
    if used is None:
        return []
    capacity = (FREE_GIB + group.given.get("EphemeralStorage", 0)) << 30
    there = {"Capacity": capacity, "Usage": used, "Available": max(0, capacity - used)}
    return [{"FsName": "/dev/vda1", "Category": "System", **there}]


def _total(counts: Sequence[int | None]) -> int | None:
    """Add up what is known; ``None`` if nothing is."""
    known = [each for each in counts if each is not None]
    return sum(known) if known else None


def _interfaces(group: Group) -> Sequence[Interface]:
    """Give the group's network interfaces: here each container has its own, and the first one's are shown."""
    return next((each.used.interfaces for each in group.containers), ())


def _interface(it: Interface) -> dict[str, Any]:
    return {
        "Name": it.name,
        "RxBytes": it.received,
        "RxPackets": it.received_packets,
        "RxErrors": it.received_errors,
        "RxDrops": it.received_drops,
        "TxBytes": it.sent,
        "TxPackets": it.sent_packets,
        "TxErrors": it.sent_errors,
        "TxDrops": it.sent_drops,
    }


def _has_run(group: Group) -> bool:
    return any(each.machine is not None for each in group.containers)


async def _usage(container: Container, now: float) -> dict[str, int]:
    usage = container.used = await container.usage()
    before, seen = container.sample
    container.sample = (now, usage.cpu_nanoseconds)
    seconds = now - (before or container.state.started or now)
    rate = max(0, usage.cpu_nanoseconds - seen) / seconds if seconds > 0 else 0.0
    return {
        "nanoseconds": usage.cpu_nanoseconds,
        "nanocores": int(rate),
        "bytes": usage.memory_bytes,
        "cache": usage.cache_bytes,
    }


def _cpu(used: dict[str, int], cpu: float) -> dict[str, int]:
    return {
        "UsageCoreNanoSeconds": used["nanoseconds"],
        "UsageNanoCores": used["nanocores"],
        "Load": 0,
        "Limit": int(cpu * 1000),
    }


def _memory(used: dict[str, int], gib: float) -> dict[str, int]:
    there = int(gib * (1 << 30))
    return {
        "UsageBytes": used["bytes"],
        "WorkingSet": max(0, used["bytes"] - used["cache"]),
        "Rss": max(0, used["bytes"] - used["cache"]),
        "Cache": used["cache"],
        "AvailableBytes": max(0, there - used["bytes"]),
    }
