"""What a container wrote, and what it uses."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sandboxkit_eci.emulator.actions.execution import named_container
from sandboxkit_eci.emulator.calls import Call
from sandboxkit_eci.emulator.clock import timestamp
from sandboxkit_eci.emulator.containers import Container
from sandboxkit_eci.emulator.errors import invalid
from sandboxkit_eci.emulator.groups import Group

MOST_LINES = 2000
MOST_BYTES = 1 << 20


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
    moments = [0.0]
    if "SinceSeconds" in given:
        moments.append(now - given["SinceSeconds"])
    if "StartTime" in given:
        try:
            start = datetime.strptime(given["StartTime"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except ValueError:
            raise invalid("StartTime", "a time in UTC, as 2018-08-02T15:00:00Z") from None
        moments.append(start.timestamp())
    return max(moments)


def _stamp(moment: float) -> bytes:
    """Write a moment to the nanosecond, as it stands before a line."""
    seconds, fraction = divmod(moment, 1)
    return timestamp(seconds).replace("Z", f".{int(fraction * 1e9):09d}Z ").encode()


async def describe_container_group_metric(call: Call) -> dict[str, Any]:
    """Give what a group uses now, as the one record there is."""
    group = call.life().group
    parts = [(each, await _usage(each, call.now)) for each in group.containers]
    total = {name: sum(usage[name] for _, usage in parts) for name in ("nanoseconds", "nanocores", "bytes")}
    record = {
        "Timestamp": timestamp(call.now),
        "CPU": _cpu(total, group.size[0]),
        "Memory": _memory(total, group.size[1]),
        "Containers": [
            {"Name": each.name, "CPU": _cpu(usage, each.spec.cpu), "Memory": _memory(usage, each.spec.memory)}
            for each, usage in parts
        ],
        "Network": {"Interfaces": []},
        "Disk": [],
        "Filesystem": [],
    }
    return {"ContainerGroupId": group.id, "Records": [record] if _has_run(group) else []}


def _has_run(group: Group) -> bool:
    return any(each.machine is not None for each in group.containers)


async def _usage(container: Container, now: float) -> dict[str, int]:
    usage = await container.usage()
    before, seen = container.sample
    container.sample = (now, usage.cpu_nanoseconds)
    seconds = now - (before or container.state.started or now)
    rate = max(0, usage.cpu_nanoseconds - seen) / seconds if seconds > 0 else 0.0
    return {"nanoseconds": usage.cpu_nanoseconds, "nanocores": int(rate), "bytes": usage.memory_bytes}


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
        "WorkingSet": used["bytes"],
        "Rss": used["bytes"],
        "Cache": 0,
        "AvailableBytes": max(0, there - used["bytes"]),
    }
