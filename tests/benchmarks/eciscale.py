"""``python -m tests.benchmarks.eciscale``: many sandboxes at once, on an emulator without processes.

Each is created, runs one command and is deleted, in one loop of one client that keeps to the published limits, which
the emulator enforces. The commands are what takes long: an account may start 500 in a minute. It fails if something
went wrong; how much memory and time it took is only printed.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import attrs

import sandboxkit
from tests.benchmarks.callbacks import Callbacks
from tests.support.emulated import emulated

EMULATOR = (
    "--backend=none",
    "--responder=tests.support.launcherside:LauncherSide",
    "--quirk=limits=published",
    "--quirk=quota-cpu=100000",
)

PATIENCE = 1800.0
"""Seconds that a command may take, most of which it waits for its turn."""

MINUTE = 60.0


@attrs.frozen(kw_only=True)
class Scale:
    """What was found."""

    sandboxes: int
    client_kib_per_sandbox: float
    """The growth of the client's peak memory, after one sandbox, over that of all."""
    callback_ms: float
    """The longest of the loop's own, in thread time."""
    callback_collecting_ms: float
    """How much of it was Python's garbage collector."""
    callback_without_collecting_ms: float
    """The longest without the collector."""
    callback_without_collecting: str
    """Which that was."""
    collection_before_ms: float
    """A full collection before there were any sandboxes."""
    seconds: dict[str, float]
    calls: dict[str, int]
    most_in_a_minute: dict[str, int]
    """Calls of each action, by looking about once a second."""
    refused: int
    """Calls that were over a published limit."""
    left: int
    """Sandboxes that are still listed."""


def peak_kib() -> int:
    """Give the most memory that this process ever had; getrusage would count what its parent had when it forked."""
    found = re.search(r"VmHWM:\s*([0-9]+)", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status does not tell the peak memory")
    return int(found[1])


@attrs.define
class Minutes:
    """The emulator's counts, looked at now and then."""

    endpoint: str
    most: Counter[str] = attrs.field(factory=Counter)
    _seen: deque[tuple[float, Counter[str]]] = attrs.field(factory=deque)

    def counts(self) -> dict[str, Any]:
        """Ask the emulator."""
        with urlopen(f"{self.endpoint}/_emulator/requests", timeout=60) as answer:
            return dict(json.load(answer))

    def look(self) -> None:
        """Ask, and note how many calls of each action came within the last minute."""
        self._seen.append((time.monotonic(), Counter(self.counts()["calls"])))
        now = self._seen[-1][0]
        while self._seen[0][0] < now - MINUTE:
            self._seen.popleft()
        self.most |= self._seen[-1][1] - self._seen[0][1]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look about once a second while the block lasts."""

        async def looking() -> None:
            while True:
                await asyncio.to_thread(self.look)
                await asyncio.sleep(1.0)

        await asyncio.to_thread(self.look)
        task = asyncio.create_task(looking())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await asyncio.to_thread(self.look)


async def one(options: dict[str, Any]) -> None:
    """Do once what is about to be measured, so that all is imported; elsewhere, where it uses up no calls."""
    elsewhere = {**options, "region_id": "cn-beijing"}
    async with sandboxkit.connect_async("eci", image="busybox:1", **elsewhere) as client, client.create() as box:
        await box.exec(["true"])


def full_collection() -> float:
    """Collect garbage; give the seconds of thread time that it took."""
    began = time.thread_time()
    gc.collect()
    return time.thread_time() - began


def milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 1)


async def command(box: sandboxkit.AsyncSandbox) -> None:
    """Run one that says whose it is."""
    result = await box.exec(["echo", box.id], timeout=PATIENCE)
    if (result.exit_code, result.stdout, result.stderr) != (0, f"{box.id}\n".encode(), b""):
        raise AssertionError(f"sandbox {box.id}: another command's result came")


async def scale(number: int, options: dict[str, Any], *, freeze: bool = False) -> Scale:
    """Make that many, run a command in each and delete them, each all at once."""
    minutes, callbacks, seconds = Minutes(options["endpoint"]), Callbacks(), {}

    async def timed(doing: str, works: Iterable[Awaitable[Any]]) -> list[Any]:
        began, tasks = time.monotonic(), []
        for work in works:
            tasks.append(asyncio.ensure_future(work))
            if len(tasks) % 20 == 0:
                await asyncio.sleep(0)  # one step that starts a thousand would be the longest callback
        done = await asyncio.gather(*tasks)
        seconds[doing] = round(time.monotonic() - began, 1)
        print(f"{doing}: {seconds[doing]} s", file=sys.stderr)
        return done

    await one(options)
    full_collection()
    collecting = full_collection()
    if freeze:
        gc.freeze()
    async with sandboxkit.connect_async("eci", image="busybox:1", **options) as client:
        before = peak_kib()
        with callbacks.timed():
            async with minutes.watched():
                boxes = await timed("create", (client.create() for _ in range(number)))
                if len({box.id for box in boxes}) != number:
                    raise AssertionError("two creates gave the same sandbox")
                await timed("command", (command(box) for box in boxes))
                deleted = await timed("delete", (box.delete() for box in boxes))
        if not all(deleted):
            raise AssertionError("a sandbox was gone before it was deleted")
        grown = peak_kib() - before
        left = len([info async for info in client.list()])
    counts = minutes.counts()
    return Scale(
        sandboxes=number,
        client_kib_per_sandbox=round(grown / number, 1),
        callback_ms=milliseconds(callbacks.longest),
        callback_collecting_ms=milliseconds(callbacks.collecting),
        callback_without_collecting_ms=milliseconds(callbacks.longest_without),
        callback_without_collecting=callbacks.name,
        collection_before_ms=milliseconds(collecting),
        seconds=seconds,
        calls=counts["calls"],
        most_in_a_minute=dict(minutes.most),
        refused=sum(counts["throttled"].values()),
        left=left,
    )


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.eciscale", description=__doc__)
    parser.add_argument("--sandboxes", type=int, default=1000, help="how many (default: %(default)s)")
    parser.add_argument("--freeze", action="store_true", help="have the collector leave out what was imported")
    given = parser.parse_args()
    if given.sandboxes < 1:
        parser.error("--sandboxes must be at least 1")
    with emulated(*EMULATOR) as options:
        found = asyncio.run(scale(given.sandboxes, {**options, "limits": {}}, freeze=given.freeze))
    print(json.dumps(attrs.asdict(found), indent=2))
    return 0 if found.refused == 0 and found.left == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
