"""``python -m tests.benchmarks.eciwarm``: what commands in ``eci`` cost over channels that are kept.

``far`` puts the emulator, over ``local``, at a distance: every operation is done with and without kept channels, in
pairs, and from the second on its round trips and calls of the API are counted. ``fleet`` has many sandboxes whose
tmux sessions are looked at every second, on an emulator without processes that enforces the published limits.
``idle`` has many sandboxes with a channel that is kept and not used. It fails if something went wrong or was refused;
what it cost is only printed.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import gc
import json
import re
import statistics
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import urlsplit

import attrs

import sandboxkit
from sandboxkit import TmuxStatus
from tests.benchmarks import report
from tests.benchmarks.distance import distant
from tests.benchmarks.eciscale import Minutes
from tests.benchmarks.pairs import Case, Row, measure
from tests.support.emulated import UNLIMITED, emulated

T = TypeVar("T")

TO_NOBODY = ("--backend=none", "--responder=tests.support.launcherside:LauncherSide", "--quirk=quota-cpu=100000")
PUBLISHED = "--quirk=limits=published"
EXEC = "ExecContainerCommand"

COUNTED = 10
"""Times that an operation is done while what it asks for is counted."""

MOST_ROUND_TRIPS = 1.2
MOST_KIB = 100.0
MOST_OF_A_CORE = 0.01

PER_POLL = 3
"""Execs, and as many describes, that a client asks for to look at a session without any of this."""

AT_ONCE = 50


@attrs.frozen(kw_only=True)
class Far:
    """An operation at a distance: medians, and what it asked for each time."""

    name: str
    ours_ms: float
    cold_ms: float
    ratio: float
    quartiles: tuple[float, float]
    round_trips: float
    """Counted on the way."""
    time_in_round_trips: float
    """Our time; what the sandbox itself takes, on the same machine, is in it."""
    cold_round_trips: float
    api_calls: float
    cold_api_calls: float
    target: float = MOST_ROUND_TRIPS

    @property
    def reached(self) -> bool:
        """Whether it took no more round trips than the target, and asked the API for nothing."""
        return self.round_trips <= self.target and self.api_calls == 0


@attrs.frozen(kw_only=True)
class Fleet:
    """Sandboxes whose sessions were looked at."""

    sandboxes: int
    seconds: float
    polls: int
    poll_ms: float
    poll_ms_worst: float
    calls: dict[str, int]
    """From the first create to the last poll."""
    calls_while_polling: dict[str, int]
    most_execs_in_a_minute: int
    refused: int
    otherwise: int
    """Execs, and as many describes, if each look were three of either."""
    client_busy: float
    """The client's share of a core while polling."""


@attrs.frozen(kw_only=True)
class Idle:
    """Sandboxes with a channel each that nothing uses."""

    sandboxes: int
    seconds: float
    kib_per_sandbox: float
    """By how much the client's memory grew for each."""
    busy: float
    """The share of a core that all of the client took."""
    target_kib: float = MOST_KIB
    target_busy: float = MOST_OF_A_CORE

    @property
    def reached(self) -> bool:
        """Whether both are within their targets."""
        return self.kib_per_sandbox <= self.target_kib and self.busy < self.target_busy


# -- at a distance -------------------------------------------------------------------------------------------------


def operations(box: sandboxkit.Sandbox) -> dict[str, Callable[[], Any]]:
    """Give what is measured; each checks what it got."""
    small = b"0123456789" * 100
    box.files.write("/tmp/read", small)
    session = box.tmux.start("echo it runs; exec sleep 100000", echo=False)

    def true(timeout: float | None = None) -> None:
        if box.exec(["true"], timeout=timeout).exit_code:
            raise AssertionError("true failed")

    def read() -> None:
        if box.files.read("/tmp/read") != small:
            raise AssertionError("the file does not hold what was written")

    def poll() -> None:
        if session.poll().status is not TmuxStatus.RUNNING:
            raise AssertionError("the session does not run")

    return {
        "run true": true,
        "run true, timeout": lambda: true(60.0),
        "write 1 KB": lambda: box.files.write("/tmp/written", small),
        "read 1 KB": read,
        "tmux poll": poll,
    }


def far(round_trip: float, rounds: int) -> list[Far]:
    """Measure at a distance of ``round_trip`` seconds."""
    with emulated("--backend=local") as options:
        minutes = Minutes(options["endpoint"])
        with distant(urlsplit(options["endpoint"]).port or 0, round_trip / 2) as way:
            there = {**options, "endpoint": f"http://127.0.0.1:{way.port}", "image": "any:1"}
            with (
                sandboxkit.connect("eci", **there) as client,
                sandboxkit.connect("eci", warm=False, **there) as without,
                client.create() as box,
                without.create() as other,
            ):
                kept, opened = operations(box), operations(other)
                cases = [Case(name=name, ours=work, least=opened[name]) for name, work in kept.items()]
                rows = measure("eci", cases, rounds)

                def asked(work: Callable[[], Any]) -> tuple[float, float]:
                    trips, calls = way.round_trips(), total(minutes)
                    for _ in range(COUNTED):
                        work()
                    return (way.round_trips() - trips) / COUNTED, (total(minutes) - calls) / COUNTED

                return [_far(row, asked(kept[row.name]), asked(opened[row.name]), round_trip) for row in rows]


def total(minutes: Minutes) -> int:
    """Count all calls of the API so far."""
    return sum(minutes.counts()["calls"].values())


def _far(row: Row, kept: tuple[float, float], opened: tuple[float, float], round_trip: float) -> Far:
    assert row.least_ms is not None
    assert row.ratio is not None
    assert row.quartiles is not None
    return Far(
        name=row.name,
        ours_ms=row.ours_ms,
        cold_ms=row.least_ms,
        ratio=row.ratio,
        quartiles=row.quartiles,
        round_trips=kept[0],
        time_in_round_trips=round(row.ours_ms / 1000 / round_trip, 2),
        cold_round_trips=opened[0],
        api_calls=kept[1],
        cold_api_calls=opened[1],
    )


# -- many ----------------------------------------------------------------------------------------------------------


async def some_at_once(works: Iterable[Callable[[], Awaitable[T]]]) -> list[T]:
    """Do all of it, not more than some at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(work: Callable[[], Awaitable[T]]) -> T:
        async with room:
            return await work()

    return list(await asyncio.gather(*map(one, works)))


async def fleet(number: int, seconds: float, options: dict[str, Any]) -> Fleet:
    """Poll the sessions of that many sandboxes every second, each at its own time of it."""
    minutes, took = Minutes(options["endpoint"]), list[float]()

    async def looking(session: sandboxkit.AsyncSession, began: float, until: float) -> None:
        at = began
        while at < until:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            asked = time.perf_counter()
            if (await session.poll()).status is not TmuxStatus.RUNNING:
                raise AssertionError("the session does not run")
            took.append(time.perf_counter() - asked)
            at += 1.0

    async with sandboxkit.connect_async("eci", image="busybox:1", **options) as client:

        async def create() -> sandboxkit.AsyncSandbox:
            return await client.create()

        async with minutes.watched():
            boxes = await some_at_once([create] * number)
            sessions = await some_at_once([functools.partial(box.tmux.start, "sleep 100000") for box in boxes])
            before, cpu = Counter((await asyncio.to_thread(minutes.counts))["calls"]), time.process_time()
            began = time.monotonic()
            ends = began + seconds
            await asyncio.gather(
                *(looking(each, began + place / number, ends) for place, each in enumerate(sessions))
            )
            wall, cpu = time.monotonic() - began, time.process_time() - cpu
            counts = await asyncio.to_thread(minutes.counts)
        await some_at_once([box.delete for box in boxes])
    calls = Counter(counts["calls"])
    return Fleet(
        sandboxes=number,
        seconds=round(wall, 1),
        polls=len(took),
        poll_ms=round(statistics.median(took) * 1000, 2),
        poll_ms_worst=round(max(took) * 1000, 1),
        calls=dict(calls),
        calls_while_polling=dict(calls - before),
        most_execs_in_a_minute=minutes.most[EXEC],
        refused=sum(counts["throttled"].values()),
        otherwise=PER_POLL * len(took),
        client_busy=round(cpu / wall, 3),
    )


@attrs.define(eq=False)
class MemoryGrowth:
    """By how much a client's memory grows: of what Python was asked for and of what the process has, the larger.

    The process may still have what was freed before, so that it seems not to grow; and Python does not know of what
    libraries in C have. Following what Python was asked for takes memory, too, which counts here.
    """

    _traced: int = 0
    _resident: int = 0

    @classmethod
    def begin(cls) -> Self:
        """Begin to measure."""
        tracemalloc.start()
        gc.collect()
        return cls(tracemalloc.get_traced_memory()[0], _resident())

    def end(self) -> float:
        """Give the KiB since then."""
        gc.collect()
        grown = max(tracemalloc.get_traced_memory()[0] - self._traced, _resident() - self._resident)
        tracemalloc.stop()
        return grown / 1024


def _resident() -> int:
    found = re.search(r"VmRSS:\s*([0-9]+)", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status does not tell the memory")
    return int(found[1]) * 1024


async def idle(number: int, seconds: float, options: dict[str, Any]) -> Idle:
    """Have that many sandboxes with a channel each, and do nothing."""
    async with sandboxkit.connect_async("eci", image="busybox:1", **options) as client:

        async def create() -> sandboxkit.AsyncSandbox:
            box = await client.create()
            if (await box.exec(["true"])).exit_code:
                raise AssertionError("true failed")
            return box

        first = await some_at_once([create] * min(AT_ONCE, number))
        growth = MemoryGrowth.begin()
        boxes = await some_at_once([create] * number)
        grown = growth.end()
        calls = Counter(await asyncio.to_thread(Minutes(options["endpoint"]).counts))
        cpu, began = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        cpu, wall = time.process_time() - cpu, time.monotonic() - began
        # Each is still there and kept: no exec is asked for.
        for box in boxes:
            if (await box.exec(["true"])).exit_code:
                raise AssertionError("true failed")
        after = Counter(await asyncio.to_thread(Minutes(options["endpoint"]).counts))
        if after != calls:
            raise AssertionError("a channel was not kept")
        await some_at_once([box.delete for box in first + boxes])
    return Idle(
        sandboxes=number,
        seconds=round(wall, 1),
        kib_per_sandbox=round(grown / number, 1),
        busy=round(cpu / wall, 4),
    )


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.eciwarm", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21, help="pairs of each operation (default: %(default)s)")
    parser.add_argument(
        "--round-trip", type=float, default=20.0, metavar="MS", help="the distance (default: %(default)s)"
    )
    parser.add_argument("--fleet", type=int, default=200, help="sandboxes that are polled (default: %(default)s)")
    parser.add_argument("--idle", type=int, default=1000, help="sandboxes that are idle (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of both (default: %(default)s)")
    given = parser.parse_args()
    if min(given.rounds, given.fleet, given.idle) < 1 or min(given.round_trip, given.seconds) <= 0:
        parser.error("all of them must be positive")
    print("measuring at a distance", file=sys.stderr)
    operations_far = far(given.round_trip / 1000, given.rounds)
    print(f"polling {given.fleet} sandboxes", file=sys.stderr)
    with emulated(*TO_NOBODY, PUBLISHED) as options:
        polled = asyncio.run(fleet(given.fleet, given.seconds, {**options, "limits": {}}))
    print(f"keeping {given.idle} idle ones", file=sys.stderr)
    with emulated(*TO_NOBODY) as options:
        limits = dict.fromkeys(("CreateContainerGroup", "DeleteContainerGroup", EXEC), UNLIMITED)
        kept = asyncio.run(idle(given.idle, given.seconds, {**options, "limits": limits}))
    said = {
        "machine": report.machine(),
        "rounds": given.rounds,
        "round_trip_ms": given.round_trip,
        "far": [{**attrs.asdict(each), "reached": each.reached} for each in operations_far],
        "fleet": attrs.asdict(polled),
        "idle": {**attrs.asdict(kept), "reached": kept.reached},
    }
    print(json.dumps(said, indent=2))
    return 0 if polled.refused == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
