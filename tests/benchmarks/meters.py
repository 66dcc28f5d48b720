"""Throughput in pairs, and the CPU time of what is measured and of the server that it talks to."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

from tests.benchmarks.pairs import Row

MB = 1_000_000

TARGET = 0.7
"""What our throughput should be at least, as a share of the library's."""


@attrs.frozen(kw_only=True)
class Side:
    """One client: its median throughput, and how busy it and the server were meanwhile (1 is a whole core)."""

    mb_per_second: float
    client_busy: float
    server_busy: float
    client_ms_per_mb: float
    """CPU time."""


def cpu_seconds(process: int) -> float:
    """Give the CPU time of a process, from proc(5), which counts in clock ticks."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@attrs.define(eq=False)
class Meter:
    """Measures a function's runs, but for the first, which warms up."""

    _server: int
    _function: Callable[[], Any]
    _runs: list[tuple[float, float, float]] = attrs.field(factory=list)

    def __call__(self) -> Any:
        server, client, began = cpu_seconds(self._server), time.process_time(), time.perf_counter()
        result = self._function()
        wall = time.perf_counter() - began
        self._runs.append((wall, time.process_time() - client, cpu_seconds(self._server) - server))
        return result

    def side(self, size: int) -> Side:
        """Sum up runs that moved ``size`` bytes each: ticks are too coarse for a single one."""
        runs = self._runs[1:]
        wall, client, server = map(sum, zip(*runs, strict=True))
        return Side(
            mb_per_second=round(size / MB / statistics.median(run[0] for run in runs), 1),
            client_busy=round(client / wall, 2),
            server_busy=round(server / wall, 2),
            client_ms_per_mb=round(client * 1000 / len(runs) / (size / MB), 3),
        )


@attrs.frozen(kw_only=True)
class Figures:
    """What was found for one message size, in one world."""

    world: str
    doing: str
    library: str
    message: int
    ours: Side
    alone: Side
    ratio: float
    """Our throughput over the library's: the median over pairs."""
    quartiles: tuple[float, float]
    cpu_ratio: float
    """The CPU time of the client with the library alone over ours."""
    target: float = TARGET

    @property
    def reached(self) -> bool:
        """Whether the ratio is the target or more."""
        return self.ratio >= self.target


@attrs.frozen
class Pair:
    """The same output, received by ours and by the library alone."""

    world: str
    library: str
    doing: str
    ours: Meter
    alone: Meter

    @property
    def name(self) -> str:
        return f"{self.doing}, {self.world}"

    def figures(self, row: Row, size: int, message: int) -> Figures:
        """Turn ratios of times into ratios of throughputs."""
        assert row.ratio is not None
        assert row.quartiles is not None
        ours, alone = self.ours.side(size), self.alone.side(size)
        low, high = row.quartiles
        return Figures(
            world=self.world,
            doing=self.doing,
            library=f"{self.library} {version(self.library)}",
            message=message,
            ours=ours,
            alone=alone,
            ratio=round(1 / row.ratio, 2),
            quartiles=(round(1 / high, 2), round(1 / low, 2)),
            cpu_ratio=round(alone.client_ms_per_mb / ours.client_ms_per_mb, 2),
        )
