"""``python -m tests.benchmarks.callers``: commands a second from several callers in one sandbox of ``docker``.

Callers are threads of one blocking client, or tasks of one loop. Beside the rate it says how many cores each side
took: the client, the daemon with its containerd and the sandbox's shim, the sandbox, and whatever else this machine
did meanwhile. When they add up to all cores the machine is what bounds it; when the client takes about one, its
interpreter is. It also measures how much memory a client has for each sandbox with a kept channel that is idle.

It must see the daemon's and the sandboxes' processes, so the daemon runs on this machine.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import attrs

import sandboxkit
from tests.benchmarks import report
from tests.benchmarks.docker import IMAGE
from tests.benchmarks.eciwarm import MOST_KIB, MemoryGrowth
from tests.benchmarks.rawdocker import RawDocker

CALLERS = (1, 4, 8)

TARGET = 700.0
"""Commands a second of the most callers."""

DAEMONS = ("dockerd", "containerd")
"""Names of the daemon's processes; beside them each container has a shim."""

FIRST = 4
"""Sandboxes that there are before memory is measured."""


@attrs.frozen(kw_only=True)
class Rate:
    """What so many callers got done."""

    world: str
    callers: int
    warm: bool
    per_second: float
    """The median over stretches."""
    quartiles: tuple[float, float]
    client: float
    """Cores that it took, as the others."""
    daemon: float
    sandbox: float
    others: float
    idle: float
    target: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether there were as many as there should be; ``None`` without a target."""
        return None if self.target is None else self.per_second >= self.target

    @property
    def bound(self) -> str:
        """Say what kept it from being more."""
        if self.callers == 1:
            return "one after the other"
        if self.idle < 0.15 * (os.cpu_count() or 1):
            return "the machine's cores"
        return "the client's interpreter" if self.client > 0.85 else "the channels"


@attrs.frozen(kw_only=True)
class Memory:
    """A client's memory for each sandbox with an idle channel."""

    world: str
    sandboxes: int
    kib_per_sandbox: float
    target_kib: float = MOST_KIB

    @property
    def reached(self) -> bool:
        """Whether it is within the target."""
        return self.kib_per_sandbox <= self.target_kib


# -- who took what --


def _ticks(process: Path) -> int:
    fields = (process / "stat").read_text().rpartition(")")[2].split()
    # Its own and those of its children that have ended: runc's are a shim's.
    return sum(map(int, fields[11:15]))


def first_process(container: str, raw: RawDocker) -> int:
    """Give the container's PID 1 as this machine sees it."""
    pid: int = raw.call("GET", f"/containers/{container}/json")["State"]["Pid"]
    return pid


def daemon_seconds(pid: int) -> Callable[[], float]:
    """Make what gives the CPU time of the daemon and of what it has beside the container of that PID 1."""
    processes = [Path("/proc", Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])]
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_text().strip() in DAEMONS:
                processes.append(process)
    return lambda: sum(map(_ticks, processes)) / os.sysconf("SC_CLK_TCK")


def sandbox_seconds(pid: int) -> Callable[[], float]:
    """Make what gives the CPU time of the container of that PID 1, from its control group."""
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    for _, controllers, path in lines:
        old = Path(f"/sys/fs/cgroup/cpuacct{path}/cpuacct.usage")
        if "cpuacct" in controllers.split(",") and old.exists():
            return lambda: int(old.read_text()) / 1e9
        new = Path(f"/sys/fs/cgroup{path}/cpu.stat")
        if not controllers and new.exists():
            return lambda: int(new.read_text().split()[1]) / 1e6
    raise RuntimeError("the CPU time of the sandbox cannot be read")


def machine_seconds() -> tuple[float, float]:
    """Give what all of the machine's cores have spent, and how much of it was idle."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    hertz = os.sysconf("SC_CLK_TCK")
    return sum(fields) / hertz, (fields[3] + fields[4]) / hertz


@attrs.define(eq=False)
class Gauge:
    """Adds up what each side took."""

    daemon: Callable[[], float]
    sandbox: Callable[[], float]
    taken: list[float] = attrs.field(factory=lambda: [0.0] * 5)
    wall: float = 0.0

    def _read(self) -> list[float]:
        spent, idle = machine_seconds()
        return [time.process_time(), self.daemon(), self.sandbox(), spent - idle, idle]

    def __call__(self, work: Callable[[], int]) -> float:
        """Run something; give how many a second it did."""
        before, began = self._read(), time.perf_counter()
        done = work()
        wall = time.perf_counter() - began
        self.taken = [sum_ + now - then for sum_, now, then in zip(self.taken, self._read(), before, strict=True)]
        self.wall += wall
        return done / wall

    def shares(self) -> dict[str, float]:
        """Give the cores that each took."""
        client, daemon, sandbox, busy, idle = (round(each / self.wall, 2) for each in self.taken)
        others = max(0.0, round(busy - client - daemon - sandbox, 2))
        return {"client": client, "daemon": daemon, "sandbox": sandbox, "others": others, "idle": idle}


# -- rates --


def _check(result: sandboxkit.Result) -> None:
    if (result.exit_code, result.stdout, result.stderr) != (0, b"", b""):
        raise AssertionError("true did not do what it should")


def threads(box: sandboxkit.Sandbox, callers: int, seconds: float) -> int:
    """Run commands from so many threads; give how many."""
    ends, done, wrong = time.monotonic() + seconds, [0] * callers, list[BaseException]()

    def call(place: int) -> None:
        try:
            while time.monotonic() < ends:
                _check(box.exec(["true"]))
                done[place] += 1
        except BaseException as exc:
            wrong.append(exc)
            raise

    running = [threading.Thread(target=call, args=(place,)) for place in range(callers)]
    for each in running:
        each.start()
    for each in running:
        each.join()
    if wrong:
        raise wrong[0]
    return sum(done)


async def tasks(box: sandboxkit.AsyncSandbox, callers: int, seconds: float) -> int:
    """Run commands from so many tasks; give how many."""
    ends = time.monotonic() + seconds

    async def call() -> int:
        done = 0
        while time.monotonic() < ends:
            _check(await box.exec(["true"]))
            done += 1
        return done

    return sum(await asyncio.gather(*(call() for _ in range(callers))))


@attrs.frozen
class Way:
    """One that is measured, and what was found so far."""

    world: str
    callers: int
    warm: bool
    target: float | None
    work: Callable[[], int]
    gauge: Gauge
    found: list[float] = attrs.field(factory=list)

    def rate(self) -> Rate:
        """Sum it up."""
        found = self.found
        low, middle, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
        return Rate(
            world=self.world,
            callers=self.callers,
            warm=self.warm,
            target=self.target,
            per_second=round(middle, 1),
            quartiles=(round(low, 1), round(high, 1)),
            **self.gauge.shares(),
        )


def rates(image: str, stretches: int, part: float, callers: Iterable[int]) -> list[Rate]:
    """Measure all ways in turns, each in a sandbox of its own."""
    with ExitStack() as stack:
        raw = stack.enter_context(RawDocker())
        runner = stack.enter_context(asyncio.Runner())
        ways: list[Way] = []
        for warm in (True, False):
            client = stack.enter_context(sandboxkit.connect("docker", image=image, warm=warm))
            loop_client = sandboxkit.connect_async("docker", image=image, warm=warm)
            stack.callback(functools.partial(_close, runner, loop_client))
            box = stack.enter_context(client.create())
            loop_box = runner.run(_get(loop_client, box.id))
            pid = first_process(box.id, raw)
            for number in callers:

                def threaded(box: sandboxkit.Sandbox = box, number: int = number) -> int:
                    return threads(box, number, part)

                def looped(box: sandboxkit.AsyncSandbox = loop_box, number: int = number) -> int:
                    return runner.run(tasks(box, number, part))

                target = TARGET if warm and number == max(callers) else None
                for world, work in (("blocking", threaded), ("asyncio", looped)):
                    gauge = Gauge(daemon_seconds(pid), sandbox_seconds(pid))
                    ways.append(Way(world, number, warm, target, work, gauge))
        for way in ways:
            way.work()
        for _ in range(stretches):
            for way in ways:
                way.found.append(way.gauge(way.work))
        return [way.rate() for way in ways]


def _close(runner: asyncio.Runner, client: sandboxkit.AsyncClient) -> None:
    runner.run(client.close())


async def _get(client: sandboxkit.AsyncClient, sandbox: str) -> sandboxkit.AsyncSandbox:
    return await client.get(sandbox)


# -- memory --


def blocking_memory(image: str, number: int) -> Memory:
    """Measure a blocking client's."""
    with sandboxkit.connect("docker", image=image) as client, ExitStack() as stack:

        def one() -> None:
            _check(stack.enter_context(client.create()).exec(["true"]))

        for _ in range(FIRST):
            one()
        growth = MemoryGrowth.begin()
        for _ in range(number):
            one()
        return Memory(world="blocking", sandboxes=number, kib_per_sandbox=growth.end() / number)


async def asyncio_memory(image: str, number: int) -> Memory:
    """Measure an asyncio client's."""
    async with sandboxkit.connect_async("docker", image=image) as client:
        boxes = []
        try:
            for place in range(FIRST + number):
                if place == FIRST:
                    growth = MemoryGrowth.begin()
                boxes.append(await client.create())
                _check(await boxes[-1].exec(["true"]))
            grown = growth.end()
        finally:
            for box in boxes:
                await box.delete()
        return Memory(world="asyncio", sandboxes=number, kib_per_sandbox=grown / number)


def main() -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.callers", description=__doc__)
    parser.add_argument("--image", default=IMAGE, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=11, help="stretches of each way (default: %(default)s)")
    parser.add_argument("--part", type=float, default=1.0, help="seconds of a stretch (default: %(default)s)")
    parser.add_argument("--idle", type=int, default=50, help="sandboxes that are idle (default: %(default)s)")
    given = parser.parse_args()
    if min(given.rounds, given.idle) < 1 or given.part <= 0:
        parser.error("all of them must be positive")
    print("measuring memory", file=sys.stderr)
    kept = [blocking_memory(given.image, given.idle), asyncio.run(asyncio_memory(given.image, given.idle))]
    print("measuring callers", file=sys.stderr)
    found = rates(given.image, given.rounds, given.part, CALLERS)
    said = {
        "machine": report.machine(),
        "rounds": given.rounds,
        "rates": [{**attrs.asdict(each), "reached": each.reached, "bound": each.bound} for each in found],
        "memory": [{**attrs.asdict(each), "reached": each.reached} for each in kept],
    }
    print(json.dumps(said, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
